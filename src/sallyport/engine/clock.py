"""Time as a value that is handed in, so that a rule can be tested on any day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from sallyport.errors import MalformedError


class Clock(Protocol):
    """Says what time it is, in UTC."""

    def now(self) -> datetime:
        """The time, timezone-aware, in UTC, whole seconds."""
        ...


@dataclass(frozen=True, slots=True)
class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC).replace(microsecond=0)


@dataclass(frozen=True, slots=True)
class FixedClock:
    """Always the same time; for tests and for reproducible runs."""

    at: datetime

    def now(self) -> datetime:
        return self.at


def render_time(at: datetime) -> str:
    """RFC 3339 in UTC with whole seconds: ``2026-07-11T09:30:00Z``."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: str) -> datetime:
    """Read RFC 3339.

    Raises:
        MalformedError: no time, or one without a zone.
    """
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise MalformedError(f"{text[:40]!r} is not a time", "write it like 2026-07-11T09:30:00Z") from error
    if at.tzinfo is None:
        raise MalformedError(f"{text[:40]!r} has no time zone", "write it like 2026-07-11T09:30:00Z")
    return at.astimezone(UTC)


if TYPE_CHECKING:
    _system: type[Clock] = SystemClock
    _fixed: type[Clock] = FixedClock
