"""What a request names, and which rule lets it be asked for; pure.

Three ways to name an upstream: ``?ns=registry.example`` as containerd's mirror requests have it; the registry as the
first word of the path, ``/v2/registry.example/team/app/…`` (a port is written ``registry.example_5000``, because a
repository name has no colon); or neither, for the default registry.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import translate
from functools import cache
from typing import Literal
from urllib.parse import parse_qs

from sallyport.errors import SallyportError, UsageError
from sallyport.gateway.model import Allow, Wanted
from sallyport.mirror import select_tags
from sallyport.oci import Digest, Platform, Reference, is_tag

_PATH = re.compile(r"/v2/(?P<name>.+?)/(?P<kind>manifests|blobs|referrers|tags)/(?P<last>[^/]+)\Z")
_PORT = re.compile(r"(?P<host>[a-z0-9.-]+)_(?P<port>[0-9]{1,5})\Z")
_WILD = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for something of an upstream repository."""

    upstream: Reference  # registry and repository
    kind: str  # manifests, blobs, referrers, tags
    last: str  # the path's last word

    @property
    def repository(self) -> str:
        """Where what was admitted of it is held."""
        return our_repository(self.upstream)

    @property
    def path(self) -> str:
        """The same request, to a registry over our store."""
        return f"/v2/{self.repository}/{self.kind}/{self.last}"


def our_repository(upstream: Reference) -> str:
    """``registry.example/team/app``; injective, as no host has an underscore."""
    return f"{upstream.registry.replace(':', '_')}/{upstream.repository}"


def parse_asked(path: str, query: str, default: str = "") -> Asked | None:
    """What is asked for; None where the request names nothing that could be an upstream's."""
    match = _PATH.match(path)
    if match is None:
        return None
    try:
        named = parse_qs(query, max_num_fields=20).get("ns", [""])[-1]
    except ValueError:
        return None
    first, _, rest = match["name"].partition("/")
    if named:
        registry, repository = named, match["name"]
    elif rest and ("." in first or ":" in first or first == "localhost" or _PORT.match(first)):
        port = _PORT.match(first)
        registry, repository = (f"{port['host']}:{port['port']}" if port else first), rest
    else:
        registry, repository = default, match["name"]
    # A bare word is no host here, so that no repository of ours is ever taken for an upstream's.
    if not _is_host(registry):
        return None
    try:
        return Asked(Reference(registry.lower(), repository), match["kind"], match["last"])
    except SallyportError:
        return None


def make_allow(
    images: str,
    tags: Sequence[str] = (),
    platforms: Sequence[Platform] = (),
    prefer: Literal["patched", "upstream"] = "patched",
) -> Allow:
    """A rule as a configuration writes it.

    Raises:
        UsageError: it names no host, or a pattern of hosts, or a tag pattern that can mean nothing.
    """
    registry, _, repositories = images.partition("/")
    if (
        _WILD.search(registry)
        or not repositories
        or not ("." in registry or ":" in registry or registry == "localhost")
    ):
        raise UsageError(
            f"gateway.allow: {images[:120]!r} does not begin with the name of a registry",
            "spell the host out; only what follows may be a pattern: registry.example/library/*",
        )
    select_tags(tags, ())
    return Allow(registry.lower(), repositories, tuple(tags), tuple(platforms), prefer)


def allow_for(rules: Iterable[Allow], asked: Asked) -> Allow | None:
    """The first rule that lets it be asked for. Tags are held against patterns where a tag is asked for."""
    tag = asked.last if asked.kind == "manifests" and is_tag(asked.last) else ""
    for rule in rules:
        if rule.registry != asked.upstream.registry or not _glob(rule.repositories).match(asked.upstream.repository):
            continue
        if not tag or not rule.tags or select_tags(rule.tags, [tag]):
            return rule
    return None


def wanted(asked: Asked, allow: Allow) -> Wanted | None:
    """The image that a request for a manifest means; None where its last word is neither a tag nor a digest."""
    upstream = asked.upstream
    if is_tag(asked.last):
        return Wanted(Reference(upstream.registry, upstream.repository, asked.last), allow)
    try:
        digest = Digest.parse(asked.last)
    except SallyportError:
        return None
    return Wanted(Reference(upstream.registry, upstream.repository, "", digest), allow)


def _is_host(word: str) -> bool:
    return "." in word or ":" in word or word == "localhost"


@cache
def _glob(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern))  # not fnmatch(), which folds case on some systems
