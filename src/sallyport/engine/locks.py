"""One writer at a time, across processes; the kernel lets go when a process dies."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sallyport.engine.atomic import storage_error
from sallyport.errors import LockedError


@contextmanager
def exclusive(path: Path, *, timeout_s: float = 10.0) -> Iterator[None]:
    """Hold the lock file ``path`` alone.

    Raises:
        LockedError: another holder kept it for ``timeout_s`` seconds.
    """
    with _held(path, fcntl.LOCK_EX, timeout_s):
        yield


@contextmanager
def shared(path: Path, *, timeout_s: float = 10.0) -> Iterator[None]:
    """Hold the lock file ``path`` together with other shared holders; never beside an exclusive one.

    Raises:
        LockedError: an exclusive holder kept it for ``timeout_s`` seconds.
    """
    with _held(path, fcntl.LOCK_SH, timeout_s):
        yield


@contextmanager
def _held(path: Path, kind: int, timeout_s: float) -> Iterator[None]:
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise storage_error(error, path) from error
    try:
        until = time.monotonic() + timeout_s
        while True:
            try:
                fcntl.flock(handle, kind | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() >= until:
                    raise LockedError(
                        f"another process holds {path}",
                        "wait until it has ended, then run the same command again",
                    ) from error
                time.sleep(0.05)
        yield
    finally:
        os.close(handle)
