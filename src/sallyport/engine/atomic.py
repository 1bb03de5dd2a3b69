"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from sallyport.errors import DiskFullError, StorageError

TEMPORARY_PREFIX = ".tmp-"
"""What a kill leaves behind starts with this and is swept by ``gc``."""


def storage_error(error: OSError, path: Path) -> StorageError:
    """The typed error for a failed write to ``path``."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFullError(
            f"no space left while writing {path}",
            "free space or choose another folder, then run the same command again; it resumes",
        )
    return StorageError(
        f"cannot write {path}: {error.strerror or error}",
        "check that the folder exists and that this user may write to it",
    )


def fsync_folder(folder: Path) -> None:
    """Make renames in ``folder`` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def atomic_write(path: Path, *, mode: int = 0o644) -> Iterator[BinaryIO]:
    """Write ``path`` so that a reader sees the old file or the new one, never a part.

    Raises:
        DiskFullError: no space; the old file is as it was.
        StorageError: any other failure of the file system.
    """
    temporary = path.parent / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with open(handle, "wb", buffering=0) as file:  # noqa: PTH123 - a descriptor, not a path
            # The umask must not make a published file unreadable, nor a secret readable.
            os.fchmod(file.fileno(), mode)
            yield file
            os.fsync(file.fileno())
        temporary.replace(path)
        # Without this a power cut can forget the rename although it kept the data.
        fsync_folder(path.parent)
    except OSError as error:
        raise storage_error(error, path) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_file(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write ``data`` to ``path`` atomically; its folder is made where it is missing."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(error, path.parent) from error
    with atomic_write(path, mode=mode) as file:
        view = memoryview(data)
        while view:
            view = view[file.write(view) :]


def sweep(folder: Path, *, older_than_s: float = 3600.0) -> int:
    """Remove temporaries that a kill left behind in ``folder``; returns the bytes freed."""
    freed = 0
    limit = time.time() - older_than_s
    for path in folder.glob(f"{TEMPORARY_PREFIX}*"):
        with contextlib.suppress(OSError):
            status = path.stat()
            if status.st_mtime <= limit:
                path.unlink()
                freed += status.st_size
    return freed
