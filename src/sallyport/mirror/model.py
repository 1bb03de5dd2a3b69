"""The nouns of mirroring: what is wanted, what that means today, what was done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sallyport.errors import UsageError
from sallyport.mirror.addresses import split_address
from sallyport.mirror.select import check_pattern
from sallyport.oci import Descriptor, Digest, Platform, Reference, is_repository

if TYPE_CHECKING:
    from sallyport.vouch import Vouched


@dataclass(frozen=True, slots=True)
class Selector:
    """Tags of one upstream repository, and where they go."""

    source: Reference  # registry and repository
    tags: tuple[str, ...]  # patterns: see sallyport.mirror.select
    platforms: tuple[Platform, ...] = ()  # none: all
    to: str = ""  # our repository; empty: as upstream's
    digests: tuple[Digest, ...] = ()  # images by digest, beside the tags
    deny: tuple[str, ...] = ()  # digests and tag patterns that never come
    immutable: tuple[str, ...] = ()  # patterns of tags that upstream never moves
    require: tuple[str, ...] = ()  # signature, bill, provenance: what must be attached
    attachments: bool = True  # bring along what is said about the image
    newest: int = 0  # only so many of each series; 0: all
    files: str = ""  # oci:FOLDER and its like; empty: a registry

    def __post_init__(self) -> None:
        if self.source.tag or self.source.digest:
            raise UsageError(f"{self.source} names a tag already", "name the repository only; tags stand beside it")
        if not self.tags and not self.digests:
            raise UsageError(f"no tags of {self.source} are selected", "name tags or patterns, for example 12-slim")
        for pattern in (*self.tags, *self.immutable, *self.deny):
            if not (pattern in self.deny and pattern.startswith("sha256:")):
                check_pattern(pattern)
        if self.to and not is_repository(self.to):
            raise UsageError(f"{self.to[:120]!r} is not a repository name", "write it like team/app, in lower case")

    @property
    def repository(self) -> str:
        """Our repository."""
        return self.to or self.source.repository


def make_selector(
    source: str,
    tags: Sequence[str],
    *,
    platforms: Sequence[Platform] = (),
    to: str = "",
    digests: Sequence[str] = (),
    deny: Sequence[str] = (),
    immutable: Sequence[str] = (),
    require: Sequence[str] = (),
    attachments: bool = True,
    newest: int = 0,
) -> Selector:
    """A selector as a configuration writes it.

    Images in files have no registry; they go by ``localhost/`` and our repository, as container tools call them.

    Raises:
        UsageError: a name or pattern that cannot mean anything, or files without ``to``.
        MalformedError: a digest that is none.
    """
    scheme, path = split_address(source)
    if scheme and not (to and path):
        raise UsageError(
            f"{source[:120]!r} needs a path, and the repository that its images go to", "add to: team/app beside from:"
        )
    return Selector(
        Reference("localhost", to) if scheme else Reference.parse(source),
        tuple(tags),
        tuple(platforms),
        to,
        tuple(Digest.parse(text) for text in digests),
        tuple(deny),
        tuple(immutable),
        tuple(require),
        attachments,
        newest,
        source if scheme else "",
    )


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
    vouched: Vouched | None = None  # who signed it, where that was asked
