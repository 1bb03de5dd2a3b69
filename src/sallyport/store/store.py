"""One folder: ``blobs/``, ``partial/``, ``state.db`` and the lock."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from sallyport.engine import Clock, SystemClock, exclusive, shared
from sallyport.errors import UsageError
from sallyport.store.directory import DirectoryStore
from sallyport.store.interface import BlobStore
from sallyport.store.state import State

LOCK = ".lock"
STATE = "state.db"


@dataclass(frozen=True, slots=True)
class Store:
    """Bytes and facts of one side. Used as a context manager, it closes the state at the end."""

    root: Path
    blobs: BlobStore
    state: State

    def lock(self, *, timeout_s: float = 10.0) -> AbstractContextManager[None]:
        """Be the only one that writes, across processes: for garbage collection and long copies.

        Raises:
            LockedError: another process held it for ``timeout_s`` seconds.
        """
        return exclusive(self.root / LOCK, timeout_s=timeout_s)

    def lease(self, *, timeout_s: float = 10.0) -> AbstractContextManager[None]:
        """Write beside others, and keep garbage collection out meanwhile; not inside ``lock``.

        Raises:
            LockedError: somebody held ``lock`` for ``timeout_s`` seconds.
        """
        return shared(self.root / LOCK, timeout_s=timeout_s)

    def close(self) -> None:
        """Let go of the state's file."""
        self.state.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_store(
    root: Path,
    *,
    create: bool = True,
    clock: Clock = SystemClock(),  # noqa: B008 - an immutable value
    blobs: BlobStore | None = None,
) -> Store:
    """Open the store in ``root``; ``blobs`` says where its bytes rest instead of there.

    Raises:
        UsageError: there is none, and ``create`` is false.
        StorageError: the folder or the database cannot be made or opened.
    """
    if not create and not (root / STATE).is_file():
        raise UsageError(
            f"there is no store at {root}", "name the folder of a store, or make one with 'sallyport init'"
        )
    return Store(
        root,
        DirectoryStore(root) if blobs is None else blobs,
        State(f"sqlite:///{(root / STATE).resolve()}", clock=clock),
    )
