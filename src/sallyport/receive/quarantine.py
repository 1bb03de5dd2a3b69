"""Where a bundle's bytes wait until the inside has judged them: on the store's own disk, outside of the store.

Same disk, so that what passes is renamed into the store and never copied twice.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sallyport.bundle import Blob, BundleBlobs
from sallyport.engine import TEMPORARY_PREFIX, Task, exclusive, storage_error
from sallyport.errors import DamagedError, DiskFullError, StorageError
from sallyport.oci import BlobReader, Digest, verified
from sallyport.store import Adopting, BlobStore, DirectoryStore, Store

FOLDER = "quarantine"
_SPARE = 16 * 1024 * 1024  # bytes for the state and the receipt beside the blobs


class Quarantine:
    """Blobs on trial. Not durable by itself: what a power cut leaves is hashed again before it counts."""

    def __init__(self, root: Path) -> None:
        self._root = root / FOLDER
        self._blobs = DirectoryStore(self._root, durable=False)
        self._proven: set[Digest] = set()

    @property
    def blobs(self) -> BlobReader:
        return self._blobs

    def path(self, digest: Digest) -> Path | None:
        """The file with the bytes."""
        return self._blobs.path(digest)

    def proven(self, digest: Digest) -> bool:
        """Whether its bytes here were hashed since this was opened."""
        return digest in self._proven

    def keep_only(self, blobs: Iterable[Blob]) -> int:
        """Remove what is not of ``blobs``, or not whole; returns how many bytes are left."""
        wanted = {blob.digest: blob.size for blob in blobs}
        left = 0
        for digest in list(self._blobs.digests()):
            size = wanted.get(digest)
            if size is None or not self._whole(digest, size):
                self._blobs.delete(digest)
            else:
                left += size
                self._proven.add(digest)
        self._blobs.sweep(older_than_s=0)
        return left

    def check_room(self, needed: int) -> None:
        """Raises DiskFullError where ``needed`` more bytes would not fit."""
        free = shutil.disk_usage(self._root).free
        if needed + _SPARE > free:
            raise DiskFullError(
                f"the bundle needs {needed:,} bytes in {self._root}, where {free:,} are free",
                "free space, then receive it again; nothing was changed",
            )

    def take(self, digest: Digest, source: BundleBlobs, task: Task) -> None:
        """Copy a blob of the bundle and prove what arrived; nothing is kept where it is not whole."""
        temporary = self._root / "partial" / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
        try:
            with temporary.open("x+b", buffering=0) as file:
                for size in source.copy(digest, file):
                    task.advance(size)
                self._blobs.adopt(file, temporary, digest)
                self._proven.add(digest)
        except OSError as error:
            raise storage_error(error, temporary) from error
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)

    def bring(self, store: BlobStore, digest: Digest, size: int) -> Path | None:
        """A file with bytes that ``store`` has already, also where it keeps no files; None where it has none."""
        if (path := store.path(digest)) is not None or not store.has(digest):
            return path
        self._blobs.put(digest, size, store.chunks(digest))
        return self._blobs.path(digest)

    def move_to(self, store: BlobStore, digest: Digest, size: int) -> None:
        """Let the blob into ``store``, durable; one that is there, or was moved before, is left alone."""
        path = self._blobs.path(digest)
        if path is None or store.has(digest):
            return
        if not isinstance(store, Adopting):
            store.put(digest, size, self._blobs.chunks(digest))
            return
        try:
            with path.open("rb") as file:
                store.adopt(file, path, digest)
        except OSError as error:
            raise storage_error(error, path) from error

    def clear(self) -> None:
        """Remove everything."""
        for digest in list(self._blobs.digests()):
            self._blobs.delete(digest)
        self._blobs.sweep(older_than_s=0)

    def _whole(self, digest: Digest, size: int) -> bool:
        try:
            for _ in verified(self._blobs.chunks(digest), digest, size):
                pass
        except (DamagedError, StorageError):
            return False
        return True


@contextmanager
def opened_quarantine(store: Store, *, timeout_s: float) -> Iterator[Quarantine]:
    """The quarantine of ``store``, for one bundle at a time."""
    quarantine = Quarantine(store.root)
    with exclusive(store.root / FOLDER / ".lock", timeout_s=timeout_s):
        yield quarantine


class Beside:
    """Reads from quarantine, and from the store what the bundle left out."""

    def __init__(self, quarantine: BlobReader, store: BlobReader) -> None:
        self._places = (quarantine, store)

    def has(self, digest: Digest) -> bool:
        return any(place.has(digest) for place in self._places)

    def size(self, digest: Digest) -> int:
        return self._place(digest).size(digest)

    def chunks(self, digest: Digest, *, offset: int = 0) -> Iterator[bytes]:
        return self._place(digest).chunks(digest, offset=offset)

    def _place(self, digest: Digest) -> BlobReader:
        first, second = self._places
        return first if first.has(digest) else second


if TYPE_CHECKING:
    _fits: type[BlobReader] = Beside
