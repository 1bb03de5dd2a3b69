"""The nouns of the store: tags, facts and the journal's entries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sallyport.oci import Descriptor, Digest


@dataclass(frozen=True, slots=True)
class Tag:
    """A name in a repository; an immutable one never names another digest."""

    repository: str
    name: str
    descriptor: Descriptor
    immutable: bool
    set_at: datetime


@dataclass(frozen=True, slots=True)
class Held:
    """A manifest that a repository holds."""

    repository: str
    descriptor: Descriptor
    subject: Digest | None


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the journal: who did what to what, chained by hash so that a missing line shows."""

    sequence: int
    at: datetime
    verb: str  # mirrored, scanned, patched, judged, released, bundled, received, promoted, pinned, …
    subject: str  # an image reference with digest, a bundle's name, …
    detail: Mapping[str, str] = field(hash=False)
    previous: Digest
    digest: Digest
