"""The nouns of the audit: what the store says about itself at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sallyport.bundle import Receipt
from sallyport.gate import Verdict
from sallyport.match import Scan
from sallyport.oci import Digest
from sallyport.store import Event


@dataclass(frozen=True, slots=True)
class PlatformReport:
    """One image for one platform."""

    platform: str
    digest: Digest
    packages: int | None  # in its bill; None where there is none
    scan: Scan | None  # of what is there now
    before: Scan | None  # of what it replaced; None where nothing was replaced
    verdict: Verdict | None  # of this platform alone


@dataclass(frozen=True, slots=True)
class ImageReport:
    """One tag that somebody may run, or would like to."""

    repository: str
    tag: str
    digest: Digest
    state: str  # "released", "imported", "candidate", "mirrored"
    at: datetime | None  # when it came into that state
    upstream: str  # the reference it was mirrored from; empty where that is not known
    channels: tuple[str, ...]  # that name it now
    newer: str  # the tag that takes its place; empty where this is the newest
    verdict: Verdict | None
    platforms: tuple[PlatformReport, ...]

    @property
    def name(self) -> str:
        return f"{self.repository}:{self.tag}"

    @property
    def scanned(self) -> bool:
        """Whether every platform was looked at."""
        return bool(self.platforms) and all(platform.scan is not None for platform in self.platforms)


@dataclass(frozen=True, slots=True)
class SourceReport:
    """An advisory source, and how old the oldest of its answers is that a scan here rests on."""

    source: str
    as_of: datetime
    days: int


@dataclass(frozen=True, slots=True)
class JournalReport:
    """The journal, and whether its chain holds."""

    lines: int
    whole: bool
    problem: str  # the first broken line; empty where it is whole
    head: Digest | None  # of the last line; who notes it down can prove later that nothing was rewritten
    recent: tuple[Event, ...]  # newest first, at most ``look``'s limit


@dataclass(frozen=True, slots=True)
class Report:
    """Everything in it was read from the store; nothing was asked elsewhere."""

    title: str
    made_at: datetime
    images: tuple[ImageReport, ...]  # current ones, by repository
    superseded: tuple[ImageReport, ...]  # older releases that no channel names
    sources: tuple[SourceReport, ...]
    receipts: tuple[Receipt, ...]  # newest first
    journal: JournalReport
    problems: tuple[str, ...]  # facts that could not be read
