"""Which newer packages close the findings. Pure; the relations between packages are ``solve.py``'s."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sallyport.archives import BinaryPackage, compare_debian
from sallyport.catalog import Package
from sallyport.match import Finding
from sallyport.patch.model import UnsatisfiableError, Upgrade
from sallyport.patch.solve import Candidates, Member, Solved, solve


@dataclass(frozen=True, slots=True)
class Choice:
    """The upgrades by name, what stays open, and what a person should know."""

    upgrades: tuple[Upgrade, ...]
    unfixable: tuple[str, ...]
    notes: tuple[str, ...]


def choose(
    packages: Iterable[Package],
    findings: Iterable[Finding],
    installed: Mapping[str, Member],
    candidates: Candidates,
    *,
    everything: bool = False,
    held: frozenset[str] = frozenset(),
) -> Choice:
    """The smallest set that closes what can be closed, or with ``everything`` all newer packages.

    Raises:
        UnsatisfiableError: a package that closes a finding cannot be had without breaking another. (One that
            closes none is held back instead, and noted.)
    """
    there = {package.name: package for package in packages if package.name in installed}
    newer = {
        name: package
        for name in sorted(there.keys() - held)
        if (package := candidates.newest(name)) is not None
        and compare_debian(package.version, installed[name].version) > 0
    }
    closes: dict[str, set[str]] = {}
    unfixable: set[str] = set()
    fixes: dict[str, str] = {}  # source package to the version that closes most
    for finding in findings:
        package = newer.get(finding.package.name) if finding.package.kind == "deb" else None
        if package is None or finding.fixed is None or compare_debian(package.source_version, finding.fixed) < 0:
            unfixable.add(finding.id)
            continue
        closes.setdefault(package.name, set()).add(finding.id)
        known = fixes.get(finding.package.source)
        if known is None or compare_debian(finding.fixed, known) > 0:
            fixes[finding.package.source] = finding.fixed
    # A source's binaries are vulnerable together, also those that no finding names.
    wanted = {
        name: package
        for name, package in newer.items()
        if name in closes
        or (
            there[name].source in fixes
            and compare_debian(there[name].source_version, fixes[there[name].source]) < 0
            and compare_debian(package.source_version, fixes[there[name].source]) >= 0
        )
    }
    solved = solve(installed, wanted, candidates, held=held)
    notes: list[str] = []
    if everything:
        solved, notes = _with_all(solved, newer, installed, candidates, held)
    notes += [f"{gap}: missing before and after, as the image leaves it out" for gap in solved.gaps]
    notes += [f"{name} is on hold" for name in sorted(held & there.keys())]
    upgrades = (
        Upgrade(there.get(name), package, tuple(sorted(closes.get(name, ()))))
        for name, package in sorted(solved.changes.items())
    )
    return Choice(tuple(upgrades), tuple(sorted(unfixable)), tuple(notes))


def _with_all(
    solved: Solved,
    newer: Mapping[str, BinaryPackage],
    installed: Mapping[str, Member],
    candidates: Candidates,
    held: frozenset[str],
) -> tuple[Solved, list[str]]:
    """All newer packages together, or, where that does not fit, as many as do, one after the other."""
    try:
        return solve(installed, {**newer, **solved.changes}, candidates, held=held), []
    except UnsatisfiableError:
        notes: list[str] = []
    for name, package in newer.items():
        if name in solved.changes:
            continue
        try:
            solved = solve(installed, {**solved.changes, name: package}, candidates, held=held)
        except UnsatisfiableError as error:
            notes.append(f"{name} stays back: {error.message}")
    return solved, notes
