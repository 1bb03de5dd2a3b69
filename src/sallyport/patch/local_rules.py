"""Rules that an image's own dpkg has beyond its packages: diversions and overridden rights.

Sources: dpkg-divert(1) and dpkg-statoverride(1), "FILES".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sallyport.compose import Draft
from sallyport.oci import Kind
from sallyport.patch.base import Base
from sallyport.patch.examine import Replacement


@dataclass(frozen=True, slots=True)
class Rights:
    """Owner, group and mode that somebody set for a path."""

    uid: int
    gid: int
    mode: int


@dataclass(frozen=True, slots=True)
class LocalRules:
    """By relative path: where a file goes and for whom it does not, and which rights it gets."""

    diversions: Mapping[str, tuple[str, str]]  # to the new path and the package that keeps the old one
    overrides: Mapping[str, Rights]

    def leads_away(self, package: str, path: str) -> bool:
        """Whether ``path`` of ``package`` stands elsewhere in this image."""
        return path in self.diversions and self.diversions[path][1] != package

    def place_of(self, package: str, path: str) -> str:
        """Where ``path`` of ``package`` stands in this image, spelled as the package or the diversion does."""
        return self.diversions[path][0] if self.leads_away(package, path) else path

    def place_diverted(self, draft: Draft, item: Replacement) -> tuple[str, ...]:
        """Put the diverted files of ``item``, which were left out, where they belong; the real paths."""
        wanted = [path for path in (name.lstrip("/") for name in item.new.files) if path in self.diversions]
        if not wanted:
            return ()
        found = item.new.deb.files(wanted)
        placed: list[str] = []
        for path, (entry, content) in sorted(found.items()):
            there = replace(entry, path=self.place_of(item.name, path))
            placed.append(draft.put(there, content, owner=item.name))
        return tuple(placed)

    def override(self, draft: Draft, item: Replacement) -> None:
        """Give the files of ``item`` the rights that somebody set."""
        for path, rights in self.overrides.items():
            real = item.new.placed.get(path, "")
            entry = draft.entry(real) if real and draft.owner(real) == item.name else None
            if entry is None or entry.kind is not Kind.FILE:
                continue
            changed = replace(entry, uid=rights.uid, gid=rights.gid, mode=rights.mode)
            draft.put(changed, draft.content(real) or b"", owner=item.name)


def read_local_rules(base: Base) -> LocalRules:
    """The rules of ``base``; an override for an account that the image does not have counts as none."""
    lines = (base.text("var/lib/dpkg/diversions") or "").splitlines()
    diversions = {
        lines[at].lstrip("/"): (lines[at + 1].lstrip("/"), lines[at + 2]) for at in range(0, len(lines) - 2, 3)
    }
    overrides: dict[str, Rights] = {}
    for line in (base.text("var/lib/dpkg/statoverride") or "").splitlines():
        fields = line.split(" ", 3)
        if len(fields) == 4 and fields[2].isdigit():  # noqa: PLR2004 - user, group, mode, path
            uid, gid = _account(base, "passwd", fields[0]), _account(base, "group", fields[1])
            if uid is not None and gid is not None:
                overrides[fields[3].lstrip("/")] = Rights(uid, gid, int(fields[2], 8) & 0o7777)
    return LocalRules(diversions, overrides)


def _account(base: Base, database: str, name: str) -> int | None:
    if name.startswith("#"):
        return int(name[1:]) if name[1:].isdigit() else None
    for line in (base.text(f"etc/{database}") or "").splitlines():
        fields = line.split(":")
        if fields[0] == name and len(fields) > 2 and fields[2].isdigit():  # noqa: PLR2004 - name, password, number
            return int(fields[2])
    return None
