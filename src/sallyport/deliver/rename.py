"""Our repositories' names over there. Pure: a map that gives no two of ours one name, or an error."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

from sallyport.deliver.model import Rename, Settings
from sallyport.errors import ConfigError
from sallyport.oci import is_repository

_FIELD = re.compile(r"\{([^{}]*)\}")


def name_there(repository: str, renames: Sequence[Rename], prefix: str) -> str:
    """The name of one repository: by the first rule that fits, else behind ``prefix``.

    ``{repository}`` in a rule is our whole name, ``{name}`` its last part, ``{project}`` its first (empty where
    it has but one).

    Raises:
        ConfigError: the rule names something else in braces, or what comes out is no repository name.
    """
    rule = next((rule for rule in renames if fnmatchcase(repository, rule.images)), None)
    if rule is None:
        found = "/".join(part for part in (prefix.strip("/"), repository) if part)
    else:
        first, slash, _ = repository.partition("/")
        known = {"repository": repository, "name": repository.rpartition("/")[2], "project": first if slash else ""}
        unknown = sorted(set(_FIELD.findall(rule.to)) - set(known))
        if unknown:
            raise ConfigError(
                f"the rule for {rule.images!r} has {{{unknown[0][:40]}}}, which stands for nothing",
                "use {repository}, {name} or {project}",
            )
        found = _FIELD.sub(lambda match: known[match[1]], rule.to)
        # {project}/{name} of a name without a project is the name alone.
        found = found.removeprefix("/")
    if not is_repository(found):
        raise ConfigError(
            f"{repository} would be called {found[:120]!r} there, which is no repository name",
            "correct the prefix or the rename rule; names have lower-case letters, digits, '.', '_', '-' and '/'",
        )
    return found


def names_there(repositories: Iterable[str], renames: Sequence[Rename], prefix: str) -> Mapping[str, str]:
    """The names of all.

    Raises:
        ConfigError: two of ours would have one name there, so that one would overwrite the other.
    """
    names: dict[str, str] = {}
    ours: dict[str, str] = {}
    for repository in repositories:
        name = name_there(repository, renames, prefix)
        other = ours.setdefault(name, repository)
        if other != repository:
            raise ConfigError(
                f"{other} and {repository} would both be called {name} there",
                "give one of them a rename rule of its own, or keep {repository} in the rule",
            )
        names[repository] = name
    return names


def owned_names(repositories: Iterable[str], settings: Settings, *, product: str, owner: str) -> Mapping[str, str]:
    """The names of all, where every repository of ``product`` belongs to an ``owner``, such as a project.

    Raises:
        ConfigError: as :func:`names_there`, or a name has no owner.
    """
    names = names_there(repositories, settings.renames, settings.prefix)
    for ours, theirs in names.items():
        if "/" not in theirs:
            raise ConfigError(
                f"{ours} would be {theirs} there, and in {product} every repository belongs to {owner}",
                f"name one with prefix: in the destination {settings.name}",
            )
    return names
