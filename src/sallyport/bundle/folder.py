"""A bundle's folder on a medium that anybody may have had in hand: nothing is followed, everything is bounded."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from sallyport.bundle.errors import (
    ExtraFileError,
    LongFileError,
    MissingFileError,
    NoBundleError,
    TruncatedFileError,
    UnsafeFileError,
)
from sallyport.errors import StorageError
from sallyport.oci import CHUNK, Digest

_AGAIN = "copy the bundle to the medium again; if it happens twice, keep the medium as evidence"


def blob_path(digest: Digest) -> str:
    """Where a blob lies in a bundle. Source: OCI image-spec 1.1, image-layout.md."""
    return f"blobs/{digest.algorithm}/{digest.hex}"


def open_file(folder: Path, path: str) -> BinaryIO:
    """Open a plain file of the bundle.

    Raises:
        MissingFileError: there is none.
        UnsafeFileError: something else lies there.
        StorageError: the medium does not give it.
    """
    try:
        # A pipe must not hold the program up, and a link must not lead it away.
        handle = os.open(folder / path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise MissingFileError(f"{path} is missing in {folder}", _AGAIN) from error
    except OSError as error:
        if (folder / path).is_symlink():
            raise UnsafeFileError(f"{path} in {folder} is a link", _AGAIN) from error
        raise StorageError(f"cannot read {path} in {folder}: {error.strerror}", _AGAIN) from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise UnsafeFileError(f"{path} in {folder} is not a plain file", _AGAIN)
    return open(handle, "rb", buffering=0)  # noqa: PTH123 - a descriptor, not a path


def read_file(folder: Path, path: str, limit: int) -> bytes:
    """A whole small file of the bundle, at most ``limit`` bytes.

    Raises:
        LongFileError: it has more.
        MissingFileError, UnsafeFileError, StorageError: see :func:`open_file`.
    """
    with open_file(folder, path) as file:
        raw = bytearray()
        try:
            while chunk := file.read(min(CHUNK, limit + 1 - len(raw))):
                raw += chunk
                if len(raw) > limit:
                    raise LongFileError(f"{path} in {folder} has more than {limit} bytes", _AGAIN)
        except OSError as error:
            raise unreadable(folder, path, error) from error
    return bytes(raw)


def unreadable(folder: Path, path: str, error: OSError) -> StorageError:
    """The medium has a bad spot."""
    return StorageError(f"cannot read {path} in {folder}: {error.strerror or error}", _AGAIN)


def list_files(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Every entry below ``folder``, folders too, links not followed; as ``metadata/1.root.json``.

    Raises:
        NoBundleError: there is no such folder.
        StorageError: the medium does not give a listing.
    """
    waiting = [""]
    while waiting:
        here = waiting.pop()
        try:
            with os.scandir(folder / here) as entries:
                for entry in entries:
                    path = f"{here}/{entry.name}" if here else entry.name
                    status = entry.stat(follow_symlinks=False)
                    if stat.S_ISDIR(status.st_mode):
                        waiting.append(path)
                    yield path, status
        except FileNotFoundError as error:
            raise NoBundleError(f"there is no folder {folder / here}", "name the folder of a bundle") from error
        except OSError as error:
            raise unreadable(folder, here or ".", error) from error


def check_listing(folder: Path, expected: Mapping[str, int]) -> None:
    """Prove that ``folder`` holds the ``expected`` files, of those sizes, and nothing else.

    Raises:
        ExtraFileError, UnsafeFileError: something lies there that does not belong.
        MissingFileError, TruncatedFileError, LongFileError: something does not, or not whole.
    """
    # A layout without a single blob keeps the folder that the specification asks for.
    folders = {"blobs", "blobs/sha256", *(part for path in expected for part in _parents(path))}
    missing = dict(expected)
    for path, status in list_files(folder):
        if stat.S_ISDIR(status.st_mode) and path in folders:
            continue
        if path not in expected:
            kind = "" if stat.S_ISREG(status.st_mode) else " (no plain file)"
            raise ExtraFileError(
                f"{path!r}{kind} in {folder} does not belong to the bundle",
                "find out who put it there; an honest one (of a file manager) may be removed",
            )
        if not stat.S_ISREG(status.st_mode):
            raise UnsafeFileError(f"{path} in {folder} is not a plain file", _AGAIN)
        size = missing.pop(path)
        check_size(folder, path, status.st_size, size)
    for path in missing:
        raise MissingFileError(f"{path} is missing in {folder}", _AGAIN)


def check_size(folder: Path, path: str, actual: int, size: int) -> None:
    """Raises TruncatedFileError or LongFileError unless the two are equal."""
    if actual < size:
        raise TruncatedFileError(f"{path} in {folder} has {actual} of {size} bytes", _AGAIN)
    if actual > size:
        raise LongFileError(f"{path} in {folder} has {actual} bytes, not {size}", _AGAIN)


def _parents(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path
