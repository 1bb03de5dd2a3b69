"""How much a registry still lets us pull. Sources: Docker Hub's ``ratelimit-limit`` and ``ratelimit-remaining``
(``76;w=21600``); the RateLimit header fields of the HTTPAPI working group, old and new; ``x-ratelimit-…``.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock

from sallyport.engine import Progress

_NUMBER = re.compile(r"\s*([0-9]{1,12})\s*(?:[;,]|\Z)")
_PART = re.compile(r"[;,]\s*(w|t|r|q|limit|remaining|reset)\s*=\s*([0-9]{1,12})")
_EPOCH = 1_000_000_000  # a reset above this is a point in time, not a span
LONGEST_PAUSE_S = 300.0
"""A reset further away is not waited for: the registry's own refusal then says so."""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """What is left of what a registry allows."""

    remaining: int
    limit: int | None = None
    window_s: int | None = None
    reset_s: float | None = None  # from when it was said; None where it was not

    @property
    def low(self) -> bool:
        """Less than a tenth is left, or less than ten."""
        return self.remaining < max(10, (self.limit or 0) // 10)


def parse_limits(headers: Mapping[str, str], *, now: float) -> RateLimit | None:
    """Read an answer's headers; None where they say nothing. ``now``: seconds since 1970."""
    joined = {**_parts(headers.get("ratelimit-policy", "")), **_parts(headers.get("ratelimit", ""))}
    remaining = _first(headers, "ratelimit-remaining", "x-ratelimit-remaining")
    if remaining is None:
        remaining = joined.get("remaining", joined.get("r"))
    if remaining is None:
        return None
    limit = _first(headers, "ratelimit-limit", "x-ratelimit-limit")
    reset = _first(headers, "ratelimit-reset", "x-ratelimit-reset", "x-ratelimit-reset-after")
    reset = joined.get("reset", joined.get("t")) if reset is None else reset
    window = _parts(headers.get("ratelimit-remaining", "")).get("w", joined.get("w"))
    return RateLimit(
        remaining,
        joined.get("limit", joined.get("q")) if limit is None else limit,
        window,
        None if reset is None else max(0.0, float(reset) - now) if reset > _EPOCH else float(reset),
    )


def _first(headers: Mapping[str, str], *names: str) -> int | None:
    for name in names:
        if match := _NUMBER.match(headers.get(name, "")[:200]):
            return int(match[1])
    return None


def _parts(text: str) -> dict[str, int]:
    return {name: int(value) for name, value in _PART.findall(f";{text[:400]}")}


class Allowance:
    """Remembers what a registry said last, tells whoever watches once it is low, and waits where nothing is left."""

    def __init__(self, registry: str, progress: Progress, sleep: Callable[[float], None]) -> None:
        self._registry = registry
        self._progress = progress
        self._sleep = sleep
        self._lock = Lock()
        self._known: RateLimit | None = None
        self._again = 0.0  # when, on the monotonic clock, there is something left again
        self._told = False
        self._waiting = False

    def note(self, headers: Mapping[str, str]) -> None:
        """Read one answer."""
        found = parse_limits(headers, now=time.time())
        if found is None:
            return
        with self._lock:
            self._known = found
            self._again = 0.0
            if found.remaining == 0 and found.reset_s is not None:
                self._again = time.monotonic() + found.reset_s
            tell = found.low and not self._told
            self._told = found.low
        if tell:
            self._progress.say(f"note: {self._registry} {_words(found)}")

    def remaining(self) -> RateLimit | None:
        with self._lock:
            return self._known

    def wait(self) -> None:
        """Until there is something left again, where that is known and not far."""
        with self._lock:
            left = self._again - time.monotonic()
            waits = 0 < left <= LONGEST_PAUSE_S
            tell, self._waiting = waits and not self._waiting, waits
        if tell:
            self._progress.say(f"note: {self._registry} allows nothing more for {left:.0f} s; waiting")
        if waits:
            self._sleep(left)


def _words(found: RateLimit) -> str:
    of = f" of {found.limit}" if found.limit is not None else ""
    within = f" in {found.window_s // 3600} h" if found.window_s and found.window_s >= 3600 else ""  # noqa: PLR2004
    return f"allows {found.remaining}{of} more pulls{within}"
