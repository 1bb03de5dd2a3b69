"""What the old version of a package had and the new one has not: to be whited out, unless somebody else's.

Source: Debian Policy 6.6, step 6 of the upgrade ("remove any files ... in the old ... but not in the new").
"""

from __future__ import annotations

from collections.abc import Callable

from sallyport.compose import Draft, Installed, Style
from sallyport.oci import Kind
from sallyport.patch.base import Base
from sallyport.patch.examine import Replacement
from sallyport.patch.local_rules import LocalRules


def vanished(
    base: Base, draft: Draft, item: Replacement, rules: LocalRules, is_owned: Callable[[str], bool]
) -> tuple[str, ...]:
    """The real paths to remove, none of them below another.

    ``is_owned(real path)`` says whether another package, as it will be, has it. Configuration files stay, as dpkg
    leaves them (marked obsolete in its database).
    """
    old = item.old
    if old is None:
        return ()

    def real_of(path: str) -> str:
        return base.real(rules.place_of(item.name, path.lstrip("/")))

    kept = {real_of(path) for path in (*item.new.files, *old.conffiles)}
    gone: set[str] = set()
    folders: list[str] = []
    for path in old.files:
        real = real_of(path)
        node = base.rootfs.get(real)
        if node is None or real in kept or draft.owner(real) or is_owned(real):
            continue
        if node.entry.kind is Kind.DIRECTORY:
            folders.append(real)
        else:
            gone.add(real)
    if old.style is Style.STATUS_D:
        gone |= _dangling(base, draft, gone)
    # The deepest first, so that a folder that holds only what goes can go too.
    for folder in sorted(set(folders) | _emptied(gone, old), key=lambda path: path.count("/"), reverse=True):
        if all(child in gone for child in draft.children(folder)) and not is_owned(folder):
            gone.add(folder)
    return tuple(sorted(path for path in gone if path.rpartition("/")[0] not in gone))


def _emptied(gone: set[str], old: Installed) -> set[str]:
    """``status.d`` lists no folders: those below the package's own name under usr/share are its own."""
    if old.style is not Style.STATUS_D:
        return set()
    parents = {path.rpartition("/")[0] for path in gone}
    return {path for path in parents if path.rpartition("/")[2] == old.name}


def _dangling(base: Base, draft: Draft, gone: set[str]) -> set[str]:
    """``status.d`` lists no links either: those beside a file that goes, and that lead to it, go with it."""
    found: set[str] = set()
    waiting = sorted(gone)
    while waiting:
        folder, _, name = waiting.pop().rpartition("/")
        for child in base.rootfs.children(folder):
            node = base.rootfs.get(child)
            leads_there = node is not None and node.entry.kind is Kind.SYMLINK and node.entry.link == name
            if leads_there and child not in found and not draft.owner(child):
                found.add(child)
                waiting.append(child)
    return found
