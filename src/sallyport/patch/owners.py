"""Which package a path belongs to, as the patch will leave it, whatever links the package spells it through.

Sources: Debian Policy 7.6.1 (Replaces: taking a file over); dpkg(1), "FILES" (.list).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from sallyport.archives import Deb, parse_relations, satisfied
from sallyport.compose import DpkgDatabase, Draft, Installed
from sallyport.errors import ConflictError
from sallyport.oci import Kind
from sallyport.patch.examine import Replacement


class Owners:
    """Real path to the packages that list it."""

    def __init__(self, packages: Iterable[Installed], resolve: Callable[[str], str]) -> None:
        self._resolve = resolve
        self._folders: dict[str, str] = {}
        self._owners: dict[str, list[tuple[Installed, str]]] = {}
        for package in packages:
            if package.present:
                for path in package.files:
                    self._owners.setdefault(self.real(path), []).append((package, path))

    def real(self, path: str) -> str:
        """The real path of ``path``, whose last component is not followed."""
        parent, _, name = path.rpartition("/")
        folder = self._folders.get(parent)
        if folder is None:
            folder = self._folders[parent] = self._resolve(parent)
        return f"{folder}/{name}" if folder else name

    def of(self, real: str) -> Sequence[tuple[Installed, str]]:
        """The packages, each with how it spells the path."""
        return self._owners.get(real, ())

    def owned(self, real: str) -> bool:
        """Whether any package has it."""
        return real in self._owners


def take_over(
    database: DpkgDatabase, replacements: Sequence[Replacement], draft: Draft, owners: Owners
) -> DpkgDatabase:
    """The database in which no other package lists a file that a new one brings.

    Raises:
        ConflictError: a package brings a file of another one and does not say that it replaces it.
    """
    fresh = {item.name for item in replacements}
    lost: dict[tuple[str, str], set[str]] = {}
    for item in replacements:
        for path, real in item.new.placed.items():
            entry = draft.entry(real)
            if entry is None or entry.kind is Kind.DIRECTORY or draft.owner(real) != item.name:
                continue
            below = draft.below.get(draft.below.resolve(real))
            if below is not None and below.entry.kind is Kind.DIRECTORY:
                continue  # a link to a folder, which many packages list as a folder
            for other, spelled in owners.of(real):
                if other.name in fresh:
                    continue  # unpacking settled that
                if not _replaces(item.new.deb, other):
                    raise ConflictError(
                        f"{item.name} brings /{path}, which belongs to {other.name}",
                        "upgrade both at once, or leave this package as it is",
                    )
                lost.setdefault(other.key, set()).add(f"/{spelled}")
    return database.having(_without(package, lost[package.key]) for package in database.packages if package.key in lost)


def _without(package: Installed, paths: set[str]) -> Installed:
    if "list" not in package.info:
        return package
    lines: Iterator[str] = (
        line for line in package.info["list"].decode("utf-8", "surrogateescape").splitlines() if line not in paths
    )
    content = "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")
    return replace(package, info={**package.info, "list": content})


def _replaces(new: Deb, old: Installed) -> bool:
    groups = parse_relations(new.control.get("Replaces", ""))
    return any(relation.name == old.name and satisfied(relation, old.version) for group in groups for relation in group)
