"""Bytes on their way into a store: files in ``partial/`` that are proven before they get a blob's name.

A file with a random name is gone when its writer is; one with a digest's name is what a broken copy goes on from.
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
from typing import BinaryIO

from sallyport.engine import TEMPORARY_PREFIX, storage_error
from sallyport.errors import DamagedError, TruncatedError
from sallyport.oci import CHUNK, Digest, Hasher, verified

Keep = Callable[[BinaryIO, Path, Digest], None]
"""Gives a file of proven bytes its blob's name; the file itself may be moved away."""


class Partials:
    """The folder of one store."""

    def __init__(self, folder: Path, keep: Keep) -> None:
        """The folder is made where needed."""
        self.folder = folder
        self._keep = keep
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(error, folder) from error

    def put(self, digest: Digest, size: int, chunks: Iterable[bytes]) -> None:
        """Write, prove and keep; or nothing."""
        with self._new() as (file, path):
            fill(file, verified(chunks, digest, size))
            self._keep(file, path, digest)

    def resume(
        self, digest: Digest, size: int, fetch: Callable[[int], Iterable[bytes]], *, has: Callable[[Digest], bool]
    ) -> None:
        """Go on from what an earlier try left, prove and keep."""
        path = self.folder / f"{digest.algorithm}-{digest.hex}"
        try:
            with path.open("a+b", buffering=0) as file:
                # One copy of one blob at a time, or two appends would interleave.
                fcntl.flock(file.fileno(), fcntl.LOCK_EX)
                if has(digest):
                    path.unlink(missing_ok=True)
                    return
                _complete(file, digest, size, fetch)
                self._keep(file, path, digest)
        except OSError as error:
            raise storage_error(error, path) from error

    @contextmanager
    def create(self) -> Iterator[Writer]:
        """A writer of bytes whose digest is not known yet."""
        with self._new() as (file, path):
            yield Writer(self._keep, file, path)

    def sweep(self, older_than_s: float, *, dry_run: bool) -> int:
        """Remove what broken copies left longer ago than that; returns bytes, also where nothing is removed."""
        freed = 0
        limit = time.time() - older_than_s
        for path in self.folder.iterdir():
            with contextlib.suppress(OSError):
                status = path.stat()
                if status.st_mtime <= limit:
                    if not dry_run:
                        path.unlink()
                    freed += status.st_size
        return freed

    @contextmanager
    def _new(self) -> Iterator[tuple[BinaryIO, Path]]:
        path = self.folder / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
        try:
            with path.open("x+b", buffering=0) as file:
                yield file, path
        except OSError as error:
            raise storage_error(error, path) from error
        finally:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


class Writer:
    """A :class:`BlobWriter` over one file."""

    def __init__(self, keep: Keep, file: BinaryIO, path: Path) -> None:
        self._keep, self._file, self._path = keep, file, path
        self._hasher = Hasher()

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._hasher.size

    def write(self, data: bytes) -> None:
        """Add bytes."""
        self._hasher.update(data)
        _write(self._file, data)

    def commit(self) -> Digest:
        """Keep them, and say their digest."""
        digest = self._hasher.digest()
        self._keep(self._file, self._path, digest)
        return digest


def fill(file: BinaryIO, chunks: Iterable[bytes]) -> None:
    """Write all of ``chunks``."""
    for chunk in chunks:
        _write(file, chunk)


def _write(file: BinaryIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


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
