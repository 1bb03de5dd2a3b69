"""The smallest change of a set of packages after which every relation holds again.

Pure: installed packages and candidates in, changes out. A package only ever moves to the newest candidate of its
name; none is removed. What did not hold before and is no worse now is the image's own style (a distroless image
has a C library without half of its dependencies) and is left alone. Source: Debian Policy 7.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

from sallyport.archives import BinaryPackage, Relation, compare_debian, parse_relations, satisfied
from sallyport.patch.model import UnsatisfiableError

_STEPS = 5000


class Candidates(Protocol):
    """The archive's side. ``PackageIndex`` fits."""

    def newest(self, name: str) -> BinaryPackage | None:
        """The newest package of this name."""
        ...

    def providers(self, virtual: str) -> tuple[BinaryPackage, ...]:
        """The newest versions of the packages that provide ``virtual``."""
        ...


@dataclass(frozen=True)
class Member:
    """One package of a set, with what its relations ask of the others."""

    name: str
    version: str
    fields: Mapping[str, str] = field(repr=False, hash=False)

    @cached_property
    def depends(self) -> tuple[tuple[Relation, ...], ...]:
        return tuple(group for name in ("Pre-Depends", "Depends") for group in self._groups(name))

    @cached_property
    def refuses(self) -> tuple[Relation, ...]:
        return tuple(relation for name in ("Breaks", "Conflicts") for group in self._groups(name) for relation in group)

    @cached_property
    def provides(self) -> tuple[Relation, ...]:
        return tuple(relation for group in self._groups("Provides") for relation in group)

    def _groups(self, name: str) -> tuple[tuple[Relation, ...], ...]:
        value = self.fields.get(name, "")
        return parse_relations(value) if value else ()

    def meets(self, relation: Relation) -> bool:
        """Whether this package is, or provides, what ``relation`` names."""
        if self.name == relation.name:
            return satisfied(relation, self.version)
        return any(
            relation.name == provided.name and satisfied(relation, provided.version or None)
            for provided in self.provides
        )


@dataclass(frozen=True, slots=True)
class _Broken:
    """A relation that does not hold: a dependency, or (with ``other``) a conflict."""

    package: str
    group: tuple[Relation, ...]
    other: str = ""

    def __str__(self) -> str:
        said = " | ".join(map(str, self.group))
        return (
            f"{self.package} and {self.other} exclude each other ({said})"
            if self.other
            else f"{self.package} needs {said}"
        )


@dataclass(frozen=True, slots=True)
class Solved:
    """The packages to put in, by name, and those of their dependencies that were missing before and still are."""

    changes: Mapping[str, BinaryPackage]
    gaps: tuple[str, ...]


def solve(
    installed: Mapping[str, Member],
    wanted: Mapping[str, BinaryPackage],
    candidates: Candidates,
    *,
    held: frozenset[str] = frozenset(),
) -> Solved:
    """``wanted`` and the least that must come with it; ``held`` packages never move.

    Raises:
        UnsatisfiableError: there is no such set; the message names the package and the relation.
    """
    search = _Search(installed, candidates, held)
    changes = search.run(dict(wanted))
    gaps = {str(broken) for broken in search.excused if broken.package in changes}
    return Solved(changes, tuple(sorted(gaps)))


