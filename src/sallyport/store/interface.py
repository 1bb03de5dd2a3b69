"""Where bytes rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, Protocol, runtime_checkable

from sallyport.oci import BlobReader, Digest


class BlobWriter(Protocol):
    """Bytes on their way in, whose digest is not known yet."""

    @property
    def size(self) -> int:
        """Bytes written so far."""
        ...

    def write(self, data: bytes) -> None:
        """Add bytes."""
        ...

    def commit(self) -> Digest:
        """Keep them, durable, and say their digest."""
        ...


class BlobStore(BlobReader, Protocol):
    """Keeps bytes by digest. The promise: the bytes whole and proven, or nothing at all."""

    def put(self, digest: Digest, size: int, chunks: Iterable[bytes]) -> None:
        """Keep verified bytes; a digest that is there already is not read.

        Raises DigestMismatchError, TruncatedError, OversizeError, DiskFullError; then nothing is kept.
        """
        ...

    def resume(self, digest: Digest, size: int, fetch: Callable[[int], Iterable[bytes]]) -> None:
        """Like ``put``, but calls ``fetch(offset)`` with the bytes that a broken earlier try left."""
        ...

    def create(self) -> AbstractContextManager[BlobWriter]:
        """Used as ``with store.create() as writer``; without ``commit`` nothing is kept."""
        ...

    def delete(self, digest: Digest) -> int:
        """Forget the bytes; returns how many, 0 where there were none."""
        ...

    def digests(self) -> Iterator[Digest]:
        """Everything that is there, in no order."""
        ...

    def path(self, digest: Digest) -> Path | None:
        """A local file with the bytes, where there is one, so that a server can send it without copying."""
        ...


@runtime_checkable
class Sweeping(Protocol):
    """A blob store that can leave something behind when it is killed."""

    def sweep(self, *, older_than_s: float, dry_run: bool = False) -> int:
        """Remove what broken copies left longer ago than that; returns bytes, also where nothing is removed."""
        ...


@runtime_checkable
class Aging(Protocol):
    """A blob store that knows when bytes were last put, or asked to be put while they were there already."""

    def changed_at(self, digest: Digest) -> float:
        """Seconds since the epoch; 0 where there are no such bytes."""
        ...


@runtime_checkable
class Adopting(Protocol):
    """A blob store that takes a finished file over, without copying it where it can."""

    def adopt(self, file: BinaryIO, temporary: Path, digest: Digest) -> None:
        """Keep the open ``file`` at ``temporary``, whose digest its writer computed; the file is moved away."""
        ...


@runtime_checkable
class Quarantining(Protocol):
    """A blob store whose bytes lie in no local file, and that can take damaged ones away by itself."""

    def quarantine(self, digest: Digest) -> str:
        """Move the bytes to where nobody reads them by this digest; says where."""
        ...
