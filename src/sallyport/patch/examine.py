"""Every maintainer script that dpkg would run for a set of upgrades, judged.

Sources: Debian Policy 6.6; deb-triggers(5).

The ``config`` scripts are not among them: debconf runs them, and they ask; what a postinst does with the answers
is judged there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from sallyport.compose import Installed, Unpacked
from sallyport.patch.model import Script
from sallyport.patch.scripts import Scene, arguments_of, commands_before, judge_script
from sallyport.patch.truth import Tree

NATIVES = frozenset({"ldconfig", "update-ca-certificates"})
"""Programs whose work sallyport does itself: ``loader.py``, ``certificates.py``."""


@dataclass(frozen=True, slots=True)
class Replacement:
    """A package that was unpacked, and the version that it takes the place of."""

    old: Installed | None
    new: Unpacked

    @property
    def name(self) -> str:
        return self.new.deb.control.get("Package", "")


@dataclass(frozen=True, slots=True)
class Examined:
    """The scripts, and the triggers that the upgrade activates."""

    scripts: tuple[Script, ...]
    triggers: frozenset[str]


def examine(replacements: Sequence[Replacement], installed: Iterable[Installed], before: Tree, after: Tree) -> Examined:
    """Judge the scripts of ``replacements``, and those of ``installed`` (as it will be) that wait for a trigger."""
    packages = tuple(installed)
    interests = {package.name: interests_of(package) for package in packages}
    waited_for = frozenset(name for names in interests.values() for name in names)
    changed = frozenset(path for item in replacements for path in _changed(item))
    scripts: list[Script] = []
    activated: set[str] = set()
    for item in replacements:
        control = item.new.deb.control
        old = item.old.version if item.old else ""
        scene = Scene(
            before,
            item.name,
            control["Architecture"],
            old,
            control["Version"],
            natives=NATIVES,
            changed=changed,
        )
        later = replace(
            scene, tree=after, before=commands_before(_text(item.old, "postinst"), replace(scene, tree=after))
        )
        stages = (
            ("prerm", _text(item.old, "prerm"), scene),
            ("preinst", _shipped(item.new, "preinst"), scene),
            ("postrm", _text(item.old, "postrm"), later),
            ("postinst", _shipped(item.new, "postinst"), later),
        )
        for name, text, where in stages:
            if text is None:
                continue
            script, names = judge_script(name, text, arguments_of(name, where), where)
            scripts.append(script)
            activated.update(names)
        activated |= _activates(item.new) | _touched(item.new, waited_for)
    for package in packages:
        names = tuple(sorted(activated & interests[package.name]))
        text = _text(package, "postinst")
        if not names or text is None:
            continue
        scene = Scene(
            after,
            package.name,
            package.architecture,
            package.version,
            package.version,
            frozenset(),
            NATIVES,
        )
        scene = replace(scene, before=commands_before(text, scene))
        scripts.append(judge_script("postinst", text, ("triggered", " ".join(names)), scene)[0])
    return Examined(tuple(scripts), frozenset(activated))


def interests_of(package: Installed) -> frozenset[str]:
    """The triggers that a package waits for: names, and absolute paths."""
    found = set()
    for words in _lines(package.info.get("triggers", b"")):
        if words[0].startswith("interest") and len(words) > 1:
            found.add(words[1])
    return frozenset(found)


def _changed(item: Replacement) -> set[str]:
    """The paths whose content the new version changes, adds or takes away."""
    old = item.old.md5sums if item.old else {}
    new = item.new.md5sums
    return {path for path in old.keys() | new.keys() if old.get(path) != new.get(path)}


def _activates(unpacked: Unpacked) -> set[str]:
    return {words[1] for words in _lines(unpacked.deb.triggers) if words[0].startswith("activate") and len(words) > 1}


def _touched(unpacked: Unpacked, waited_for: frozenset[str]) -> set[str]:
    """The paths waited for that the package has files at or below."""
    paths = [name for name in waited_for if name.startswith("/")]
    return {
        path
        for path in paths
        if any(f"/{member}" == path or f"/{member}".startswith(f"{path}/") for member in unpacked.placed)
    }


def _lines(raw: bytes) -> list[list[str]]:
    lines = (line.partition("#")[0].split() for line in raw.decode("utf-8", "replace").splitlines())
    return [words for words in lines if words]


def _text(package: Installed | None, name: str) -> str | None:
    raw = package.info.get(name) if package else None
    return None if raw is None else raw.decode("utf-8", "surrogateescape")


def _shipped(unpacked: Unpacked, name: str) -> str | None:
    scripts: Mapping[str, bytes] = unpacked.deb.scripts
    return scripts[name].decode("utf-8", "surrogateescape") if name in scripts else None
