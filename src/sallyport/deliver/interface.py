"""A registry that gets images, and what is to be set up there before."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from sallyport.deliver.model import Made, Settings
from sallyport.engine import Http
from sallyport.registry import Login


class Destination(Protocol):
    """One kind of registry. A new one is one file and one entry point ``sallyport.destinations``.

    Images go by the registry's own protocol, whatever the kind; this is what is around it.
    """

    @property
    def registry(self) -> str:
        """The host (and port) to which images are pushed."""
        ...

    def names(self, repositories: Sequence[str]) -> Mapping[str, str]:
        """Their repository for each of ours, never the same for two.

        Raises:
            ConfigError: the rules give no name, or one name to two.
        """
        ...

    def prepare(self, repositories: Sequence[str], *, dry_run: bool) -> tuple[Made, ...]:
        """Make what is missing for their ``repositories``; once is as good as twice.

        Raises:
            DeniedError, UnreachableError: without it nothing can be pushed.
        """
        ...

    def finish(self, pushed: Sequence[tuple[str, str]], *, now: datetime) -> tuple[Made, ...]:
        """After a push: for each of their repositories and tags that is new there."""
        ...


Make = Callable[[Settings, Http, Login | None], Destination]
"""What an entry point of ``sallyport.destinations`` gives."""
