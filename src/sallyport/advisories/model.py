"""The nouns of what is known to be wrong."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime


class Severity(enum.Enum):
    """Qualitative rating. Source: CVSS 3.1, section 5; UNKNOWN where no source rates it."""

    UNKNOWN = "unknown"
    NEGLIGIBLE = "negligible"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """Higher is worse; UNKNOWN is lowest here, what it means is the policy's to say."""
        return list(Severity).index(self)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why a source says so."""

    source: str  # "changelog", "osv"
    reference: str  # "openssl 3.0.22-1~deb12u2", "DSA-6001-1", an address
    text: str  # the changelog entry, the record's summary; at most 2,000 characters


@dataclass(frozen=True, slots=True)
class Advisory:
    """One vulnerability in one source package of one ecosystem."""

    id: str  # the CVE where there is one, otherwise the source's own
    aliases: tuple[str, ...]
    ecosystem: str  # "Debian:12"
    package: str  # source package name
    introduced: str  # first affected version; "0" for always
    fixed: str | None  # first version that is not affected, of the source package; None: no fix is known
    severity: Severity
    evidence: tuple[Evidence, ...]


@dataclass(frozen=True, slots=True)
class Feed:
    """What one source says, and as of when."""

    source: str  # "changelog", "osv:Debian:12"
    as_of: datetime  # the archive's own signed date, the newest record's date: never the time of reading
    advisories: tuple[Advisory, ...]
