"""Read a bundle in place, and prove every byte of it before anything of it is used.

The steps have numbers; :mod:`sallyport.receive` continues them:

1. the metadata files are of the profile, canonical, and signed by those whom the trusted root names;
2. (receive: the position is newer than the high-water mark);
3. the destination is the trusted root's;
4. the statement ``bundle.json`` is the signed one, agrees with itself, and so do the layout's own files;
5. the folder holds the named files and nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from sallyport.bundle.errors import (
    DamagedFileError,
    ExpiredMetadataError,
    ExtraFileError,
    ForeignBundleError,
    LongFileError,
    MalformedContentsError,
    MalformedMetadataError,
    MissingFileError,
    MixedMetadataError,
    NoBundleError,
    TruncatedFileError,
    UnsignedBundleError,
)
from sallyport.bundle.folder import blob_path, check_listing, check_size, open_file, read_file, unreadable
from sallyport.bundle.index import CONTENTS_FILE, INDEX_FILE, LAYOUT, LAYOUT_FILE, render_index
from sallyport.bundle.metadata import SNAPSHOT, TARGETS, TIMESTAMP, parse, verify_role
from sallyport.bundle.model import FORMAT, Blob, Contents, Position
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
from sallyport.bundle.stream import copy_blob
from sallyport.bundle.trust import Anchor
from sallyport.engine import Progress, Silent, render_time
from sallyport.errors import (
    DigestMismatchError,
    MissingBlobError,
    OversizeError,
    SallyportError,
    TruncatedError,
)
from sallyport.oci import CHUNK, BlobReader, Digest, decode, encode, is_repository, is_tag, media_types, verified
from sallyport.sign import PublicKey, Purpose

if TYPE_CHECKING:
    from tuf.api.metadata import Metadata

CONTENTS_LIMIT = 64 * 1024 * 1024  # bytes; some 300,000 blobs
TARGETS_LIMIT = 512 * 1024
_AGAIN = "copy the bundle to the medium again; if it happens twice, keep the medium as evidence"
_TARGETS = f"{METADATA}/targets.json"
_SNAPSHOT = f"{METADATA}/snapshot.json"
_TIMESTAMP = f"{METADATA}/timestamp.json"
_TOP = media_types.MANIFESTS | media_types.INDEXES
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


@dataclass(frozen=True, slots=True)
class OpenedBundle:
    """A bundle whose statement is proven; its blobs are read in place, and proven as they are read."""

    sealed: Sealed
    contents: Contents
    blobs: BundleBlobs

    @property
    def name(self) -> str:
        return self.sealed.name

    @property
    def expected(self) -> dict[str, int]:
        """Every file of the folder, with its size."""
        files = {path: shape.length for path, shape in self.sealed.files.items()}
        blobs = {blob_path(blob.digest): blob.size for blob in self.contents.carries}
        return {**files, **self.sealed.metadata, **blobs}


class BundleBlobs:
    """The blobs that a bundle carries, as a :class:`BlobReader`; its errors name the file."""

    def __init__(self, folder: Path, carries: tuple[Blob, ...]) -> None:
        self._folder = folder
        self._sizes = {blob.digest: blob.size for blob in carries}

    def has(self, digest: Digest) -> bool:
        return digest in self._sizes

    def size(self, digest: Digest) -> int:
        try:
            return self._sizes[digest]
        except KeyError as error:
            raise MissingBlobError(f"the bundle does not carry {digest}", "receive the one before it first") from error

    def chunks(self, digest: Digest, *, offset: int = 0) -> Iterator[bytes]:
        path = blob_path(digest)
        with self.open(digest) as file:
            try:
                file.seek(offset)
                while chunk := file.read(CHUNK):
                    yield chunk
            except OSError as error:
                raise unreadable(self._folder, path, error) from error

    def open(self, digest: Digest) -> BinaryIO:
        """The blob's file on the medium, of the right size; its bytes are not proven."""
        size, path = self.size(digest), blob_path(digest)
        file = open_file(self._folder, path)
        try:
            check_size(self._folder, path, os.fstat(file.fileno()).st_size, size)
        except SallyportError:
            file.close()
            raise
        return file

    def copy(self, digest: Digest, target: BinaryIO) -> Iterator[int]:
        """Copy the blob into ``target`` and prove what arrived; yields how many bytes were.

        Raises as :meth:`proven` does; then ``target`` is to be thrown away.
        """
        path = blob_path(digest)
        with self._naming(path), self.open(digest) as source:
            yield from copy_blob(self, digest, self.size(digest), target, source=source, what=path)

    def proven(self, digest: Digest) -> Iterator[bytes]:
        """The bytes, verified; use them only after it is exhausted.

        Raises:
            DamagedFileError, TruncatedFileError, LongFileError, MissingFileError: naming the file.
        """
        path = blob_path(digest)
        with self._naming(path):
            yield from verified(self.chunks(digest), digest, self.size(digest), what=path)

    @contextmanager
    def _naming(self, path: str) -> Iterator[None]:
        """What is wrong with the bytes is the file's fault, and is called so."""
        try:
            yield
        except DigestMismatchError as error:
            raise DamagedFileError(f"{path} in {self._folder} is damaged: {error.message}", _AGAIN) from error
        except TruncatedFileError:
            raise
        except TruncatedError as error:
            raise TruncatedFileError(f"{path} in {self._folder}: {error.message}", _AGAIN) from error
        except LongFileError:
            raise
        except OversizeError as error:
            raise LongFileError(f"{path} in {self._folder}: {error.message}", _AGAIN) from error


