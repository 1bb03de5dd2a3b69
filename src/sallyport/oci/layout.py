"""An OCI image layout in a folder: read strictly, written whole. Source: OCI image-spec 1.1, image-layout.md."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from sallyport.engine import atomic_write, write_file
from sallyport.errors import DamagedError, MalformedError, MissingBlobError, StorageError, UnsafePathError
from sallyport.oci.descriptor import Descriptor
from sallyport.oci.digest import CHUNK, Digest, verified
from sallyport.oci.image import reachable
from sallyport.oci.interface import BlobReader
from sallyport.oci.manifest import Index, build_index, parse_manifest
from sallyport.oci.media_types import OCI_INDEX
from sallyport.oci.strict_json import MANIFEST_LIMIT, parse_json, render_json

REF_NAME = "org.opencontainers.image.ref.name"
"""The annotation of an entry that says by which name people know it."""
_VERSION = "1.0.0"
_MEND = "the layout is damaged: write it again"


def write_layout(folder: Path, blobs: BlobReader, entries: Sequence[Descriptor]) -> None:
    """Write everything below ``entries`` into ``folder``; ``index.json`` comes last, so a torn layout has none.

    Blobs that are there already with the right size are left alone. The same entries give the same files.

    Raises:
        DamagedError: something below ``entries`` is missing or not what its digest says.
        StorageError: the folder cannot be written.
    """
    seen: set[Digest] = set()
    for entry in entries:
        for descriptor in reachable(blobs, entry):
            if descriptor.digest in seen:
                continue
            seen.add(descriptor.digest)
            _copy(folder, blobs, descriptor)
    write_file(folder / "oci-layout", render_json({"imageLayoutVersion": _VERSION}))
    write_file(folder / "index.json", build_index(entries).raw)


def _copy(folder: Path, blobs: BlobReader, descriptor: Descriptor) -> None:
    path = folder / "blobs" / descriptor.digest.algorithm / descriptor.digest.hex
    with contextlib.suppress(OSError):
        if path.stat().st_size == descriptor.size:
            return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot make {path.parent}: {error.strerror}", "choose another folder") from error
    with atomic_write(path) as file:
        for chunk in verified(blobs.chunks(descriptor.digest), descriptor.digest, descriptor.size):
            view = memoryview(chunk)
            while view:
                view = view[file.write(view) :]


class LayoutReader:
    """The blobs and entries of the layout in ``folder``.

    Nothing outside is ever read: a digest cannot climb, and a link, pipe or device among its files is refused.
    """

    def __init__(self, folder: Path) -> None:
        """Check the marker.

        Raises:
            MissingBlobError: the folder is no layout.
            MalformedError: the marker is broken, or names another version.
        """
        self.folder = folder
        marker = parse_json(self._small("oci-layout", 4096), what=f"{folder}/oci-layout", limit=4096)
        if not isinstance(marker, dict) or marker.get("imageLayoutVersion") != _VERSION:
            raise MalformedError(f"{folder} is not an image layout of version {_VERSION}", _MEND)

    def index(self) -> Index:
        """``index.json``, strictly read."""
        what = f"{self.folder}/index.json"
        index = parse_manifest(self._small("index.json", MANIFEST_LIMIT), OCI_INDEX, what=what)
        if not isinstance(index, Index):
            raise MalformedError(f"{what} is no index", _MEND)
        return index

    def entries(self) -> tuple[Descriptor, ...]:
        """What the layout holds, by :data:`REF_NAME` where its writer named it."""
        return self.index().manifests

    def has(self, digest: Digest) -> bool:
        try:
            self._open(self._file(digest), str(digest)).close()
        except DamagedError:
            return False
        return True

    def size(self, digest: Digest) -> int:
        with self._open(self._file(digest), str(digest)) as file:
            return os.fstat(file.fileno()).st_size

    def chunks(self, digest: Digest, *, offset: int = 0) -> Iterator[bytes]:
        return _read(self._open(self._file(digest), str(digest)), offset, str(digest))

    def digests(self) -> Iterator[Digest]:
        """Every blob in the folder, named in the index or not."""
        for algorithm in ("sha256", "sha512"):
            with contextlib.suppress(FileNotFoundError):
                for path in sorted((self.folder / "blobs" / algorithm).iterdir()):
                    with contextlib.suppress(MalformedError):
                        yield Digest(algorithm, path.name)

    def _file(self, digest: Digest) -> Path:
        return self.folder / "blobs" / digest.algorithm / digest.hex

    def _small(self, name: str, limit: int) -> bytes:
        pieces = bytearray()
        with self._open(self.folder / name, name) as file:
            while len(pieces) <= limit and (piece := file.read(limit + 1 - len(pieces))):
                pieces += piece
        return bytes(pieces)

    def _open(self, path: Path, name: str) -> BinaryIO:
        """Open ``path``, one of our own folders at a time: a link among them would lead out."""
        folder = -1
        try:
            folder = os.open(self.folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            *above, last = path.relative_to(self.folder).parts
            for part in above:
                below = os.open(part, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
                os.close(folder)
                folder = below
            # Not blocking: a pipe put in place of a file would otherwise wait for ever.
            handle = os.open(last, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                os.close(handle)
                raise self._refused(name, "not a plain file")
        except FileNotFoundError as error:
            raise MissingBlobError(f"{name} is not in the layout {self.folder}", _MEND) from error
        except OSError as error:
            raise self._refused(name, error.strerror or str(error)) from error
        finally:
            if folder >= 0:
                os.close(folder)
        return open(handle, "rb", buffering=0)  # noqa: PTH123 - a descriptor, not a path

    def _refused(self, name: str, why: str) -> DamagedError:
        return UnsafePathError(f"{name} in the layout {self.folder} cannot be read: {why}", _MEND)


def _read(file: BinaryIO, offset: int, name: str) -> Iterator[bytes]:
    with file:
        try:
            file.seek(offset)
            while chunk := file.read(CHUNK):
                yield chunk
        except OSError as error:
            raise StorageError(
                f"{name} cannot be read: {error.strerror}", "check the medium, then try again"
            ) from error


if TYPE_CHECKING:
    _fits: type[BlobReader] = LayoutReader
