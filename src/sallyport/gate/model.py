"""The nouns of the gate: policy in, verdict out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TypeAlias

import msgspec

from sallyport.advisories import Severity


@dataclass(frozen=True, slots=True)
class Waiver:
    """An exception: this vulnerability is accepted in these images, by someone, until a day."""

    id: str  # CVE
    images: str  # glob over repository names
    owner: str
    reason: str
    expires: date  # the last day on which it holds


@dataclass(frozen=True, slots=True)
class Policy:
    """What may cross. Every limit left at None is no limit; a policy with no limit at all refuses everything."""

    fixable: int | None = None  # most findings for which a fix is known
    severity: Severity | None = None  # worst allowed severity, UNKNOWN counted as ``unknown_as``
    unknown_as: Severity = Severity.MEDIUM
    findings: int | None = None  # most findings altogether
    sources: tuple[str, ...] = ()  # advisory sources that must have been asked (prefix match: "osv")
    max_age: timedelta | None = None  # of the oldest required source
    waivers: tuple[Waiver, ...] = ()


class Passed(msgspec.Struct, frozen=True, tag="passed"):
    """May cross."""

    because: tuple[str, ...]


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """Must not cross."""

    because: tuple[str, ...]


class Undecided(msgspec.Struct, frozen=True, tag="undecided"):
    """Cannot be judged, and so does not cross."""

    because: tuple[str, ...]


Verdict: TypeAlias = Passed | Refused | Undecided
