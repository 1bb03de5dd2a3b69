"""So many requests to a host at a time, and no more, however many threads ask."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class Slots:
    """A count of places for each host. May be shared by threads."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._lock = threading.Lock()
        self._free: dict[str, threading.BoundedSemaphore] = {}
        self._inside: Counter[tuple[str, int]] = Counter()

    @contextmanager
    def take(self, host: str) -> Iterator[None]:
        """Wait for a place at ``host`` and keep it for as long as the block runs.

        A thread that holds one already asks for no second: two that read one answer while they send what
        they read would wait for each other for ever.
        """
        me = (host, threading.get_ident())
        with self._lock:
            place = self._free.setdefault(host, threading.BoundedSemaphore(self._count))
            inside = self._inside[me] > 0
        if not inside:
            place.acquire()
        with self._lock:
            self._inside[me] += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside[me] -= 1
                if not self._inside[me]:
                    del self._inside[me]
            if not inside:
                place.release()