class _Search:
    def __init__(self, installed: Mapping[str, Member], candidates: Candidates, held: frozenset[str]) -> None:
        self._installed, self._candidates, self._held = installed, candidates, held
        self._members: dict[tuple[str, str], Member] = {}
        self._steps = 0
        before = list(_broken(_Set(installed.values())))
        self._gaps = {relation.name for broken in before if not broken.other for relation in broken.group}
        self._quarrels = {frozenset((broken.package, broken.other)) for broken in before if broken.other}
        self._low = {(broken.package, relation.name) for broken in before for relation in broken.group}
        self.excused: list[_Broken] = []

    def run(self, changes: dict[str, BinaryPackage]) -> dict[str, BinaryPackage]:
        self._steps += 1
        if self._steps > _STEPS:
            raise UnsatisfiableError(
                "finding a set of packages that fit each other took too many steps",
                "patch fewer findings at once, or report the image",
            )
        packages = _Set(self._after(changes).values())
        self.excused = []
        for broken in _broken(packages):
            if self._is_excused(broken, packages):
                self.excused.append(broken)
                continue
            failure: UnsatisfiableError | None = None
            for package in self._repairs(broken, changes):
                try:
                    return self.run({**changes, package.name: package})
                except UnsatisfiableError as error:
                    failure = failure or error
            raise failure or UnsatisfiableError(
                f"{broken}, and nothing in the archive makes it fit",
                "add the suite that has the missing version to the archive, or except the finding in the policy",
            )
        return changes

    def _after(self, changes: Mapping[str, BinaryPackage]) -> dict[str, Member]:
        return {**self._installed, **{name: self._member(package) for name, package in changes.items()}}

    def _member(self, package: BinaryPackage) -> Member:
        key = (package.name, package.version)
        return self._members.setdefault(key, Member(package.name, package.version, package.fields))

    def _is_excused(self, broken: _Broken, packages: _Set) -> bool:
        if broken.other:
            return frozenset((broken.package, broken.other)) in self._quarrels
        if any(relation.name in packages.names for relation in broken.group):
            # It is there, and too old or too new: then only what was so before may stay so.
            return any((broken.package, relation.name) in self._low for relation in broken.group)
        return any(relation.name in self._gaps for relation in broken.group)

    def _repairs(self, broken: _Broken, changes: Mapping[str, BinaryPackage]) -> Iterator[BinaryPackage]:
        """Packages that could mend it, the least intrusive first: move one that is there, then add one."""
        if broken.other:
            yield from self._newer(broken.other, changes)
            yield from self._newer(broken.package, changes)
            return
        for relation in broken.group:
            yield from (item for item in self._newer(relation.name, changes) if self._member(item).meets(relation))
        for relation in broken.group:
            for provider in self._candidates.providers(relation.name):
                if provider.name in self._installed and self._member(provider).meets(relation):
                    yield from self._newer(provider.name, changes)
        yield from self._newer(broken.package, changes)
        for relation in broken.group:
            package = self._candidates.newest(relation.name)
            options = ([package] if package else []) + list(self._candidates.providers(relation.name))
            for option in options:
                if (
                    option.name not in self._installed
                    and option.name not in changes
                    and self._member(option).meets(relation)
                ):
                    yield option

    def _newer(self, name: str, changes: Mapping[str, BinaryPackage]) -> Iterator[BinaryPackage]:
        """The candidate for an installed package that has not moved yet."""
        member = self._installed.get(name)
        if member is None or name in changes or name in self._held:
            return
        package = self._candidates.newest(name)
        if package is not None and compare_debian(package.version, member.version) > 0:
            yield package


class _Set:
    """Packages with what they provide, indexed."""

    def __init__(self, members: Iterable[Member]) -> None:
        self.members = tuple(members)
        self.names = {member.name for member in self.members}
        self._by_name: dict[str, list[Member]] = {}
        for member in self.members:
            for name in {member.name, *(relation.name for relation in member.provides)}:
                self._by_name.setdefault(name, []).append(member)

    def meeting(self, relation: Relation) -> Iterator[Member]:
        return (member for member in self._by_name.get(relation.name, ()) if member.meets(relation))


def _broken(packages: _Set) -> Iterator[_Broken]:
    """Every relation that does not hold, in the order of the members."""
    for member in packages.members:
        for group in member.depends:
            if not any(True for relation in group for _ in packages.meeting(relation)):
                yield _Broken(member.name, group)
        for relation in member.refuses:
            for other in packages.meeting(relation):
                # A package may refuse a name that it provides itself, to be the only one of its kind.
                if other.name != member.name:
                    yield _Broken(member.name, (relation,), other.name)
