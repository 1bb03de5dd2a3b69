"""The nouns of matching: findings and the scan that found them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sallyport.advisories import Evidence, Severity
from sallyport.catalog import Package
from sallyport.oci import Digest, Platform


@dataclass(frozen=True, slots=True)
class Finding:
    """One vulnerability in one installed package, with the evidence of every source that says so."""

    id: str  # CVE
    package: Package
    fixed: str | None  # source version that closes it; None: no fix is known
    severity: Severity
    evidence: tuple[Evidence, ...]

    @property
    def fixable(self) -> bool:
        return self.fixed is not None


@dataclass(frozen=True, slots=True)
class SourceDate:
    """A source that was asked, and as of when it spoke."""

    source: str
    as_of: datetime


@dataclass(frozen=True, slots=True)
class Scan:
    """The findings in one image for one platform, sorted by id and package."""

    image: Digest  # of the image's manifest
    platform: Platform
    packages: int  # how many some source knows about; 0 is not "clean" but "nothing to look at"
    findings: tuple[Finding, ...]
    sources: tuple[SourceDate, ...]  # those that were asked about every package
    scanned_at: datetime
    side: str  # "outside" or "inside": the inside never counts the outside's scan as its own
    gaps: tuple[str, ...] = ()  # what a source could not say, as sentences; such a source is not among ``sources``

    @property
    def vulnerabilities(self) -> frozenset[str]:
        """Distinct identifiers, however many packages carry each."""
        return frozenset(finding.id for finding in self.findings)
