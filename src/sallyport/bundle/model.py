"""The nouns of a crossing. All are written as canonical JSON and are signed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sallyport.oci import Descriptor, Digest

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
