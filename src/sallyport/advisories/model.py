"""The nouns of what is known to be wrong."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

EVIDENCE_LIMIT = 2000  # characters of one piece of evidence


class Severity(enum.Enum):
    """Qualitative rating. Source: CVSS 3.1, section 5; UNKNOWN where no source rates it."""

    UNKNOWN = "unknown"
    NEGLIGIBLE = "negligible"  # also what a distribution calls unimportant: it never gates
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """Higher is worse; UNKNOWN is lowest here, what it means is the policy's to say."""
        return _RANKS[self]


_RANKS = {severity: rank for rank, severity in enumerate(Severity)}


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why a source says so."""

    source: str  # "changelog", "osv"
    reference: str  # "openssl 3.0.22-1~deb12u2", "DSA-6001-1", an address
    text: str  # the changelog entry, the record's summary; at most 2,000 characters


@dataclass(frozen=True, slots=True)
class Advisory:
    """One vulnerability in one stretch of versions of one source package of one ecosystem.

    A source version is affected when it is at or after ``introduced`` and before ``fixed`` (or not
    after ``last_affected``), or when ``versions`` names it.
    """

    id: str  # the CVE where there is one, otherwise the source's own
    aliases: tuple[str, ...]
    ecosystem: str  # "Debian:12"; "Debian" for every release of it
    package: str  # source package name
    introduced: str  # first affected version; "0" for always, "" where only ``versions`` are affected
    fixed: str | None  # first version that is not affected, of the source package; None: no fix is known
    severity: Severity
    evidence: tuple[Evidence, ...]
    last_affected: str | None = None  # where a source names the last bad version and no good one
    versions: tuple[str, ...] = ()  # affected ones that the stretch does not say already

    @property
    def order(self) -> tuple[object, ...]:
        """What advisories are sorted by; equal only for equal advisories."""
        return (
            self.ecosystem,
            self.package,
            self.id,
            self.introduced,
            self.fixed or "",
            self.last_affected or "",
            self.versions,
            self.severity.rank,
            self.aliases,
            tuple((item.source, item.reference, item.text) for item in self.evidence),
        )


@dataclass(frozen=True, slots=True, order=True)
class Asked:
    """What a source was asked about: it has told all it knows that concerns versions from ``since`` on."""

    ecosystem: str  # of the bill: "Debian:12"
    package: str  # source package name
    since: str = "0"  # source version; "0": all versions


@dataclass(frozen=True, slots=True)
class Feed:
    """What one source says, about what, and as of when.

    A package that stands in no ``asked`` is not clean: nobody asked about it.
    """

    source: str  # "changelog", "osv"
    as_of: datetime  # the archive's own signed date, the newest record's date: never the time of reading
    advisories: tuple[Advisory, ...]  # sorted by ``order``, each once
    asked: tuple[Asked, ...] = ()  # sorted
    problems: tuple[str, ...] = ()  # records or packages that could not be read: one sentence each, at most 100


def tidy(advisories: Iterable[Advisory]) -> tuple[Advisory, ...]:
    """Sorted, and each once."""
    return tuple(sorted(set(advisories), key=lambda advisory: advisory.order))
