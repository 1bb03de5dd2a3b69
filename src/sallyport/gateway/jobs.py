"""One job for each thing, however many wait for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Jobs(Generic[K, V]):
    """Runs at most so many at once. A failure is everybody's who waits, and is remembered for a short while."""

    def __init__(self, *, workers: int, queue: int, again_s: float) -> None:
        """``queue``: jobs that wait or run; ``again_s``: how long a failure answers by itself."""
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="gateway")
        self._queue, self._again_s = queue, again_s
        self._lock = Lock()
        self._running: dict[K, Future[V]] = {}
        self._failed: dict[K, tuple[float, Future[V]]] = {}

    def ask(self, key: K, work: Callable[[], V], failed: Callable[[V], bool]) -> Future[V] | None:
        """The job of ``key``, begun unless it runs; None where there are too many jobs already."""
        with self._lock:
            if (running := self._running.get(key)) is not None:
                return running
            now = time.monotonic()
            self._failed = {one: found for one, found in self._failed.items() if found[0] > now}
            if (before := self._failed.get(key)) is not None:
                return before[1]
            if len(self._running) >= self._queue:
                return None
            future = self._pool.submit(work)
            self._running[key] = future
        future.add_done_callback(lambda done: self._ended(key, done, failed))
        return future

    def _ended(self, key: K, future: Future[V], failed: Callable[[V], bool]) -> None:
        with self._lock:
            del self._running[key]
            if not future.cancelled() and (future.exception() is not None or failed(future.result())):
                self._failed[key] = (time.monotonic() + self._again_s, future)

    def close(self) -> None:
        """Let what runs end, and begin nothing that waits."""
        self._pool.shutdown(wait=True, cancel_futures=True)
