"""What becomes of a configuration file. Sources: Debian Policy 10.7.3; dpkg, "conffoptcells"."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sallyport.archives import Deb
from sallyport.compose import Installed, Style
from sallyport.oci import Entry
from sallyport.patch.base import Base
from sallyport.patch.model import Upgrade


class Fate(enum.Enum):
    """What the patch does with the new version of a configuration file."""

    INSTALL = "install"
    KEEP = "keep"  # the image's stays, or stays away; the package's did not change, or is the same
    SAME = "same"  # the image has the new one already
    SHOW = "show"  # the image's stays, and the new one is put beside it as .dpkg-dist


def decide_conffile(recorded: str | None, current: str | None, new: str) -> Fate:
    """Decide by md5: what the package had shipped, what the image has (None: no file), what the package ships now.

    ``recorded`` is None where the installed version did not have the file as a configuration file.
    """
    if current is None:
        # Somebody who removed a file from an image does not want it, nor another one beside its place.
        return Fate.INSTALL if recorded is None else Fate.KEEP
    if current == new:
        return Fate.SAME
    if recorded == current:
        return Fate.INSTALL
    if recorded == new:
        return Fate.KEEP
    return Fate.SHOW


@dataclass(frozen=True, slots=True)
class Conffile:
    """One configuration file of a new version, and what becomes of it."""

    package: str
    path: str  # relative, as the package writes it
    real: str
    fate: Fate
    entry: Entry
    content: bytes = field(repr=False)


def decide_conffiles(
    base: Base, installed: Mapping[str, Installed], upgrades: Sequence[Upgrade], debs: Sequence[Deb]
) -> tuple[Conffile, ...]:
    """Decide about every configuration file that ``debs`` ship."""
    shipped = [
        (upgrade, path, *member)
        for upgrade, deb in zip(upgrades, debs, strict=True)
        if deb.conffiles
        for path, member in sorted(deb.files(name.lstrip("/") for name in deb.conffiles).items())
    ]
    current = base.md5_of({base.real(path) for _, path, _, _ in shipped})
    found: list[Conffile] = []
    for upgrade, path, entry, content in shipped:
        real = base.real(path)
        there = base.rootfs.get(real)
        # A link or a folder in its place has no md5, and is a change.
        now = current.get(real, None if there is None else "")
        old = installed.get(upgrade.new.name) if upgrade.old else None
        new = hashlib.md5(content, usedforsecurity=False).hexdigest()
        fate = decide_conffile(_recorded(base, old, path, real, now), now, new)
        found.append(Conffile(upgrade.new.name, path, real, fate, entry, content))
    return tuple(found)


def _recorded(base: Base, old: Installed | None, path: str, real: str, now: str | None) -> str | None:
    """The md5 that the installed version shipped the file with."""
    if old is None:
        return None
    if old.style is Style.STATUS or f"/{path}" in old.conffiles:
        return old.conffiles.get(f"/{path}")
    if now is None:
        return None
    # status.d records none. A file in the layer that brought the package's record is as it was shipped; one that
    # a later layer brought was changed.
    record = base.rootfs.get(base.real(f"var/lib/dpkg/status.d/{old.file or old.name}"))
    node = base.rootfs.get(real)
    return now if record is not None and node is not None and record.layer == node.layer else ""
