"""Notices that the state has changed, for the price of no query: what a server remembers is good until then."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from threading import Lock

from sallyport.errors import StorageError


class Watch:
    """A connection of its own that only ever asks one thing. Safe for several threads."""

    def __init__(self, path: Path) -> None:
        """Open the state's file for reading.

        Raises:
            StorageError: it cannot be opened.
        """
        self._path = path
        self._lock = Lock()
        try:
            self._connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None, check_same_thread=False
            )
            self._cursor = self._connection.cursor()
            self.version()
        except sqlite3.Error as error:
            raise StorageError(f"cannot watch {path}: {error}", "check that the file may be read") from error

    def version(self) -> int:
        """A number that differs from the last one if anybody, here or in another process, has written since.

        Source: SQLite, PRAGMA data_version; it counts the commits of other connections, and this one makes none.

        Raises:
            StorageError: the file cannot be read any more.
        """
        try:
            with self._lock:
                return int(self._cursor.execute("PRAGMA data_version").fetchone()[0])
        except sqlite3.Error as error:
            raise StorageError(f"cannot watch {self._path}: {error}", "check that the file may be read") from error

    def close(self) -> None:
        """Let go of the file."""
        with self._lock, closing(self._connection):
            self._cursor.close()
