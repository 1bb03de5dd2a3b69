"""The state's database: SQLite in WAL mode through SQLAlchemy, its shape kept by Alembic.

Every write is one short ``BEGIN IMMEDIATE`` transaction, so that threads and processes wait for
each other for milliseconds instead of failing half-way with "database is locked".
"""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from sallyport.engine import exclusive
from sallyport.errors import DiskFullError, LockedError, StorageError, UsageError
from sallyport.store.migrations import HEAD

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, TextClause

Row: TypeAlias = tuple[Any, ...]
WAIT_MS = 15_000
"""How long a writer waits for the writers before it; a write takes a few milliseconds."""
_PREFIX = "sqlite:///"
_PAGE = 500


class Transaction:
    """Runs statements inside one write."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def run(self, sql: str, **values: Any) -> int:
        """Run a statement; returns how many rows it touched."""
        return self._connection.execute(_text(sql), values).rowcount

    def rows(self, sql: str, **values: Any) -> list[Row]:
        return [tuple(row) for row in self._connection.execute(_text(sql), values)]


class Database:
    """A pool of connections to one file."""

    def __init__(self, url: str) -> None:
        """Open, and bring the shape up to date.

        Raises:
            UsageError: not the address of an SQLite file.
            StorageError: no database, or one of a newer sallyport.
        """
        if not url.startswith(_PREFIX) or not url[len(_PREFIX) :]:
            raise UsageError(
                f"no state store understands {url[:80]!r}", "write it like sqlite:////srv/sallyport/state.db"
            )
        self.path = Path(url[len(_PREFIX) :])
        self._engine = _engine(self.path)
        try:
            with _translated(self.path):
                self._migrate()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the file."""
        self._engine.dispose()

    def rows(self, sql: str, **values: Any) -> list[Row]:
        """All rows of a query: one statement, prepared once for each connection, and no transaction around it."""
        with _translated(self.path), closing(self._engine.raw_connection()) as connection:
            cursor = connection.cursor()
            try:
                cursor.execute(sql, values)
                return list(cursor.fetchall())
            finally:
                cursor.close()

    def paged(self, sql: str, after: str | int | None, **values: Any) -> Iterator[Row]:
        """Rows of a query over ``:after`` (NULL at first) and ``:page`` whose first column is its order.

        Pages, because a query that stays open while its reader works would hold back the
        write-ahead log from being folded into the file.
        """
        while True:
            rows = self.rows(sql, after=after, page=_PAGE, **values)
            yield from rows
            if len(rows) < _PAGE:
                return
            after = rows[-1][0]

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """One write: everything in the block, or nothing."""
        with (
            _translated(self.path),
            self._engine.connect().execution_options(immediate=True) as connection,
            connection.begin(),
        ):
            yield Transaction(connection)

    def _migrate(self) -> None:
        if self._shape() == HEAD:
            return
        # Two processes that open a new store at once must not both build it.
        with exclusive(self.path.with_name(f".{self.path.name}.lock")):
            shape = self._shape()
            if shape == HEAD:
                return
            if shape > HEAD:
                raise StorageError(
                    f"{self.path} was written by a newer sallyport (shape {shape}, this one knows {HEAD})",
                    "use the newer sallyport",
                )
            self._upgrade()

    def _shape(self) -> str:
        if not self.rows("SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'alembic_version'"):
            return ""
        rows = self.rows("SELECT version_num FROM alembic_version")
        return str(rows[0][0]) if rows else ""

    def _upgrade(self) -> None:
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
        config.set_main_option("path_separator", "newline")
        with self._engine.connect().execution_options(immediate=True) as connection, connection.begin():
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


def _engine(path: Path) -> Engine:
    from sqlalchemy import URL, create_engine, event

    engine = create_engine(URL.create("sqlite", database=str(path)), pool_size=8, max_overflow=24)

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: object) -> None:
        # The driver must not begin transactions by its own rules: "begin" below says which kind.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {WAIT_MS}")
        cursor.execute("PRAGMA journal_mode = WAL")
        # FULL: a receipt or a released image that was reported must survive a power cut.
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        immediate = connection.get_execution_options().get("immediate", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return engine


@functools.lru_cache(maxsize=128)
def _text(sql: str) -> TextClause:
    from sqlalchemy import text

    return text(sql)


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.exc import TimeoutError as PoolTimeoutError

    try:
        yield
    except PoolTimeoutError as error:
        raise LockedError(f"too many threads use {path} at once", "run fewer things at a time") from error
    except (DBAPIError, sqlite3.Error) as error:
        reason = str(error.orig if isinstance(error, DBAPIError) else error)
        if "locked" in reason or "busy" in reason:
            raise LockedError(
                f"another process is writing to {path}", "wait until it has ended, then run the same command again"
            ) from error
        if "disk is full" in reason:
            raise DiskFullError(
                f"no space left while writing {path}", "free space, then run the same command again"
            ) from error
        raise StorageError(
            f"{path}: {reason}",
            "check that the folder may be written to; restore the file from a backup if it is damaged",
        ) from error
