"""Where advisories come from."""

from __future__ import annotations

from typing import Protocol

from sallyport.advisories.model import Feed
from sallyport.catalog import Bill


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
