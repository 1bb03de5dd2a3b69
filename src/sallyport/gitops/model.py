"""The nouns of pinning."""

from __future__ import annotations

from dataclasses import dataclass

from sallyport.errors import UsageError
from sallyport.oci import Digest, Reference, is_tag


@dataclass(frozen=True, slots=True)
class PinTo:
    """Where an image is to be pulled from: a reference with its digest, and the tag for a person's eye.

    ``str`` gives ``registry/repository:tag@sha256:…``; who pulls it goes by the digest.
    """

    reference: Reference
    tag: str = ""  # the reference's own where it is left out

    def __post_init__(self) -> None:
        if self.reference.digest is None:
            raise UsageError(f"{self.reference} has no digest, so it pins nothing", "add @sha256:…")
        if not is_tag(self.tag or self.reference.tag):
            raise UsageError(f"{self.reference} has no tag", "name the immutable tag that it was released under")

    @property
    def name(self) -> str:
        """Registry and repository, without tag."""
        return f"{self.reference.registry}/{self.reference.repository}"

    @property
    def digest(self) -> Digest:
        digest = self.reference.digest
        assert digest is not None  # checked where it was made
        return digest

    @property
    def shown_tag(self) -> str:
        return self.tag or self.reference.tag

    def __str__(self) -> str:
        return f"{self.name}:{self.shown_tag}@{self.digest}"


@dataclass(frozen=True, slots=True)
class Change:
    """One place in one file that names another image now."""

    file: str
    line: int  # from 1
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Pinned:
    """The commit that did it."""

    commit: str  # hexadecimal
    files: tuple[str, ...]
    changes: tuple[Change, ...]
