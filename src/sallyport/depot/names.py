"""Paths and names, read strictly: what is not plainly a path below the repository is none."""

from __future__ import annotations

import re

from sallyport.errors import MalformedError, NotFoundError

PATH_LIMIT = 1024  # characters
_DEPTH = 16
_SEGMENT = re.compile(r"[A-Za-z0-9@._+~:=,%!-]{1,255}\Z")
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+!~-]{0,253}\Z")
_PROJECT = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?\Z")
_NPM = re.compile(r"[A-Za-z0-9._~-]{1,128}\Z")
_MEND = "check the address that the package manager was given"


def read_path(path: str) -> tuple[tuple[str, ...], bool]:
    """The segments of a decoded path below /packages/NAME/, and whether it ends in a slash.

    Raises:
        NotFoundError: it is too long, climbs, or has signs that no repository's path has.
    """
    if len(path) > PATH_LIMIT:
        raise NotFoundError("the path is too long", _MEND)
    if not path:
        return (), True
    segments = path.removesuffix("/").split("/")
    if len(segments) > _DEPTH or not all(_SEGMENT.match(item) and item.strip(".") for item in segments):
        raise NotFoundError("no package repository has such a path", _MEND)
    return tuple(segments), path.endswith("/")


def is_file(name: str) -> bool:
    """Whether ``name`` can be a package's file."""
    return bool(_FILE.match(name)) and ".." not in name


def project(name: str) -> str:
    """The normalised name of a Python project. Source: Python packaging specifications, "Names and normalization".

    Raises:
        MalformedError: it is none.
    """
    if not _PROJECT.match(name):
        raise MalformedError(f"{name[:80]!r} is no name of a project", _MEND)
    return re.sub(r"[-_.]+", "-", name).lower()


def is_npm(scope: str, name: str) -> bool:
    """Whether ``@scope/name``, or ``name`` where there is no scope, can be a package of npm."""
    if scope and not (scope[0] == "@" and _NPM.match(scope[1:]) and scope[1] not in "._"):
        return False
    return bool(_NPM.match(name)) and name[0] not in "._-" and len(scope) + len(name) < 214  # noqa: PLR2004 - npm's limit
