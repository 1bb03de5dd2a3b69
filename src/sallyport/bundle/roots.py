"""Roots of trust: who may sign for a destination. Source: TUF 1.0.31, 4.3 and 5.3 (roots follow one another).

A root is offline metadata, signed m of n. A new one is carried in the next bundles beside all older ones and
counts once the old and the new keys have signed it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sallyport.bundle.errors import (
    BundleExistsError,
    ForeignRootError,
    MalformedMetadataError,
    NoTrustError,
    RolledBackRootError,
    UnsignedBundleError,
)
from sallyport.bundle.metadata import ROOT, SNAPSHOT, TARGETS, TIMESTAMP, build_root, parse, sign_metadata, verify_root
from sallyport.bundle.name import check_destination
from sallyport.bundle.profile import MAX_ROOTS, METADATA, ROOT_LIMIT, RootFile, read_shape
from sallyport.engine import write_file
from sallyport.errors import MalformedError, UsageError
from sallyport.oci import Digest
from sallyport.sign import PublicKey, Signer

if TYPE_CHECKING:
    from tuf.api.metadata import Metadata, Root  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class RootKeys:
    """Whose signatures count for one destination: ``root`` and ``targets`` are people, m of n."""

    root: tuple[PublicKey, ...]
    targets: tuple[PublicKey, ...]
    snapshot: tuple[PublicKey, ...]
    timestamp: tuple[PublicKey, ...]
    root_threshold: int = 1
    targets_threshold: int = 1

    def __post_init__(self) -> None:
        for role, keys, threshold in (
            (ROOT, self.root, self.root_threshold),
            (TARGETS, self.targets, self.targets_threshold),
            (SNAPSHOT, self.snapshot, 1),
            (TIMESTAMP, self.timestamp, 1),
        ):
            count = len(set(keys))
            if not 1 <= threshold <= count:
                raise UsageError(
                    f"{role} asks for {threshold} signatures and has {count} keys",
                    "the threshold lies between 1 and the number of different keys",
                )
        people = set(self.root) | set(self.targets)
        if people & (set(self.snapshot) | set(self.timestamp)):
            raise UsageError(
                "one key stands both for a person (root, targets) and for the pipeline (snapshot, timestamp)",
                "give the pipeline keys of its own, so that it cannot release by itself",
            )


@dataclass(frozen=True, slots=True)
class RootChain:
    """A proven chain of roots, from version ``first`` to the newest."""

    raws: tuple[bytes, ...]
    first: int
    newest: Metadata[Root]
    destination: str

    @property
    def version(self) -> int:
        """Of the newest."""
        return self.first + len(self.raws) - 1

    def at(self, version: int) -> bytes:
        """The file of one version."""
        return self.raws[version - self.first]


def init_root(destination: str, keys: RootKeys, signers: Sequence[Signer], *, expires: datetime) -> bytes:
    """The first root of ``destination``; further holders may add theirs with :func:`sign_metadata`."""
    return sign_metadata(_build(destination, 1, keys, expires), signers)


def rotate_root(previous: bytes, keys: RootKeys, signers: Sequence[Signer], *, expires: datetime) -> bytes:
    """The root after ``previous``; the old and the new holders must sign it, each to their threshold."""
    shape = read_shape(previous, RootFile, what="the previous root", limit=ROOT_LIMIT)
    raw = _build(shape.signed.mark.destination, shape.signed.version + 1, keys, expires)
    return sign_metadata(raw, signers)


def _build(destination: str, version: int, keys: RootKeys, expires: datetime) -> bytes:
    return build_root(
        check_destination(destination),
        version,
        expires,
        {
            ROOT: (keys.root, keys.root_threshold),
            TARGETS: (keys.targets, keys.targets_threshold),
            SNAPSHOT: (keys.snapshot, 1),
            TIMESTAMP: (keys.timestamp, 1),
        },
    )


def fingerprint(root: bytes) -> str:
    """SHA-256 of the root's file, as ``sha256sum`` shows it; compared by people when a root is imported."""
    return Digest.of(root).hex


def root_path(version: int) -> str:
    """Where a root lies in a bundle."""
    return f"{METADATA}/{version}.root.json"


