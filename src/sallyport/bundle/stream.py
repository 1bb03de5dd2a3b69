"""Move bytes once, at the disk's pace: one thread reads and hashes while another writes."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import BinaryIO

WINDOW = 64 * 1024 * 1024
"""Bytes after which what was written is sent to the disk: the fsync at the end then waits for little, and
a slow medium does not fill the memory with dirty pages."""
_DEPTH = 4  # chunks that may wait between the two threads


class _Stopped(Exception):  # noqa: N818 - never leaves this file
    """The reader of the queue has gone."""


def read_ahead(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """``chunks``, fetched by another thread; its error is raised here, in its place.

    Close the iterator (or exhaust it): a thread ends with it.
    """
    ready: queue.Queue[bytes | BaseException | None] = queue.Queue(_DEPTH)
    stop = threading.Event()

    def put(item: bytes | BaseException | None) -> None:
        while not stop.is_set():
            try:
                ready.put(item, timeout=0.2)
            except queue.Full:
                continue
            return
        raise _Stopped

    def fetch() -> None:
        try:
            try:
                for chunk in chunks:
                    put(chunk)
            except _Stopped:
                raise
            except BaseException as error:  # noqa: BLE001 - it is raised again by the one who waits
                put(error)
            else:
                put(None)
        except _Stopped:
            pass
        finally:
            close = getattr(chunks, "close", None)
            if close is not None:
                close()

    thread = threading.Thread(target=fetch, name="read-ahead", daemon=True)
    thread.start()
    try:
        while True:
            item = ready.get()
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
        thread.join()


def pour(chunks: Iterable[bytes], file: BinaryIO) -> Iterator[int]:
    """Write ``chunks`` to ``file`` while the next ones are fetched; yields how many bytes each had."""
    handle = file.fileno()
    written = sent = 0
    with closing(read_ahead(chunks)) as ahead:  # type: ignore[type-var]
        for chunk in ahead:
            view = memoryview(chunk)
            while view:
                view = view[file.write(view) :]
            written += len(chunk)
            if written - sent >= WINDOW:
                _send(handle, sent, written - sent)
                sent = written
            yield len(chunk)


def _send(handle: int, offset: int, size: int) -> None:
    # On Linux this starts the write-back of dirty pages without waiting for it.
    os.posix_fadvise(handle, offset, size, os.POSIX_FADV_DONTNEED)
