"""Copy bytes once and prove what arrived, at the pace of the hash or of the disk.

Measured on two processors: reading, hashing and writing in one thread reaches 0.7 of the hash alone; handing
chunks from one Python thread to another gains nothing. So the kernel copies (``sendfile``) while the hash
follows behind it, over what has arrived in the target: that reaches 0.9 or more. On one processor it loses a
tenth, because the bytes have left its cache meanwhile; there one thread does everything.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from sallyport.errors import DigestMismatchError, OversizeError, TruncatedError
from sallyport.oci import CHUNK, BlobReader, Digest, Hasher

WINDOW = 64 * 1024 * 1024
"""Bytes after which what was written is sent to the disk: the fsync at the end then waits for little, and
a slow medium does not fill the memory with dirty pages."""
_STRIDE = 8 * 1024 * 1024  # bytes that the kernel copies at once; small enough to stay in the processor's reach
_SMALL = 2 * 1024 * 1024  # bytes below which a thread costs more than it gains


def pour(chunks: Iterable[bytes], file: BinaryIO) -> Iterator[int]:
    """Write ``chunks`` to ``file``; yields how many bytes each had. They are durable after an fsync only."""
    behind = _WriteBack(file)
    for chunk in chunks:
        view = memoryview(chunk)
        while view:
            view = view[file.write(view) :]
        behind.wrote(len(chunk))
        yield len(chunk)


def copy_blob(
    blobs: BlobReader, digest: Digest, size: int, target: BinaryIO, *, source: BinaryIO | None = None, what: str = ""
) -> Iterator[int]:
    """Copy a blob into ``target``, which is empty and readable too; yields how many bytes were proven.

    ``source`` is a file with the blob's bytes, where there is one: then the kernel copies. Whatever it does not
    copy, because it cannot or because the file breaks off, is read from ``blobs``, so that errors are those of
    ``blobs``. Hashed is what arrived, so a source that says one thing twice in two ways gains nothing.

    Raises:
        OversizeError, TruncatedError, DigestMismatchError: at the end; then ``target`` is to be thrown away.
    """
    name = what or str(digest)
    hasher, behind = Hasher(digest.algorithm), _WriteBack(target)
    if source is not None and size >= _SMALL and len(os.sched_getaffinity(0)) > 1:
        for step in _follow(source, target, size, hasher):
            behind.wrote(step)
            yield step
    target.seek(hasher.size)
    if hasher.size < size or size == 0:
        for chunk in blobs.chunks(digest, offset=hasher.size):
            if hasher.size + len(chunk) > size:
                raise OversizeError(f"{name} is longer than the {size} bytes that it should have", _MEND)
            hasher.update(chunk)
            view = memoryview(chunk)
            while view:
                view = view[target.write(view) :]
            behind.wrote(len(chunk))
            yield len(chunk)
    if hasher.size < size:
        raise TruncatedError(f"{name} ended after {hasher.size} of {size} bytes", _MEND)
    if hasher.digest() != digest:
        raise DigestMismatchError(f"{name}: asked for {digest}, got {hasher.digest()}", _MEND)


_MEND = "copy it again; if it happens twice, keep the medium as evidence"


def _follow(source: BinaryIO, target: BinaryIO, size: int, hasher: Hasher) -> Iterator[int]:
    """Hash what the kernel copies, behind it; ends early where it stops."""
    ends: queue.SimpleQueue[int | None] = queue.SimpleQueue()
    stop = threading.Event()

    def send() -> None:
        offset = 0
        try:
            while offset < size and not stop.is_set():
                sent = os.sendfile(target.fileno(), source.fileno(), offset, min(_STRIDE, size - offset))
                if sent == 0:
                    break
                offset += sent
                ends.put(offset)
        except OSError:
            # Whether source or target failed does not show here: the plain copy goes on, and meets the error.
            pass
        finally:
            ends.put(None)

    thread = threading.Thread(target=send, name="copy", daemon=True)
    thread.start()
    buffer = memoryview(bytearray(CHUNK))
    try:
        while (end := ends.get()) is not None:
            while hasher.size < end:
                got = os.preadv(target.fileno(), [buffer[: min(CHUNK, end - hasher.size)]], hasher.size)
                if got == 0:
                    return
                hasher.update(buffer[:got])
                yield got
    finally:
        stop.set()
        thread.join()


class _WriteBack:
    """Lets the disk begin before the end."""

    def __init__(self, file: BinaryIO) -> None:
        self._handle = file.fileno()
        self._written = self._sent = 0

    def wrote(self, size: int) -> None:
        self._written += size
        if self._written - self._sent >= WINDOW:
            # On Linux this starts the write-back of dirty pages, and does not wait for it.
            os.posix_fadvise(self._handle, self._sent, self._written - self._sent, os.POSIX_FADV_DONTNEED)
            self._sent = self._written
