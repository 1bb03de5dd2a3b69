"""Many things at once, in order, with the first error raised and the rest not started."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Executor(Protocol):
    """Runs a function over many values."""

    def map(self, work: Callable[[T], R], values: Iterable[T]) -> Iterator[R]:
        """Results in the order of ``values``; the first error is raised as it was."""
        ...


@dataclass(frozen=True, slots=True)
class Inline:
    """One after the other, in this thread."""

    def map(self, work: Callable[[T], R], values: Iterable[T]) -> Iterator[R]:
        return (work(value) for value in values)


@dataclass(frozen=True, slots=True)
class Threads:
    """At most ``count`` at a time; hashing, inflating and sockets release the interpreter lock."""

    count: int = 4

    def map(self, work: Callable[[T], R], values: Iterable[T]) -> Iterator[R]:
        with ThreadPoolExecutor(self.count) as pool:
            futures = [pool.submit(work, value) for value in values]
            done, pending = wait(futures, return_when=FIRST_EXCEPTION)
            for future in pending:
                future.cancel()
            for future in done:
                error = future.exception()
                if error is not None:
                    raise error
            return iter([future.result() for future in futures])


if TYPE_CHECKING:
    _inline: type[Executor] = Inline
    _threads: type[Executor] = Threads
