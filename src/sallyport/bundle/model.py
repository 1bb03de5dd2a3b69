"""The nouns of a crossing. All are written as canonical JSON and are signed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sallyport.oci import Descriptor, Digest
from sallyport.sign import Signer

FORMAT = 1


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Where a bundle stands in its destination's order: (epoch, sequence), never a date."""

    epoch: int
    sequence: int

    def __str__(self) -> str:
        return f"{self.epoch}.{self.sequence}"


@dataclass(frozen=True, slots=True)
class Blob:
    """A manifest, config or layer by digest."""

    digest: Digest
    size: int  # bytes


@dataclass(frozen=True, slots=True)
class Released:
    """One released image that the bundle brings, or brings again."""

    repository: str
    tag: str  # immutable
    descriptor: Descriptor  # of the index or manifest
    upstream: str  # the reference it was mirrored from, with digest
    attached: tuple[Attached, ...] = ()

    @property
    def name(self) -> str:
        """``repository:tag@digest``: what receipts and tables call it."""
        return f"{self.repository}:{self.tag}@{self.descriptor.digest}"


@dataclass(frozen=True, slots=True)
class Attached:
    """A signature or attestation that travels with a released image."""

    descriptor: Descriptor
    subject: Digest
    tag: str  # "sha256-….sig", or empty


@dataclass(frozen=True, slots=True)
class FeedFile:
    """Advisories that travel, so that the inside can scan by itself."""

    blob: Blob
    source: str
    as_of: datetime


@dataclass(frozen=True, slots=True)
class Contents:
    """The signed statement ``bundle.json`` (a TUF target): what a bundle brings, carries and requires."""

    format: int
    destination: str
    position: Position
    created: datetime
    released: tuple[Released, ...]
    carries: tuple[Blob, ...]
    requires: tuple[Blob, ...]  # left out because the newest receipt lists them
    feeds: tuple[FeedFile, ...]
    keys: tuple[TrustedKey, ...]  # image keys travel as part of a signed target, valid from this sequence on

    def descriptors(self) -> Iterator[Descriptor]:
        """Of every released image and of everything that is attached to one."""
        for released in self.released:
            yield released.descriptor
            yield from (attached.descriptor for attached in released.attached)


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A public key and the one kind of statement it may make."""

    purpose: str
    pem: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the inside holds after a crossing, signed by its receipt key; carried back."""

    format: int
    destination: str
    position: Position  # of the newest bundle received
    received_at: datetime
    holds: tuple[Digest, ...]  # every blob that the inside store holds, proven
    imported: tuple[str, ...]  # repository:tag@digest
    refused: tuple[str, ...]  # repository:tag@digest: reason


@dataclass(frozen=True, slots=True)
class BundlePlan:
    """What the next bundle would bring; nothing is written by making it."""

    destination: str
    released: tuple[Released, ...]  # not yet imported, so far as the newest receipt says
    carries: tuple[Blob, ...]  # manifests before what they name, each once
    requires: tuple[Blob, ...]
    feeds: tuple[FeedFile, ...]
    keys: tuple[TrustedKey, ...]
    imported: tuple[Released, ...]  # left out: the newest receipt says that the inside has them

    @property
    def empty(self) -> bool:
        """Whether every release has arrived already, so that there is nothing to carry."""
        return not self.released

    @property
    def bytes(self) -> int:
        """How many the blobs have that would be carried."""
        return sum(blob.size for blob in self.carries)

    @property
    def spared(self) -> int:
        """How many bytes stay here because the inside holds them."""
        return sum(blob.size for blob in self.requires)


@dataclass(frozen=True, slots=True)
class Signers:
    """Whose signatures seal a bundle: the approvers, who are people, and the outside's own pipeline."""

    targets: tuple[Signer, ...]
    snapshot: Signer
    timestamp: Signer


@dataclass(frozen=True, slots=True)
class Staged:
    """A bundle whose bytes are in place and that waits for its approvers."""

    folder: Path  # not yet under its own name
    name: str
    contents: Contents
    targets: bytes  # metadata/targets.json, to be signed
    copied: int  # bytes written by this run; the rest was there already


@dataclass(frozen=True, slots=True)
class Written:
    """A sealed bundle."""

    folder: Path
    name: str
    contents: Contents
    bytes: int  # in all its files
    copied: int  # bytes of blobs written by this run
    seconds: float
