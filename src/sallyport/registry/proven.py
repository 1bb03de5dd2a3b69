"""Whether the bytes of a blob are still those that were stored: looked at before they are sent for the first time,
and again when their file is another one or was written to.
"""

from __future__ import annotations

import os
from pathlib import Path

from sallyport.oci import Digest, verified
from sallyport.store import BlobStore

Stamp = tuple[int, int, int]
LARGEST = 128 * 1024 * 1024
"""Bytes of a blob that are read for this; who asks for more should not have to wait, and its reader proves it."""
_KNOWN = 50_000


class Proven:
    """Safe for several threads; two that ask for the same blob at once both read it."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._stamps: dict[Digest, Stamp] = {}

    def check(self, digest: Digest) -> Stamp | None:
        """What the file was when its bytes were proven; None where the store has no file for them.

        Raises:
            DamagedError: they are other bytes.
        """
        path = self._blobs.path(digest)
        seen = stamp(path) if path is not None else None
        if seen is None or self._stamps.get(digest) == seen:
            return seen
        size = seen[0]
        if size <= LARGEST:
            for _ in verified(self._blobs.chunks(digest), digest, size, what=f"the blob {digest}"):
                pass
        if len(self._stamps) >= _KNOWN:
            self._stamps.clear()
        self._stamps[digest] = seen
        return seen


def stamp(path: Path | str) -> Stamp | None:
    """What tells whether a file is the one that was seen before; None if there is none."""
    try:
        status = os.stat(path)  # noqa: PTH116 - for every pull; a Path costs more than the call
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ino
