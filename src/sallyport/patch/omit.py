"""Which files an image leaves out, so that a slim image stays slim.

Three signs, the strongest first: the image's own dpkg configuration says so; a file that the installed version
lists is not there; or of a whole kind of files (manuals, translations) that packages list, not one is there.
Sources: dpkg(1), ``--path-exclude``; the path-excludes of Debian's slim images.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Mapping

from sallyport.compose import Installed
from sallyport.oci import Kind
from sallyport.patch.base import Base

_COPYRIGHT = re.compile(r"usr/share/doc/[^/]+/copyright\Z")
_KINDS = tuple(
    f"usr/share/{name}/" for name in ("doc", "man", "info", "locale", "groff", "lintian", "linda", "bug", "help")
)
_OPTION = re.compile(r"\s*path-(exclude|include)\s*[=\s]\s*[\"']?/?(.*?)[\"']?\s*\Z")


def kind_of_file(path: str) -> str:
    """The kind of documentation that ``path`` is; empty for none. Copyright files are a kind of their own."""
    if _COPYRIGHT.match(path):
        return "copyright"
    return next((kind for kind in _KINDS if path.startswith(kind)), "")


def omitted(
    base: Base, packages: Mapping[str, Installed], replaced: Iterable[Installed], conffiles: frozenset[str]
) -> Callable[[str], bool]:
    """Says of a package's member whether the image leaves it out; ``replaced`` are the versions that go.

    Configuration files (relative paths) are never meant: they have rules of their own.
    """
    options = _options(base)
    missing = {path for old in replaced for path in _leaves(old) if path not in conffiles and not _there(base, path)}
    kinds = _kinds_left_out(base, packages)

    def exclude(path: str) -> bool:
        if path in conffiles:
            return False
        said = None
        for excludes, pattern in options:
            if pattern.match(path):
                said = excludes
        return bool(said) or path in missing or (said is None and kind_of_file(path) in kinds)

    return exclude


def _options(base: Base) -> tuple[tuple[bool, re.Pattern[str]], ...]:
    """The image's path-excludes and path-includes; the last that fits decides."""
    paths = ("etc/dpkg/dpkg.cfg", *base.rootfs.children("etc/dpkg/dpkg.cfg.d"))
    lines = [line for path in paths for line in (base.text(path) or "").splitlines()]
    found = (_OPTION.match(line) for line in lines)
    return tuple((match[1] == "exclude", re.compile(fnmatch.translate(match[2]))) for match in found if match)


def _leaves(package: Installed) -> tuple[str, ...]:
    """What the package lists, without the folders above others."""
    folders = {path.rpartition("/")[0] for path in package.files}
    return tuple(path for path in package.files if path not in folders)


def _there(base: Base, path: str) -> bool:
    return base.rootfs.get(base.real(path)) is not None


def _kinds_left_out(base: Base, packages: Mapping[str, Installed]) -> frozenset[str]:
    listed: set[str] = set()
    there: set[str] = set()
    for package in packages.values():
        for path in _leaves(package):
            kind = kind_of_file(path)
            if not kind or kind in there:
                continue
            node = base.rootfs.get(base.real(path))
            if node is None:
                listed.add(kind)
            elif node.entry.kind is Kind.FILE:
                # A link says little: slim images keep those that lead to another package's folder.
                there.add(kind)
    return frozenset(listed - there)