if TYPE_CHECKING:
    _fits: type[BlobReader] = BundleBlobs


# --- 1: the metadata ----------------------------------------------------------------------


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


# --- 3, 4: the statement ------------------------------------------------------------------


def open_bundle(folder: Path, anchor: Anchor) -> OpenedBundle:
    """Steps 1, 3 and 4: a bundle that may be read. Step 5 is :func:`check_files`."""
    return open_sealed(verify_metadata(folder, anchor))


def open_sealed(sealed: Sealed) -> OpenedBundle:
    """Steps 3 and 4, for a bundle whose metadata are proven.

    Raises:
        DamagedFileError, TruncatedFileError, LongFileError, MissingFileError: naming the file.
        MalformedContentsError: signed, and yet it does not agree with itself.
        ForeignBundleError: the statement is for another destination than its signatures.
    """
    raw = _target(sealed, CONTENTS_FILE)
    contents = read_contents(raw)
    if contents.destination != sealed.destination:
        raise ForeignBundleError(
            f"{CONTENTS_FILE} is for {contents.destination}, its signatures for {sealed.destination}",
            "refuse it, and tell the approvers",
        )
    if contents.position != sealed.position:
        raise MalformedContentsError(
            f"{CONTENTS_FILE} states the position {contents.position}, its signatures {sealed.position}",
            "refuse it, and tell the approvers",
        )
    if contents.created > sealed.ends:
        raise MalformedContentsError(
            f"{CONTENTS_FILE} was made at {render_time(contents.created)}, after its signatures end", "refuse it"
        )
    for path, expected in ((INDEX_FILE, render_index(contents)), (LAYOUT_FILE, LAYOUT)):
        if _target(sealed, path) != expected:
            raise MalformedContentsError(
                f"{path} is signed, and yet says something else than {CONTENTS_FILE}",
                "refuse it: other tools would read another bundle than sallyport; tell the approvers",
            )
    return OpenedBundle(sealed, contents, BundleBlobs(sealed.folder, contents.carries))


def _target(sealed: Sealed, path: str) -> bytes:
    shape = sealed.files[path]
    if shape.length > CONTENTS_LIMIT:
        raise LongFileError(f"{path} would have {shape.length} bytes; the limit is {CONTENTS_LIMIT}", "refuse it")
    raw = read_file(sealed.folder, path, shape.length)
    check_size(sealed.folder, path, len(raw), shape.length)
    if Digest.of(raw).hex != shape.hashes.sha256:
        raise DamagedFileError(f"{path} in {sealed.folder} is damaged: its digest is not the signed one", _AGAIN)
    return raw


