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


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in the store that is not as it must be."""

    subject: str  # a digest, repository:tag, repository@digest, "the journal", …
    message: str
    mend: str


@dataclass(frozen=True, slots=True)
class LetGo:
    """A tag that a rule of retention lets go, and why."""

    repository: str
    tag: str
    digest: Digest
    rule: str
    reason: str

    @property
    def name(self) -> str:
        return f"{self.repository}:{self.tag}@{self.digest}"


@dataclass(frozen=True, slots=True)
class Collected:
    """What garbage collection removed, or would remove."""

    digests: tuple[Digest, ...]
    bytes: int  # of those blobs
    swept: int  # bytes of broken copies and temporaries
    let_go: int  # manifests that no tag reached, where that was asked for
    spared: int  # blobs that nothing needs yet, and that are too young to be called garbage
    dry_run: bool
    tags: tuple[LetGo, ...] = ()  # that retention let go, where that was asked for
