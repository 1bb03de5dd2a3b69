"""Relations between binary packages. Source: Debian Policy 7.1, "Syntax of relationship fields"."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sallyport.archives.version import compare_debian
from sallyport.errors import MalformedError

_RELATION = re.compile(
    r"\s*([A-Za-z0-9][A-Za-z0-9+.-]*)(?::([a-z0-9-]+))?\s*(?:\(\s*(<<|<=|=|>=|>>|<|>)\s*([A-Za-z0-9.+:~-]+)\s*\))?\s*\Z"
)
# dpkg still reads the old single signs, and reads them as "or equal".
_OLD_SIGNS = {"<": "<=", ">": ">="}
_LIMIT = 256 * 1024  # characters


@dataclass(frozen=True, slots=True)
class Relation:
    """``name:qualifier (operator version)``; the empty operator accepts every version."""

    name: str
    operator: str = ""
    version: str = ""
    qualifier: str = ""  # "any", "native" or an architecture

    def __str__(self) -> str:
        name = f"{self.name}:{self.qualifier}" if self.qualifier else self.name
        return f"{name} ({self.operator} {self.version})" if self.operator else name


def parse_relations(text: str) -> tuple[tuple[Relation, ...], ...]:
    """The groups of ``Depends``, ``Pre-Depends``, ``Conflicts``, ``Provides`` …; each group lists alternatives.

    Raises:
        MalformedError: not of Policy's form.
    """
    if len(text) > _LIMIT:
        raise MalformedError("a relationship field is absurdly long", "the package index is broken: do not use it")
    groups = (group for group in text.split(",") if group.strip())
    return tuple(tuple(_relation(alternative) for alternative in group.split("|")) for group in groups)


def _relation(text: str) -> Relation:
    found = _RELATION.match(text)
    if found is None:
        raise MalformedError(
            f"{text.strip()[:80]!r} is not a relation between packages",
            "the package index or control file that states it is broken: do not use it",
        )
    name, qualifier, sign, version = found.groups()
    return Relation(name, _OLD_SIGNS.get(sign or "", sign or ""), version or "", qualifier or "")


def satisfied(relation: Relation, version: str | None) -> bool:
    """Whether ``version`` of the named package (or what provides the name) fits the relation.

    None is a provided name without a version, which satisfies no versioned relation. Source: Debian Policy 7.5.
    """
    if not relation.operator:
        return True
    if version is None:
        return False
    order = compare_debian(version, relation.version)
    match relation.operator:
        case "<<":
            return order < 0
        case "<=":
            return order <= 0
        case "=":
            return order == 0
        case ">=":
            return order >= 0
        case _:
            return order > 0
