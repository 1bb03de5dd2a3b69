"""What carries bundles one way and receipts back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from sallyport.bundle import Position


class Transport(Protocol):
    """One way across. A new one is one file and one entry point ``sallyport.transports``, named by its scheme.

    Nothing it gives back is trusted: bundles are proven by their signatures, and so are receipts.
    """

    @property
    def outgoing(self) -> Path:
        """The folder into which a bundle is written: the medium itself, or a spool."""
        ...

    def deliver(self, bundle: Path) -> None:
        """Get a sealed bundle across, whole or not at all; one that is there already is left alone."""
        ...

    def waiting(self, destination: str, *, after: Position) -> tuple[Path, ...]:
        """Folders of the bundles for ``destination`` that came and are newer than ``after``, oldest first.

        By their names, which are only hints.
        """
        ...

    def put_receipt(self, receipt: Path) -> None:
        """Send a signed receipt back, under its own name."""
        ...

    def receipts(self) -> Iterator[tuple[str, bytes]]:
        """Every receipt that came back, with what to call it in a message."""
        ...
