"""The nouns of the gateway: what may be asked for, what is asked for, what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sallyport.oci import Descriptor, Platform, Reference


@dataclass(frozen=True, slots=True)
class Allow:
    """Images that may be pulled through, if they pass."""

    registry: str  # a host, spelled out: a pattern here would let clients choose whom we call
    repositories: str  # glob
    tags: tuple[str, ...] = ()  # patterns: see sallyport.mirror; none: all
    platforms: tuple[Platform, ...] = ()  # none: all
    prefer: Literal["patched", "upstream"] = "patched"


@dataclass(frozen=True, slots=True)
class Wanted:
    """An image that somebody asks for, and the rule that lets it be asked for."""

    reference: Reference  # upstream's name; with a tag or a digest
    allow: Allow

    @property
    def name(self) -> str:
        """Its tag or its digest."""
        return self.reference.tag or str(self.reference.digest)


@dataclass(frozen=True, slots=True)
class Admitted:
    """Passed, and held here."""

    repository: str  # ours
    descriptor: Descriptor  # what is served: patched, where that is preferred


@dataclass(frozen=True, slots=True)
class Rejected:
    """Fetched, and not served."""

    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Vetted:
    """What the gateway remembers of something that it admitted."""

    repository: str
    name: str  # a tag or a digest, as clients ask for it
    descriptor: Descriptor
    origin: str  # the tag or digest under which it was fetched: of a patched image upstream knows no other
    checked_at: datetime  # when upstream was asked last


@dataclass(frozen=True, slots=True)
class Terms:
    """How long answers hold, and how long a client waits."""

    fresh_for: timedelta = timedelta(hours=1)
    serve_stale_for: timedelta = timedelta(weeks=4)  # beyond that
    wait_s: float = 300
    jobs: int = 2  # at the same time
    queue: int = 64  # jobs that wait or run; more are told to come again
    again_s: float = 5  # a failure is not tried again sooner
