"""Bytes in a folder, laid out as an OCI image layout's ``blobs``, so that other tools can read it.

``blobs/sha256/<hex>`` holds whole, proven bytes; ``partial/`` what a broken copy left, to go on from.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from sallyport.engine import TEMPORARY_PREFIX, fsync_folder, storage_error
from sallyport.errors import DamagedError, MalformedError, MissingBlobError, TruncatedError
from sallyport.oci import CHUNK, Digest, Hasher, verified
from sallyport.store.interface import BlobStore, BlobWriter


class DirectoryStore:
    """A :class:`BlobStore` under ``root``."""

    def __init__(self, root: Path, *, durable: bool = True) -> None:
        """``durable=False`` leaves out fsync: for caches that can be made again."""
        self.root = root
        self._durable = durable
        self._blobs = root / "blobs"
        self._partial = root / "partial"
        try:
            (self._blobs / "sha256").mkdir(parents=True, exist_ok=True)
            self._partial.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(error, root) from error

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
        if self._known(digest):
            return
        target = self._file(digest)
        temporary = self._partial / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
        try:
            with temporary.open("xb", buffering=0) as file:
                for chunk in verified(chunks, digest, size):
                    _write(file, chunk)
                self._keep(file, temporary, target)
        except OSError as error:
            raise storage_error(error, target) from error
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)

    def resume(self, digest: Digest, size: int, fetch: Callable[[int], Iterable[bytes]]) -> None:
        if self._known(digest):
            return
        target = self._file(digest)
        partial = self._partial / f"{digest.algorithm}-{digest.hex}"
        try:
            with partial.open("a+b", buffering=0) as file:
                # One copy of one blob at a time, or two appends would interleave.
                fcntl.flock(file.fileno(), fcntl.LOCK_EX)
                if self.has(digest):
                    partial.unlink(missing_ok=True)
                    return
                _complete(file, digest, size, fetch)
                self._keep(file, partial, target)
        except OSError as error:
            raise storage_error(error, target) from error

    @contextmanager
    def create(self) -> Iterator[BlobWriter]:
        temporary = self._partial / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
        try:
            with temporary.open("xb", buffering=0) as file:
                yield _Writer(self, file, temporary)
        except OSError as error:
            raise storage_error(error, temporary) from error
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)

    def adopt(self, file: BinaryIO, temporary: Path, digest: Digest) -> None:
        """Keep the finished ``temporary``, whose digest its writer computed."""
        self._keep(file, temporary, self._file(digest))

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
        freed = 0
        limit = time.time() - older_than_s
        for path in self._partial.iterdir():
            with contextlib.suppress(OSError):
                status = path.stat()
                if status.st_mtime <= limit:
                    if not dry_run:
                        path.unlink()
                    freed += status.st_size
        return freed

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

    def _keep(self, file: BinaryIO, temporary: Path, target: Path) -> None:
        os.fchmod(file.fileno(), 0o644)
        if self._durable:
            os.fsync(file.fileno())
        target.parent.mkdir(exist_ok=True)
        temporary.replace(target)
        if self._durable:
            fsync_folder(target.parent)

    def _missing(self, digest: Digest) -> MissingBlobError:
        return MissingBlobError(
            f"{digest} is not in the store at {self.root}",
            "mirror or receive the image that needs it again",
        )


class _Writer:
    def __init__(self, store: DirectoryStore, file: BinaryIO, temporary: Path) -> None:
        self._store, self._file, self._temporary = store, file, temporary
        self._hasher = Hasher()

    @property
    def size(self) -> int:
        return self._hasher.size

    def write(self, data: bytes) -> None:
        self._hasher.update(data)
        _write(self._file, data)

    def commit(self) -> Digest:
        digest = self._hasher.digest()
        self._store.adopt(self._file, self._temporary, digest)
        return digest


def _write(file: BinaryIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def _read(file: BinaryIO, offset: int) -> Iterator[bytes]:
    with file:
        file.seek(offset)
        while chunk := file.read(CHUNK):
            yield chunk


def _complete(file: BinaryIO, digest: Digest, size: int, fetch: Callable[[int], Iterable[bytes]]) -> None:
    """Bring ``file`` to the proven ``size`` bytes, going on from what an earlier try left."""
    there = file.seek(0, os.SEEK_END)
    if there > size:
        file.truncate(0)
        there = 0
    while True:
        try:
            # What an earlier try left is hashed again: a torn write must not survive.
            for _ in verified(_continued(file, there, size, fetch), digest, size):
                pass
        except TruncatedError:
            raise
        except DamagedError:
            file.truncate(0)
            if not there:
                raise
            # The fault may lie in the part that lay here; only a copy from its start can tell.
            there = 0
        else:
            return


def _continued(file: BinaryIO, there: int, size: int, fetch: Callable[[int], Iterable[bytes]]) -> Iterator[bytes]:
    file.seek(0)
    left = there
    while left and (chunk := file.read(min(CHUNK, left))):
        left -= len(chunk)
        yield chunk
    if there < size or size == 0:
        for chunk in fetch(there):
            _write(file, chunk)
            yield chunk


if TYPE_CHECKING:
    _fits: type[BlobStore] = DirectoryStore
