"""Step 1 of reading a bundle: what its signatures say. Source: TUF 1.0.31, 5 (the client workflow)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from sallyport.bundle.errors import (
    ExpiredMetadataError,
    ExtraFileError,
    ForeignBundleError,
    MalformedMetadataError,
    MissingFileError,
    MixedMetadataError,
    NoBundleError,
    UnsignedBundleError,
)
from sallyport.bundle.folder import read_file
from sallyport.bundle.index import CONTENTS_FILE, INDEX_FILE, LAYOUT_FILE
from sallyport.bundle.metadata import SNAPSHOT, TARGETS, TIMESTAMP, parse, verify_role
from sallyport.bundle.model import Position
from sallyport.bundle.name import bundle_name
from sallyport.bundle.profile import (
    MAX_ROOTS,
    METADATA,
    ROOT_LIMIT,
    TIMESTAMP_LIMIT,
    FileShape,
    MetaShape,
    RootFile,
    SnapshotFile,
    TargetsFile,
    TimestampFile,
    read_shape,
)
from sallyport.bundle.roots import RootChain, follow, root_path, verify_roots
from sallyport.bundle.trust import Anchor
from sallyport.engine import render_time
from sallyport.oci import Digest

if TYPE_CHECKING:
    from tuf.api.metadata import Metadata

TARGETS_LIMIT = 512 * 1024  # bytes
_AGAIN = "copy the bundle to the medium again; if it happens twice, keep the medium as evidence"
_TARGETS = f"{METADATA}/targets.json"
_SNAPSHOT = f"{METADATA}/snapshot.json"
_TIMESTAMP = f"{METADATA}/timestamp.json"
T = TypeVar("T", SnapshotFile, TargetsFile)


@dataclass(frozen=True, slots=True)
class Sealed:
    """What the signatures say, before the statement itself is read."""

    folder: Path
    destination: str
    position: Position
    statement: Digest  # of bundle.json: which bundle this is
    files: Mapping[str, FileShape]  # the TUF targets, by path
    metadata: Mapping[str, int]  # sizes of the metadata files, by path
    roots: RootChain
    ends: datetime  # when the first of the metadata files expires

    @property
    def name(self) -> str:
        return bundle_name(self.destination, self.position)


def verify_metadata(folder: Path, anchor: Anchor) -> Sealed:
    """Step 1, and step 3 so far as the metadata go. Only metadata files are read.

    Raises:
        NoBundleError, UnsignedBundleError, WronglySignedError, MixedMetadataError, MalformedMetadataError,
        RolledBackRootError, ForeignRootError, ForeignBundleError, ExpiredMetadataError: naming the file.
    """
    if not folder.is_dir():
        raise NoBundleError(f"there is no bundle at {folder}", "name the folder of a bundle")
    raws, sizes = _read_roots(folder)
    chain = verify_roots(raws)
    if chain.destination != anchor.roots.destination:
        raise ForeignBundleError(
            f"the bundle in {folder} is for {chain.destination}, this is {anchor.roots.destination}",
            "carry it to its own destination",
        )
    follow(chain, anchor.roots)
    path = root_path(chain.version)
    root_ends = _ends(read_shape(chain.raws[-1], RootFile, what=path, limit=ROOT_LIMIT), anchor, path)

    raw = _metadata(folder, _TIMESTAMP, TIMESTAMP_LIMIT)
    timestamp = read_shape(raw, TimestampFile, what=_TIMESTAMP, limit=TIMESTAMP_LIMIT)
    verify_role(chain.newest, TIMESTAMP, _parsed(raw, _TIMESTAMP), what=_TIMESTAMP)
    sizes[_TIMESTAMP] = len(raw)

    raw, snapshot = _named(folder, _SNAPSHOT, timestamp.signed.meta.snapshot, SnapshotFile, _TIMESTAMP)
    verify_role(chain.newest, SNAPSHOT, _parsed(raw, _SNAPSHOT), what=_SNAPSHOT)
    sizes[_SNAPSHOT] = len(raw)

    raw, targets = _named(folder, _TARGETS, snapshot.signed.meta.targets, TargetsFile, _SNAPSHOT)
    verify_role(chain.newest, TARGETS, _parsed(raw, _TARGETS), what=_TARGETS)
    sizes[_TARGETS] = len(raw)

    versions = {timestamp.signed.version, snapshot.signed.version, targets.signed.version}
    if len(versions) != 1:
        raise MixedMetadataError(
            f"the metadata in {folder} have the versions {sorted(versions)}; all three must be the sequence",
            "the pipeline ran ahead of the approvers, or files of two bundles were mixed: ask for a new bundle",
        )
    mark = targets.signed.mark
    if mark.destination != chain.destination:
        raise ForeignBundleError(
            f"{_TARGETS} is for {mark.destination}, this is {chain.destination}", "carry it to its own destination"
        )
    if mark.root > chain.version:
        raise MissingFileError(f"{root_path(chain.version + 1)} is missing in {folder}", _AGAIN)
    if mark.root < chain.version:
        raise ExtraFileError(f"{root_path(mark.root + 1)} in {folder} does not belong to the bundle", _AGAIN)
    if set(targets.signed.targets) != {CONTENTS_FILE, INDEX_FILE, LAYOUT_FILE}:
        raise MalformedMetadataError(f"{_TARGETS} does not name the three files of a bundle", _AGAIN)
    ends = min(
        root_ends,
        _ends(timestamp, anchor, _TIMESTAMP),
        _ends(snapshot, anchor, _SNAPSHOT),
        _ends(targets, anchor, _TARGETS),
    )
    return Sealed(
        folder,
        chain.destination,
        Position(mark.epoch, targets.signed.version),
        Digest("sha256", targets.signed.targets[CONTENTS_FILE].hashes.sha256),
        targets.signed.targets,
        sizes,
        chain,
        ends,
    )


def _read_roots(folder: Path) -> tuple[list[bytes], dict[str, int]]:
    raws: list[bytes] = []
    sizes: dict[str, int] = {}
    for version in range(1, MAX_ROOTS + 1):
        try:
            raw = read_file(folder, root_path(version), ROOT_LIMIT)
        except MissingFileError:
            break
        raws.append(raw)
        sizes[root_path(version)] = len(raw)
    return raws, sizes


def _metadata(folder: Path, path: str, limit: int) -> bytes:
    try:
        return read_file(folder, path, limit)
    except MissingFileError as error:
        raise UnsignedBundleError(
            f"the bundle in {folder} has no {path}", "ask the outside for a sealed bundle; this one was never finished"
        ) from error


def _named(folder: Path, path: str, meta: MetaShape, kind: type[T], by: str) -> tuple[bytes, T]:
    raw = _metadata(folder, path, TARGETS_LIMIT)
    if len(raw) != meta.length or Digest.of(raw).hex != meta.hashes.sha256:
        raise MixedMetadataError(
            f"{path} in {folder} is not the one that {by} names: it is damaged, or of another bundle", _AGAIN
        )
    shape = read_shape(raw, kind, what=path, limit=TARGETS_LIMIT)
    if shape.signed.version != meta.version:
        raise MixedMetadataError(f"{path} is version {shape.signed.version}, {by} names {meta.version}", _AGAIN)
    return raw, shape


def _parsed(raw: bytes, what: str) -> Metadata[object]:  # type: ignore[type-var]
    try:
        return parse(raw)
    except MalformedMetadataError as error:
        raise MalformedMetadataError(f"{what}: {error.message}", error.mend) from error


def _ends(shape: RootFile | TargetsFile | SnapshotFile | TimestampFile, anchor: Anchor, what: str) -> datetime:
    ends = shape.signed.ends
    if ends <= anchor.time:
        raise ExpiredMetadataError(
            f"{what} ended at {render_time(ends)}, "
            f"and a signed source has proven that it is {render_time(anchor.time)} or later",
            "use a newer bundle; if there is none, the outside has to make one",
        )
    return ends
