"""Which packages a wish brings with it. Source: Debian Policy 7.2 (Depends, Pre-Depends), 7.4, 7.5."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from sallyport.archives import BinaryPackage, PackageIndex, Relation, parse_relations, satisfied
from sallyport.errors import ConflictError, NotFoundError

_PRIORITIES = ("required", "important", "standard", "optional", "extra")


class Present(Protocol):
    """What is asked of a package that is there already: a BinaryPackage, or a record of dpkg's database."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def fields(self) -> Mapping[str, str]: ...


def closure(
    index: PackageIndex,
    names: Iterable[str],
    *,
    installed: Sequence[Present] = (),
    essential: bool = False,
    dependencies: bool = True,
    without: Collection[str] = (),
) -> tuple[BinaryPackage, ...]:
    """The newest versions of ``names`` and of all that they depend on and that is not ``installed``, by name.

    ``essential`` adds the packages marked Essential, which nobody declares a dependency on. Of alternatives the one
    that is chosen already counts, then the first that the index has; of packages that provide a name, the one with
    the highest priority, then the first by name. Recommends are left out. ``dependencies=False`` takes ``names``
    alone, for an image whose maker knows better. A name may list alternatives: ``libssl3 | libssl3t64``.
    Dependencies on a name in ``without`` count as met: a distroless image does without what only scripts ask for.

    Raises:
        NotFoundError: a package, or every alternative of a dependency, is not in the index.
        ConflictError: two of the chosen, or one and an installed one, conflict.
    """
    choice = _Choice(index, installed, without)
    wanted = set(names) | ({package.name for package in index.essential()} if essential else set())
    for wish in sorted(wanted):
        alternatives = [name.strip() for name in wish.split("|")]
        if any(name in choice.present for name in alternatives):
            continue
        found = next((package for name in alternatives if (package := index.newest(name)) is not None), None)
        if found is None:
            raise NotFoundError(f"the archive has no package {wish} for {index.architecture}", "check the name")
        choice.take(found)
    if dependencies:
        choice.follow()
        choice.check()
    return tuple(choice.chosen[name] for name in sorted(choice.chosen))


class _Choice:
    """What is there, what was chosen, and whose dependencies still wait."""

    def __init__(self, index: PackageIndex, installed: Sequence[Present], without: Collection[str]) -> None:
        self.index = index
        self.without = without
        self.chosen: dict[str, BinaryPackage] = {}
        self.present: dict[str, Present] = {package.name: package for package in installed}
        self.provided: dict[str, list[tuple[Present, str | None]]] = {}
        self.waiting: deque[BinaryPackage] = deque()
        for package in installed:
            self._provide(package)

    def take(self, package: BinaryPackage) -> None:
        self.chosen[package.name] = package
        self.present[package.name] = package
        self._provide(package)
        self.waiting.append(package)

    def follow(self) -> None:
        # First what leaves no choice, then the alternatives: a choice is better made knowing what is there anyway.
        later: deque[tuple[BinaryPackage, tuple[Relation, ...]]] = deque()
        while self.waiting or later:
            if not self.waiting:
                self._settle(*later.popleft())
                continue
            package = self.waiting.popleft()
            for group in _groups(package, "Pre-Depends", "Depends"):
                if len(group) == 1 and self.index.newest(group[0].name) is not None:
                    self._settle(package, group)
                else:
                    later.append((package, group))

    def check(self) -> None:
        for package in self.present.values():
            for relation in (item for group in _groups(package, "Conflicts", "Breaks") for item in group):
                for other in self._matching(relation):
                    # A package that conflicts with a name it provides means every other provider.
                    if other.name != package.name and (package.name in self.chosen or other.name in self.chosen):
                        raise ConflictError(
                            f"{package.name} and {other.name} cannot be installed together: {relation}",
                            "leave one of the two out",
                        )

    def _provide(self, package: Present) -> None:
        for relation in (item for group in _groups(package, "Provides") for item in group):
            self.provided.setdefault(relation.name, []).append((package, relation.version or None))

    def _matching(self, relation: Relation) -> list[Present]:
        there = self.present.get(relation.name)
        found = [there] if there is not None and satisfied(relation, there.version) else []
        return found + [item for item, version in self.provided.get(relation.name, ()) if satisfied(relation, version)]

    def _settle(self, package: BinaryPackage, group: tuple[Relation, ...]) -> None:
        if any(relation.name in self.without or self._matching(relation) for relation in group):
            return
        for relation in group:
            if relation.name in self.present:
                continue  # there, in a version that does not do
            real = self.index.newest(relation.name)
            if real is not None and satisfied(relation, real.version):
                self.take(real)
                return
            providers = [found for found in self.index.providers(relation.name) if _provides(found, relation)]
            if providers:
                self.take(min(providers, key=_rank))
                return
        raise NotFoundError(
            f"{package.name} depends on {' | '.join(map(str, group))}, which the archive does not have",
            "open the suites that belong together, or leave the package out",
        )


def _groups(package: Present, *fields: str) -> Iterator[tuple[Relation, ...]]:
    for field in fields:
        yield from parse_relations(package.fields.get(field, ""))


def _provides(package: BinaryPackage, relation: Relation) -> bool:
    offers = (offer for group in _groups(package, "Provides") for offer in group)
    return any(offer.name == relation.name and satisfied(relation, offer.version or None) for offer in offers)


def _rank(package: BinaryPackage) -> tuple[int, str]:
    priority = package.fields.get("Priority", "optional")
    return (_PRIORITIES.index(priority) if priority in _PRIORITIES else len(_PRIORITIES), package.name)
