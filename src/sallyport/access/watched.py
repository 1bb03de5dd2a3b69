"""A file that is read again when it has changed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Generic, TypeVar

from sallyport.errors import ConfigError, SallyportError

log = logging.getLogger("sallyport.access")

T = TypeVar("T")
_LIMIT = 16 * 1024 * 1024
_Stamp = tuple[int, ...]


class Watched(Generic[T]):
    """What a file says now. Safe for several threads.

    A file that cannot be read or understood while it is watched lets nobody in: ``absent`` is what it says then.
    """

    def __init__(self, path: Path, parse: Callable[[bytes], T], absent: T) -> None:
        """Read it once.

        Raises:
            ConfigError: it is missing or not what ``parse`` understands.
        """
        self.path, self._parse, self._absent = path, parse, absent
        self._lock = Lock()
        self._stamp: _Stamp = _stamp(path)
        self._value = self._read()

    def changed(self) -> bool:
        """Whether it is another file than the one that was read last; costs one look at the folder."""
        try:
            return _stamp(self.path) != self._stamp
        except ConfigError:
            return True

    def value(self) -> T:
        """What it says."""
        if self.changed():
            with self._lock:
                self._stamp = ()  # so that a file that is gone counts as changed when it is back
                try:
                    # First the stamp: what is written while we read is seen at the next look.
                    self._stamp = _stamp(self.path)
                    self._value = self._read()
                except SallyportError as error:
                    if self._value is not self._absent:
                        log.warning("logins_unreadable", extra={"path": str(self.path), "why": error.message})
                    self._value = self._absent
        return self._value

    def _read(self) -> T:
        try:
            with self.path.open("rb") as file:
                data = file.read(_LIMIT + 1)
        except OSError as error:
            raise _unreadable(self.path, error) from error
        if len(data) > _LIMIT:
            raise ConfigError(f"{self.path} has over {_LIMIT} bytes", "name the right file")
        return self._parse(data)


def _stamp(path: Path) -> _Stamp:
    try:
        status = path.stat()
    except OSError as error:
        raise _unreadable(path, error) from error
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino


def _unreadable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"cannot read {path}: {error.strerror or error}", "name a file that this user may read; see access"
    )
