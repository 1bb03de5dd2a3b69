"""What the inside brings to a crossing: its own scan and its own policy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from sallyport.advisories import Feed
from sallyport.bundle import Released
from sallyport.gate import Verdict
from sallyport.match import Scan
from sallyport.oci import BlobReader


class Scanner(Protocol):
    """The inside's own scan."""

    def __call__(self, released: Released, blobs: BlobReader, feeds: tuple[Feed, ...]) -> Sequence[Scan]:
        """One scan for each container image below ``released``, with ``side="inside"``; none where it cannot say.

        ``blobs`` are proven bytes in quarantine, not yet imported; ``feeds`` came with the bundle, signed.
        """
        ...


class Judge(Protocol):
    """The inside's own policy."""

    def __call__(self, released: Released, scans: Sequence[Scan]) -> Verdict:
        """Whether the image may be imported."""
        ...


class FeedReader(Protocol):
    """Reads advisories that travelled."""

    def __call__(self, source: Path) -> tuple[Feed, ...]:
        """All of them, or an error."""
        ...
