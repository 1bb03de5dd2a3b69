"""Slows down who guesses: so many wrong logins at once, then so many in a minute. Pure; time is handed in."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Iterator
from threading import Lock

_ENTRIES = 10_000
# How many wrong logins at once, and seconds until one more is allowed.
_TOGETHER = (10, 6.0)  # one name from one address
_ADDRESS = (60, 1.0)
_NAME = (300, 1.0)  # from everywhere; wide, so that a stranger cannot easily lock somebody out


class Throttle:
    """Counts wrong logins by address, by name, and by both. Safe for several threads; bounded memory."""

    def __init__(self, entries: int = _ENTRIES) -> None:
        """``entries`` is how many counts are kept; the one that was used longest ago goes."""
        self._entries = entries
        self._lock = Lock()
        # When the count of this key will be back at nothing.
        self._empty_at: OrderedDict[tuple[str, str], float] = OrderedDict()

    def closed(self, address: str, name: str, now: float) -> bool:
        """Whether a login must not even be looked at; ``now`` is in seconds of any clock that only goes forward."""
        with self._lock:
            return any(
                self._empty_at.get(key, now) - now > (burst - 1) * each for key, burst, each in _keys(address, name)
            )

    def wrong(self, address: str, name: str, now: float) -> None:
        """Count one."""
        with self._lock:
            for key, _, each in _keys(address, name):
                self._empty_at[key] = max(self._empty_at.get(key, now), now) + each
                self._empty_at.move_to_end(key)
            while len(self._empty_at) > self._entries:
                self._empty_at.popitem(last=False)

    def __len__(self) -> int:
        return len(self._empty_at)


def _keys(address: str, name: str) -> Iterator[tuple[tuple[str, str], int, float]]:
    where, who = _network(address), name[:80]
    yield (where, who), *_TOGETHER
    if where:
        yield (where, ""), *_ADDRESS
    if who:
        yield ("", who), *_NAME


def _network(address: str) -> str:
    """Who has one IPv6 address has its whole /64."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:80]
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((int(parsed) >> 64 << 64, 64)))
    return str(parsed)