def read_contents(raw: bytes) -> Contents:
    """Read ``bundle.json`` and check that it agrees with itself.

    Raises:
        MalformedContentsError: it does not, or is not in the canonical form.
    """
    try:
        contents = decode(raw, Contents, what=CONTENTS_FILE, limit=CONTENTS_LIMIT)
        canonical = encode(contents) == raw
        for key in contents.keys:
            Purpose(key.purpose)
            canonical = canonical and PublicKey(key.pem).pem == key.pem
    except (SallyportError, ValueError) as error:
        raise MalformedContentsError(f"{CONTENTS_FILE}: {str(error)[:200]}", _AGAIN) from error
    problem = "is not in the canonical form" if not canonical else _contradiction(contents)
    if problem:
        raise MalformedContentsError(f"{CONTENTS_FILE} {problem}", "refuse it, and tell the approvers")
    return contents


def _contradiction(contents: Contents) -> str:
    if contents.format != FORMAT:
        return f"has format {contents.format}; this sallyport reads {FORMAT}"
    blobs = {blob.digest: blob.size for blob in (*contents.carries, *contents.requires)}
    if len(blobs) != len(contents.carries) + len(contents.requires):
        return "names a blob twice"
    if any(size < 0 for size in blobs.values()):
        return "has a blob of a negative size"
    names = [(one.repository, one.tag) for one in contents.released]
    if len(set(names)) != len(names):
        return "releases two images under one tag"
    for one in contents.released:
        if not is_repository(one.repository) or not is_tag(one.tag):
            return f"has an image with the name {one.name[:120]!r}"
        for attached in one.attached:
            if attached.tag and not is_tag(attached.tag):
                return f"has an attachment with the tag {attached.tag[:120]!r}"
    for descriptor in contents.descriptors():
        if descriptor.media_type not in _TOP:
            return f"brings {descriptor.digest}, which is no manifest or index"
        if blobs.get(descriptor.digest) != descriptor.size:
            return f"brings {descriptor.digest} and neither carries nor requires it"
    carried = {blob.digest: blob.size for blob in contents.carries}
    for feed in contents.feeds:
        if carried.get(feed.blob.digest) != feed.blob.size:
            return f"has the feed {feed.blob.digest} and does not carry it"
    return ""


# --- 5: the folder, and every byte --------------------------------------------------------


def check_files(opened: OpenedBundle) -> None:
    """Step 5: every named file is there in its size, and nothing else is. The bytes are proven as they are read.

    Raises:
        ExtraFileError, MissingFileError, UnsafeFileError, TruncatedFileError, LongFileError: naming the file.
    """
    check_listing(opened.sealed.folder, opened.expected)


@dataclass(frozen=True, slots=True)
class Verified:
    """A bundle of which every byte has been proven."""

    name: str
    contents: Contents
    files: int
    bytes: int


def verify_bundle(folder: Path, anchor: Anchor, *, progress: Progress = Silent()) -> Verified:  # noqa: B008 - an immutable value
    """Read and prove every file of a bundle. Whether it was received before is not asked.

    Raises:
        the errors of steps 1 to 5; where several blobs are damaged, the first one's, which counts the others.
    """
    opened = open_bundle(folder, anchor)
    check_files(opened)
    bad: list[SallyportError] = []
    with progress.task(f"verify {opened.name}", sum(blob.size for blob in opened.contents.carries)) as task:
        for blob in opened.contents.carries:
            try:
                for chunk in opened.blobs.proven(blob.digest):
                    task.advance(len(chunk))
            except SallyportError as error:
                bad.append(error)
    if bad:
        first = bad[0]
        others = "" if len(bad) == 1 else f" (and {len(bad) - 1} more)"
        raise type(first)(f"{first.message}{others}", first.mend)
    sizes = opened.expected
    return Verified(opened.name, opened.contents, len(sizes), sum(sizes.values()))
