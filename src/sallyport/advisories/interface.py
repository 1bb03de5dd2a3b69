"""Where advisories come from, and how their versions are ordered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from sallyport.advisories.model import Feed
from sallyport.catalog import Bill
from sallyport.engine import Executor, Http, Inline, Progress, Silent

if TYPE_CHECKING:
    from sallyport.archives import Archive


class AdvisorySource(Protocol):
    """One source of advisories. A new one is one file and one entry point ``sallyport.advisories``."""

    @property
    def name(self) -> str:
        """What verdicts and tables call it."""
        ...

    def feed(self, bills: tuple[Bill, ...]) -> Feed:
        """Everything this source knows about the source packages in ``bills``, sorted and merged.

        Raises UnreachableError where it cannot be asked: a scan without a source is no scan.
        """
        ...


@dataclass(frozen=True, slots=True)
class Means:
    """What a source may use; whoever opens it hands it in."""

    location: str = ""  # from the configuration: a path or an address
    root: Path = field(default_factory=Path)  # relative paths start here
    archives: Sequence[Archive] = ()
    http: Http | None = None
    cache: Path | None = None  # a folder for what is fetched
    executor: Executor = field(default_factory=Inline)
    progress: Progress = field(default_factory=Silent)


class SourceMaker(Protocol):
    """What an entry point ``sallyport.advisories`` names: its kind is the entry point's name."""

    def __call__(self, means: Means) -> AdvisorySource:
        """Open the source; nothing is read or fetched yet.

        Raises UsageError where ``means`` lack what it needs.
        """
        ...


class VersionOrder(Protocol):
    """How one family of ecosystems orders its version numbers."""

    def key(self, version: str) -> Any:
        """A value that sorts as ``version`` does, comparable with every other one of this order.

        Raises MalformedError where it is no version number.
        """
        ...
