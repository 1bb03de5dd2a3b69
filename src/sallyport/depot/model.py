"""The nouns of a package repository that is served on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

from sallyport.errors import RefusedError
from sallyport.oci import Digest

Kind: TypeAlias = Literal["apt", "apk", "pypi", "npm"]
NO_HEADERS: Mapping[str, str] = MappingProxyType({})
FILE_LIMIT = 4 * 1024**3  # bytes of one package
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Repository:
    """One repository, as the configuration names it."""

    name: str
    kind: Kind
    upstream: str  # without a slash at its end
    allow: tuple[str, ...]  # globs over names of packages; none allows nothing
    fresh_for: timedelta
    files: str = ""  # where its files are, if that is another host
    keys: tuple[Path, ...] = ()

    def admit(self, package: str) -> None:
        """Nothing, where ``package`` may be had.

        Raises:
            RefusedError: it is not on the list.
        """
        if not self.allows(package):
            raise RefusedError(
                f"{package} is not on the list of packages that may be had from {self.name}",
                "add it to `allow` of this repository, if rebuilds inside need it",
            )

    def allows(self, package: str) -> bool:
        """Whether a glob of the list fits."""
        return any(fnmatchcase(package, pattern) for pattern in self.allow)

    def holds(self, url: str) -> bool:
        """Whether ``url`` is at upstream or at its files, and so may be asked: an index must not send us elsewhere."""
        return _origin(url) in {_origin(self.upstream), _origin(self.files or self.upstream)}


def _origin(url: str) -> tuple[str, str, int] | None:
    try:
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname:
            return None
        return parts.scheme, parts.hostname.lower(), parts.port or _PORTS[parts.scheme]
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Asked:
    """What a client asked for."""

    segments: tuple[str, ...]  # of the path behind /packages/NAME/, each one checked
    folder: bool  # the path ended in a slash
    accept: str
    base: str  # the address of the repository as the client sees it, with a slash at its end


@dataclass(frozen=True, slots=True)
class Whole:
    """Bytes of the cache, exactly as upstream has them."""

    digest: Digest
    media_type: str = "application/octet-stream"
    modified: str = ""  # as upstream said, so that clients can ask whether it changed


@dataclass(frozen=True, slots=True)
class Page:
    """An index that was made anew, with our addresses in it."""

    raw: bytes = field(repr=False)
    media_type: str


Reply: TypeAlias = Whole | Page
