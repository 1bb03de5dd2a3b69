"""What reads one kind of package database out of an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sallyport.catalog.model import Package
from sallyport.oci import Listing, Rootfs


class Cataloguer(Protocol):
    """Finds the packages of one kind. A new one is one file and one entry point ``sallyport.cataloguers``."""

    @property
    def name(self) -> str:
        """What the configuration and errors call it; a cached listing is valid for one set of names."""
        ...

    def wants(self, path: str) -> bool:
        """Whether the content of the file at ``path`` is to be kept while a layer is read."""
        ...

    def packages(self, rootfs: Rootfs, layers: Sequence[Listing]) -> tuple[Package, ...]:
        """Every installed package, in any order. ``layers`` are the image's, the lowest first.

        Raises MalformedError where a database is broken: half a list is no list.
        """
        ...
