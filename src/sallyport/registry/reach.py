"""How registries are reached: other addresses, mirrors asked first, and names that are blocked. Pure.

Source: containers-registries.conf(5), whose rules these are: the longest prefix that fits wins, and what
stands in its place takes the whole prefix's place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from sallyport.errors import ConfigError, DeniedError, UsageError
from sallyport.oci import Reference, is_repository

_HUB = ("docker.io", "index.docker.io")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A place where repositories stand, and how to talk to it."""

    location: str  # host[:port][/path]; empty, for a prefix with a wildcard: by the name itself
    plain_http: bool | None = None  # None: only to this machine itself
    insecure: bool = False  # TLS first, and plain HTTP where it speaks none
    authorities: tuple[Path, ...] = ()
    certificate: Path | None = None
    key: Path | None = None
    proxy: str = ""  # an address, "none", or empty for the environment's
    connections: int = 8
    login: str = ""  # the name under which the login stands; the host's own when empty

    @property
    def host(self) -> str:
        return self.location.partition("/")[0]


@dataclass(frozen=True, slots=True)
class Mirror:
    """Asked before the registry itself."""

    endpoint: Endpoint
    by_tag: bool = True
    by_digest: bool = True


@dataclass(frozen=True, slots=True)
class Rule:
    """What holds for names that begin with ``prefix``: ``docker.io``, ``registry.example/team``, ``*.example``."""

    prefix: str
    endpoint: Endpoint | None = None  # None: by the name itself
    mirrors: tuple[Mirror, ...] = ()
    blocked: bool = False

    def __post_init__(self) -> None:
        if self.endpoint is not None and (self.endpoint.location or not self.prefix.startswith("*.")):
            _check(self.endpoint.location, self.prefix)
        for mirror in self.mirrors:
            _check(mirror.endpoint.location, self.prefix)
        host, _, path = self.prefix.removeprefix("*.").partition("/")
        _check(f"{host}/{path}" if path else host, self.prefix)

    def match(self, name: str) -> str | None:
        """What of ``name`` (registry/repository) stands behind the prefix; None where it does not fit."""
        host = name.partition("/")[0]
        if self.prefix.startswith("*."):
            domain, slash, path = self.prefix[1:].partition("/")
            if not host.endswith(domain) or len(host) == len(domain):
                return None
            begin = f"{host}{slash}{path}"
        else:
            begin = self.prefix
        if name != begin and not name.startswith(f"{begin}/"):
            return None
        return name[len(begin) :].removeprefix("/")


@dataclass(frozen=True, slots=True)
class Route:
    """One place to ask, and the repository's name there."""

    endpoint: Endpoint
    repository: str
    mirror: bool = False


@dataclass(frozen=True, slots=True)
class Reach:
    """All rules. Empty, every registry is reached by its own name."""

    rules: tuple[Rule, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict, hash=False)  # short name: registry/repository
    search: tuple[str, ...] = ()  # registries that a name without one may mean

    def beside(self, other: Reach) -> Reach:
        """Both; where they have a rule for the same prefix, ours counts."""
        mine = {rule.prefix for rule in self.rules}
        rules = (*self.rules, *(rule for rule in other.rules if rule.prefix not in mine))
        return Reach(rules, {**other.aliases, **self.aliases}, self.search or other.search)

    def concerns(self, registry: str) -> bool:
        """Whether there may be a rule for some repository of it."""
        host = "docker.io" if registry in _HUB else registry
        return any(
            host.endswith(prefix[1:]) if prefix.startswith("*.") else prefix == host
            for prefix in (rule.prefix.partition("/")[0] for rule in self.rules)
        )

    def rule(self, registry: str, repository: str) -> Rule | None:
        """The rule with the longest prefix that fits."""
        name = f"{'docker.io' if registry in _HUB else registry}/{repository}"
        fitting = [rule for rule in self.rules if rule.match(name) is not None]
        return max(fitting, key=lambda rule: len(rule.prefix), default=None)

    def routes(self, registry: str, repository: str, *, by_digest: bool) -> tuple[Route, ...]:
        """Where to ask for a repository, in order; the registry itself is the last.

        Raises:
            DeniedError: it is blocked.
            ConfigError: the name that comes out is none.
        """
        rule = self.rule(registry, repository)
        plain = Route(Endpoint(registry), repository)
        if rule is None:
            return (plain,)
        if rule.blocked:
            raise DeniedError(
                f"{registry}/{repository} is blocked by the rule for {rule.prefix}",
                "take it out of outside.mirror, or remove blocked from the rule",
            )
        rest = rule.match(f"{'docker.io' if registry in _HUB else registry}/{repository}") or ""
        asked = [m.endpoint for m in rule.mirrors if (m.by_digest if by_digest else m.by_tag)]
        routes = [_route(endpoint, rest, rule, mirror=True) for endpoint in asked]
        if rule.endpoint is None:
            routes.append(plain)
        elif not rule.endpoint.location:
            routes.append(Route(replace(rule.endpoint, location=registry), repository))
        else:
            routes.append(_route(rule.endpoint, rest, rule, mirror=False))
        # Where TLS is not insisted on, it is still tried first.
        return tuple(
            replace(route, endpoint=replace(route.endpoint, plain_http=how, insecure=False))
            for route in routes
            for how in ((False, True) if route.endpoint.insecure else (route.endpoint.plain_http,))
        )

    def expand(self, text: str) -> tuple[str, ...]:
        """The names that a short one may mean: its alias, or each search registry's; a full one means itself."""
        first, slash, _ = text.partition("/")
        if slash and ("." in first or ":" in first or first == "localhost"):
            return (text,)
        rest = re.search(r"(:[^/:@]+)?(@.*)?\Z", text)
        name = text[: rest.start()] if rest else text
        if name in self.aliases:
            return (f"{self.aliases[name]}{text[len(name) :]}",)
        hub = "library/" if not slash else ""
        return tuple(f"{host}/{hub if host in _HUB else ''}{text}" for host in self.search or ("docker.io",))


def _route(endpoint: Endpoint, rest: str, rule: Rule, *, mirror: bool) -> Route:
    path = endpoint.location.partition("/")[2]
    repository = "/".join(part for part in (path, rest) if part)
    if not is_repository(repository):
        raise ConfigError(
            f"the rule for {rule.prefix} leads to {endpoint.location}, which leaves no repository name",
            "give the location the repository's path, too",
        )
    return Route(endpoint, repository, mirror)


def _check(location: str, prefix: str) -> None:
    host, _, path = location.partition("/")
    try:
        Reference(host, path or "a")
    except UsageError as error:
        raise ConfigError(
            f"the rule for {prefix[:80]!r} has the location {location[:80]!r}, which is no host with or without a path",
            "write host, host:port or host:port/path, without https://",
        ) from error
