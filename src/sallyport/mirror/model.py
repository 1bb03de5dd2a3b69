"""The nouns of mirroring: what is wanted, what that means today, what was done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sallyport.errors import UsageError
from sallyport.mirror.select import check_pattern
from sallyport.oci import Descriptor, Platform, Reference, is_repository


@dataclass(frozen=True, slots=True)
class Selector:
    """Tags of one upstream repository, and where they go."""

    source: Reference  # registry and repository
    tags: tuple[str, ...]  # patterns: see sallyport.mirror.select
    platforms: tuple[Platform, ...] = ()  # none: all
    to: str = ""  # our repository; empty: as upstream's

    def __post_init__(self) -> None:
        if self.source.tag or self.source.digest:
            raise UsageError(f"{self.source} names a tag already", "name the repository only; tags stand beside it")
        if not self.tags:
            raise UsageError(f"no tags of {self.source} are selected", "name tags or patterns, for example 12-slim")
        for pattern in self.tags:
            check_pattern(pattern)
        if self.to and not is_repository(self.to):
            raise UsageError(f"{self.to[:120]!r} is not a repository name", "write it like team/app, in lower case")

    @property
    def repository(self) -> str:
        """Our repository."""
        return self.to or self.source.repository


def make_selector(source: str, tags: Sequence[str], *, platforms: Sequence[Platform] = (), to: str = "") -> Selector:
    """A selector as a configuration writes it.

    Raises:
        UsageError: a name or pattern that cannot mean anything.
    """
    return Selector(Reference.parse(source), tuple(tags), tuple(platforms), to)


@dataclass(frozen=True, slots=True)
class Planned:
    """What mirroring would do with one tag."""

    reference: Reference  # upstream's, with the tag
    repository: str  # ours
    tag: str
    upstream: Descriptor  # what the tag names there
    descriptor: Descriptor  # what it will name here: thinner, where platforms are selected
    needed: bool  # false: it is here, whole
    bytes: int  # to fetch
    requests: int  # that it took to find this out


@dataclass(frozen=True, slots=True)
class Mirrored:
    """What mirroring did with one tag."""

    reference: Reference  # upstream's, with the tag
    repository: str  # ours
    tag: str
    descriptor: Descriptor  # what the tag names here
    bytes: int  # fetched
    requests: int  # sent, authorization not counted
    changed: bool
