"""Progress is a parameter with a silent default."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol


class Task(Protocol):
    """One bar."""

    def advance(self, amount: int) -> None:
        """``amount`` more units are done (bytes unless the task says otherwise)."""
        ...


class Progress(Protocol):
    """Where long work says how far it is. Safe to call from several threads."""

    def task(self, label: str, total: int | None = None) -> AbstractContextManager[Task]:
        """A bar for as long as the block runs; ``total`` in units, None where unknown."""
        ...

    def say(self, text: str) -> None:
        """One line for the person who watches; not data, never secret."""
        ...


@dataclass(frozen=True, slots=True)
class _NoTask:
    def advance(self, amount: int) -> None:
        """Nobody watches."""


@dataclass(frozen=True, slots=True)
class Silent:
    """Nobody watches: a pipe, a test, a library call."""

    def task(self, label: str, total: int | None = None) -> AbstractContextManager[Task]:  # noqa: ARG002
        return nullcontext(_NoTask())

    def say(self, text: str) -> None:
        """Nobody watches."""


if TYPE_CHECKING:
    _fits: type[Progress] = Silent
