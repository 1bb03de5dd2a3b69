"""The nouns of receiving."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sallyport.bundle import FeedFile, Position, Receipt, Released
from sallyport.gate import Passed, Verdict
from sallyport.match import Scan


@dataclass(frozen=True, slots=True)
class Step:
    """One numbered step, what it read, and how long it took."""

    number: int
    name: str
    seconds: float
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one image."""

    released: Released
    verdict: Verdict
    scans: tuple[Scan, ...]  # the inside's own
    bytes: int  # carried for it by this bundle; a blob that two images share counts for both

    @property
    def imported(self) -> bool:
        return isinstance(self.verdict, Passed)


@dataclass(frozen=True, slots=True)
class Received:
    """A bundle that was received whole, whatever was said about each image."""

    name: str
    position: Position
    outcomes: tuple[Outcome, ...]
    feeds: tuple[FeedFile, ...]
    steps: tuple[Step, ...]
    notes: tuple[str, ...]  # what is odd, and not refused: a clock that differs, metadata that ends soon
    receipt: Receipt
    receipt_file: Path  # signed; carry it back

    @property
    def bytes(self) -> int:
        """How many were read from the medium."""
        return max((step.bytes for step in self.steps if step.name == "quarantine"), default=0)

    @property
    def seconds(self) -> float:
        return sum(step.seconds for step in self.steps)
