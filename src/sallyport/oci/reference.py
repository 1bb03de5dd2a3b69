"""Names of images. Source: OCI distribution-spec 1.1, "Pulling manifests" (the grammar of name and tag);
the defaults ``docker.io`` and ``library/`` are Docker's, which every client shares.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sallyport.errors import UsageError
from sallyport.oci.digest import Digest

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*\Z")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}\Z")
_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?\Z")
_MEND = "write it like registry.example:5000/team/app:1.2 or …/app@sha256:…"


def is_repository(text: str) -> bool:
    """Whether ``text`` is a repository name."""
    return len(text) <= 255 and _REPOSITORY.match(text) is not None  # noqa: PLR2004 - what registries accept


def is_tag(text: str) -> bool:
    """Whether ``text`` is a tag."""
    return _TAG.match(text) is not None


@dataclass(frozen=True, slots=True, order=True)
class Reference:
    """A registry, a repository, and a tag or digest (or both, or neither)."""

    registry: str
    repository: str
    tag: str = ""
    digest: Digest | None = None

    def __post_init__(self) -> None:
        if not _HOST.match(self.registry):
            raise UsageError(f"{self.registry[:80]!r} is not a registry's host name", _MEND)
        if not is_repository(self.repository):
            raise UsageError(f"{self.repository[:120]!r} is not a repository name", _MEND)
        if self.tag and not is_tag(self.tag):
            raise UsageError(f"{self.tag[:140]!r} is not a tag", _MEND)

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read a reference as people write it; ``debian:12`` means ``docker.io/library/debian:12``.

        Raises:
            UsageError: it does not fit the grammar.
            MalformedError: the digest is none.
        """
        rest, at, digest = text.partition("@")
        if at and not digest:
            raise UsageError(f"{text[:120]!r} ends in @ without a digest", _MEND)
        first, slash, after = rest.partition("/")
        if slash and ("." in first or ":" in first or first == "localhost"):
            registry, rest = first, after
        else:
            registry = "docker.io"
        tag = ""
        if ":" in rest.rpartition("/")[2]:
            rest, _, tag = rest.rpartition(":")
            if not tag:
                raise UsageError(f"{text[:120]!r} ends in a colon without a tag", _MEND)
        if registry == "docker.io" and "/" not in rest:
            rest = f"library/{rest}"
        return cls(registry, rest, tag, Digest.parse(digest) if digest else None)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.registry}/{self.repository}{tag}{digest}"
