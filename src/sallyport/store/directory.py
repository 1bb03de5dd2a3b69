"""Bytes in a folder, laid out as an OCI image layout's ``blobs``, so that other tools can read it.

``blobs/sha256/<hex>`` holds whole, proven bytes; ``partial/`` what a broken copy left, to go on from.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from sallyport.engine import fsync_folder, storage_error
from sallyport.errors import MalformedError, MissingBlobError
from sallyport.oci import CHUNK, Digest
from sallyport.store.interface import Adopting, Aging, BlobStore, BlobWriter
from sallyport.store.partial import Partials


class DirectoryStore:
    """A :class:`BlobStore` under ``root``."""

    def __init__(self, root: Path, *, durable: bool = True) -> None:
        """``durable=False`` leaves out fsync: for caches that can be made again."""
        self.root = root
        self._durable = durable
        self._blobs = root / "blobs"
        try:
            (self._blobs / "sha256").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(error, root) from error
        self._partials = Partials(root / "partial", self.adopt)

    def _file(self, digest: Digest) -> Path:
        return self._blobs / digest.algorithm / digest.hex

    def path(self, digest: Digest) -> Path | None:
        path = self._file(digest)
        return path if path.is_file() else None

    def has(self, digest: Digest) -> bool:
        return self._file(digest).is_file()

    def size(self, digest: Digest) -> int:
        try:
            return self._file(digest).stat().st_size
        except FileNotFoundError as error:
            raise self._missing(digest) from error

    def chunks(self, digest: Digest, *, offset: int = 0) -> Iterator[bytes]:
        try:
            file = self._file(digest).open("rb", buffering=0)
        except FileNotFoundError as error:
            raise self._missing(digest) from error
        return _read(file, offset)

    def put(self, digest: Digest, size: int, chunks: Iterable[bytes]) -> None:
        if not self._known(digest):
            self._partials.put(digest, size, chunks)

    def resume(self, digest: Digest, size: int, fetch: Callable[[int], Iterable[bytes]]) -> None:
        if not self._known(digest):
            self._partials.resume(digest, size, fetch, has=self.has)

    def create(self) -> AbstractContextManager[BlobWriter]:
        return self._partials.create()

    def adopt(self, file: BinaryIO, temporary: Path, digest: Digest) -> None:
        target = self._file(digest)
        os.fchmod(file.fileno(), 0o644)
        # It counts as new from now on, however long ago its last byte came.
        os.utime(file.fileno())
        if self._durable:
            os.fsync(file.fileno())
        target.parent.mkdir(exist_ok=True)
        temporary.replace(target)
        if self._durable:
            fsync_folder(target.parent)

    def delete(self, digest: Digest) -> int:
        path = self._file(digest)
        try:
            size = path.stat().st_size
            path.unlink()
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise storage_error(error, path) from error
        return size

    def digests(self) -> Iterator[Digest]:
        for folder in sorted(path for path in self._blobs.iterdir() if path.is_dir()):
            for path in folder.iterdir():
                # A name that is no digest was not put here by us, and is nobody's to delete.
                with contextlib.suppress(MalformedError):
                    yield Digest(folder.name, path.name)

    def sweep(self, *, older_than_s: float = 7 * 86400.0, dry_run: bool = False) -> int:
        """Remove what broken copies left longer ago than that; returns bytes, also where nothing is removed."""
        return self._partials.sweep(older_than_s, dry_run=dry_run)

    def changed_at(self, digest: Digest) -> float:
        try:
            return self._file(digest).stat().st_mtime
        except FileNotFoundError:
            return 0.0

    def _known(self, digest: Digest) -> bool:
        """Whether it is there; if so it counts as new, so that garbage collection spares what is needed again."""
        try:
            os.utime(self._file(digest))
        except FileNotFoundError:
            return False
        except OSError:
            # Read-only, or another user's file: it is there all the same.
            return self.has(digest)
        return True

    def _missing(self, digest: Digest) -> MissingBlobError:
        return MissingBlobError(
            f"{digest} is not in the store at {self.root}",
            "mirror or receive the image that needs it again",
        )


def _read(file: BinaryIO, offset: int) -> Iterator[bytes]:
    with file:
        file.seek(offset)
        while chunk := file.read(CHUNK):
            yield chunk


if TYPE_CHECKING:
    _fits: type[BlobStore] = DirectoryStore
    _ages: type[Aging] = DirectoryStore
    _adopts: type[Adopting] = DirectoryStore
