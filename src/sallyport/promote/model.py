"""The noun of promotion."""

from __future__ import annotations

from dataclasses import dataclass

from sallyport.oci import Descriptor, Digest


@dataclass(frozen=True, slots=True)
class Promotion:
    """A channel that now names a released image."""

    repository: str
    tag: str  # the immutable one
    channel: str
    descriptor: Descriptor
    previous: Digest | None  # what the channel named before; None where there was no channel

    @property
    def moved(self) -> bool:
        """Whether the channel names something else than before."""
        return self.previous != self.descriptor.digest