def verify_roots(raws: Sequence[bytes], *, first: int = 1) -> RootChain:
    """Prove that each root follows from the one before it; ``first`` is the version that ``raws`` starts with.

    Raises:
        UnsignedBundleError, WronglySignedError, MalformedMetadataError: naming the file.
    """
    previous: Metadata[Root] | None = None
    destination = ""
    for version, raw in enumerate(raws, start=first):
        what = root_path(version)
        shape = read_shape(raw, RootFile, what=what, limit=ROOT_LIMIT)
        _check_shape(shape, version, what)
        if destination not in ("", shape.signed.mark.destination):
            raise MalformedMetadataError(
                f"{what} is for {shape.signed.mark.destination}, the root before it for {destination}",
                "a destination keeps its name; start another chain of roots for another one",
            )
        destination = shape.signed.mark.destination
        root: Metadata[Root] = parse(raw)
        verify_root(previous, root, what=what)
        previous = root
    if previous is None:
        raise UnsignedBundleError(
            f"there is no {root_path(first)}", "it is not signed at all: ask the outside for a sealed bundle"
        )
    return RootChain(tuple(raws), first, previous, destination)


def _check_shape(shape: RootFile, version: int, what: str) -> None:
    mend = "ask the outside for the bundle again; if it happens twice, keep the medium as evidence"
    signed = shape.signed
    if signed.version != version:
        raise MalformedMetadataError(f"{what} states version {signed.version}", mend)
    if signed.consistent_snapshot:
        raise MalformedMetadataError(f"{what} asks for consistent snapshots, which bundles do not use", mend)
    roles = (signed.roles.root, signed.roles.targets, signed.roles.snapshot, signed.roles.timestamp)
    named = {keyid for role in roles for keyid in role.keyids}
    if named != set(signed.keys):
        raise MalformedMetadataError(f"{what} lists keys without a role, or roles without their keys", mend)
    if any(len(set(role.keyids)) != len(role.keyids) or role.threshold > len(role.keyids) for role in roles):
        raise MalformedMetadataError(f"{what} has a role whose threshold cannot be met", mend)
    # The same key under two names would count twice towards a threshold.
    if len({key.keyval.public for key in signed.keys.values()}) != len(signed.keys):
        raise MalformedMetadataError(f"{what} lists one key twice", mend)
    for key in signed.keys.values():
        try:
            canonical = PublicKey(key.keyval.public).pem == key.keyval.public
        except MalformedError as error:
            raise MalformedMetadataError(f"{what}: {error.message}", mend) from error
        if not canonical:
            raise MalformedMetadataError(f"{what} has a key that is not in the canonical PEM form", mend)


def follow(chain: RootChain, trusted: RootChain) -> None:
    """Prove that ``chain``, which starts at version 1, continues the ``trusted`` one.

    Raises:
        RolledBackRootError: it ends before the newest trusted root.
        ForeignRootError: it has another root at a trusted version.
    """
    if chain.version < trusted.version:
        raise RolledBackRootError(
            f"the bundle's newest root is version {chain.version}; version {trusted.version} is trusted here already",
            "refuse it: it was made before keys were changed; ask the outside for a new bundle",
        )
    for version, raw in enumerate(trusted.raws, start=trusted.first):
        other = chain.at(version)
        # Signatures may have been added since; what they sign may not differ.
        if other != raw and parse(other).signed_bytes != parse(raw).signed_bytes:
            raise ForeignRootError(
                f"{root_path(version)} is not the root that is trusted here as version {version}",
                "refuse it: it comes from another outside; compare the fingerprints",
            )


# --- the outside's own folder -------------------------------------------------------------


def read_roots(folder: Path) -> tuple[bytes, ...]:
    """The chain in ``folder``: ``1.root.json``, ``2.root.json`` and so on.

    Raises:
        NoTrustError: there is no root yet.
    """
    raws: list[bytes] = []
    for version in range(1, MAX_ROOTS + 1):
        try:
            with (folder / f"{version}.root.json").open("rb") as file:
                raws.append(file.read(ROOT_LIMIT + 1))
        except FileNotFoundError:
            break
    if not raws:
        raise NoTrustError(f"there is no root in {folder}", "make one first: sallyport key root")
    return tuple(raws)


def add_root(folder: Path, raw: bytes) -> Path:
    """Keep a new root beside the older ones, once it follows from them.

    Raises:
        BundleExistsError: there is a root of that version.
        UnsignedBundleError, WronglySignedError, MalformedMetadataError: it does not follow.
    """
    version = read_shape(raw, RootFile, what="the root", limit=ROOT_LIMIT).signed.version
    path = folder / f"{version}.root.json"
    if path.exists():
        raise BundleExistsError(f"there is a root {path} already", "a root is replaced by the next version only")
    older = read_roots(folder) if version > 1 else ()
    verify_roots((*older, raw))
    write_file(path, raw)
    return path
