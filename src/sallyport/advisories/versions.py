"""Which order the versions of an ecosystem have. Source: OSV schema, "affected[].ranges[].type" ECOSYSTEM."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from sallyport.advisories.interface import VersionOrder

if TYPE_CHECKING:
    from sallyport.archives import DebianKey


class DebianOrder:
    """Debian Policy 5.6.12; Ubuntu's too."""

    def key(self, version: str) -> DebianKey:
        # Here, so that whoever only names a severity does not load the archives.
        from sallyport.archives import debian_key

        return debian_key(version)


ORDERS: Mapping[str, VersionOrder] = MappingProxyType({"Debian": DebianOrder(), "Ubuntu": DebianOrder()})
"""By family: what stands before the colon of an ecosystem."""


def order_of(ecosystem: str) -> VersionOrder | None:
    """The order of ``ecosystem``; None where none is known, and then nothing in it can be matched."""
    return ORDERS.get(ecosystem.partition(":")[0])


def concerns(ecosystem: str, release: str) -> bool:
    """Whether what is said about ``ecosystem`` holds in ``release``: ``Debian`` means every ``Debian:…``."""
    return release == ecosystem or release.startswith(f"{ecosystem}:")


class Stretch:
    """From one version to another, with the keys computed once."""

    __slots__ = ("_empty", "_first", "_fixed", "_last")

    def __init__(self, order: VersionOrder, introduced: str, fixed: str | None, last_affected: str | None) -> None:
        """The bounds as an :class:`Advisory` states them. Raises MalformedError where one is no version number."""
        self._empty = introduced == ""
        self._first: Any = None if introduced in ("", "0") else order.key(introduced)
        self._fixed: Any = None if fixed is None else order.key(fixed)
        self._last: Any = None if last_affected is None else order.key(last_affected)

    def holds(self, key: Any) -> bool:
        """Whether the version with this key is affected."""
        return not (
            self._empty
            or (self._first is not None and key < self._first)
            or (self._fixed is not None and key >= self._fixed)
            or (self._last is not None and key > self._last)
        )


if TYPE_CHECKING:
    _fits: type[VersionOrder] = DebianOrder
