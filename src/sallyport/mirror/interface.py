"""Where images come from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from sallyport.oci import Descriptor, Digest, Index, Manifest


class Source(Protocol):
    """What mirroring asks of an upstream; a registry's client fits, and so does whatever reads images from files."""

    def head(self, repository: str, name: str) -> Descriptor | None:
        """What a tag or digest names; None where it names nothing."""
        ...

    def manifest(self, repository: str, name: str, *, expected: Digest | None = None) -> Manifest | Index:
        """The manifest or index, proven; raises NotFoundError and DamagedError."""
        ...

    def blob(self, repository: str, digest: Digest, *, offset: int = 0) -> Iterator[bytes]:
        """The bytes from ``offset`` on, not proven."""
        ...

    def tags(self, repository: str) -> Iterator[str]:
        """Every tag."""
        ...

    def referrers(self, repository: str, digest: Digest) -> tuple[Descriptor, ...]:
        """What says something about a manifest."""
        ...
