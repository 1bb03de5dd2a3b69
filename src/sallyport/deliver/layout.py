"""How products with many repositories behind one host tell them apart: by path, port or subdomain. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sallyport.deliver.model import Settings
from sallyport.deliver.rename import names_there
from sallyport.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Place:
    """Where the images of one repository key go."""

    key: str  # what the product calls the repository
    registry: str  # the host that is pushed to
    settings: Settings

    def names(self, repositories: Sequence[str]) -> Mapping[str, str]:
        """With ``path`` the key is the first part of every name; else host or port stand for it."""
        whole = names_there(repositories, self.settings.renames, self.settings.prefix)
        if self.settings.layout == "path":
            for ours, theirs in whole.items():
                if not theirs.startswith(f"{self.key}/"):
                    raise ConfigError(
                        f"{ours} would be {theirs} there, outside the repository {self.key}",
                        f"let the rename rules of {self.settings.name} begin with {self.key}/",
                    )
            return whole
        return {ours: theirs.removeprefix(f"{self.key}/") for ours, theirs in whole.items()}


def place(settings: Settings) -> Place:
    """Read the prefix as ``key[/path]``.

    Raises:
        ConfigError: there is no key, or ``layout: port`` without a port.
    """
    key = settings.prefix.partition("/")[0]
    if not key:
        raise ConfigError(
            f"the destination {settings.name} names no repository of the {settings.kind}",
            "write its key as prefix:, for example prefix: docker-local",
        )
    registry = settings.registry
    if settings.layout == "port" and ":" not in registry:
        raise ConfigError(
            f"the destination {settings.name} has layout: port and its registry no port",
            "write the port of the repository's connector: registry: host:5001",
        )
    if settings.layout == "subdomain":
        registry = f"{key}.{registry}"
    return Place(key, registry, settings)
