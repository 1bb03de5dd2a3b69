"""Packages into a layer, as dpkg would unpack them, without a shell, root or the packages' scripts.

Sources: Debian Policy 7.6.1 (Replaces), 10.5 (links); dpkg(1) ``--path-exclude``; dpkg's rules for a folder that
meets a link: what is there stays.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sallyport.archives import Deb, parse_relations, satisfied
from sallyport.compose.draft import Content, Draft
from sallyport.engine import Executor, Inline
from sallyport.errors import ConflictError, MalformedError, UnsafePathError
from sallyport.oci import Entry, Kind

_MEND = "the package is broken: report it to whoever publishes it"


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What became of one package's members."""

    deb: Deb
    files: tuple[str, ...]  # as dpkg's .list names them: "/.", "/usr", "/usr/bin/x"; also what was left out
    placed: Mapping[str, str] = field(repr=False)  # member's path -> real path, for what stands in the layer or below
    md5sums: Mapping[str, str] = field(repr=False)  # relative path -> md5, for every regular file but the conffiles
    conffiles: Mapping[str, str] = field(repr=False)  # absolute path -> md5 as the package ships it


@dataclass(frozen=True, slots=True)
class _Spooled:
    deb: Deb
    members: tuple[tuple[Entry, Content | None], ...]
    md5sums: Mapping[str, str]


def nothing(path: str) -> bool:  # noqa: ARG001 - it excludes no path
    """Leaves nothing out."""
    return False


def unpack(
    debs: Iterable[Deb],
    draft: Draft,
    *,
    exclude: Callable[[str], bool] = nothing,
    executor: Executor | None = None,
) -> tuple[Unpacked, ...]:
    """Unpack ``debs`` into ``draft``, in their order; inflating runs on ``executor``.

    ``exclude(path)`` says of a member's path, as the package writes it, that it is to be left out: dpkg's
    path-excludes do so, and a conffile that somebody changed is kept that way. Its name stays in ``files`` and its
    checksum in ``md5sums``, as with dpkg. Paths lead through the links that are there. Two packages may bring one
    path only where one declares that it replaces the other's.

    Raises:
        ConflictError: two packages bring one file.
        UnsafePathError: a package brings a device.
        DamagedError: a package is broken; the draft is then to be thrown away.
    """
    spooled = (executor or Inline()).map(lambda deb: _spool(deb, draft, exclude), debs)
    owners: dict[str, Deb] = {}
    result: list[Unpacked] = []
    for package in spooled:
        owners[package.deb.control.get("Package", "")] = package.deb
        result.append(_place(package, draft, exclude, owners))
    return tuple(result)


def _spool(deb: Deb, draft: Draft, exclude: Callable[[str], bool]) -> _Spooled:
    """Inflate ``deb`` once, its contents into the scratch file."""
    conffiles = {path.lstrip("/") for path in deb.conffiles}
    stated = deb.md5sums
    md5sums = dict(stated)
    members: list[tuple[Entry, Content | None]] = []
    for entry, body in deb.members():
        if entry.kind in (Kind.CHARACTER, Kind.BLOCK):
            raise UnsafePathError(f"{deb.control.get('Package')} brings the device {entry.path[:120]!r}", _MEND)
        if entry.kind is not Kind.FILE:
            members.append((entry, None))
            continue
        chunks: Iterable[bytes] = body
        hasher = None
        if entry.path in conffiles or not stated:
            hasher = hashlib.md5(usedforsecurity=False)
            chunks = _hashed(body, hasher.update)
        if exclude(entry.path):
            for _ in chunks:
                pass
            members.append((entry, None))
        else:
            members.append((entry, draft.keep(entry.size, chunks)))
        if hasher is not None:
            md5sums[entry.path] = hasher.hexdigest()
    return _Spooled(deb, tuple(members), md5sums)


def _hashed(chunks: Iterable[bytes], update: Callable[[bytes], object]) -> Iterable[bytes]:
    for chunk in chunks:
        update(chunk)
        yield chunk


def _place(package: _Spooled, draft: Draft, exclude: Callable[[str], bool], owners: Mapping[str, Deb]) -> Unpacked:
    deb, name = package.deb, package.deb.control.get("Package", "")
    placed: dict[str, str] = {}
    contents: dict[str, tuple[Entry, Content | None]] = {}
    files: list[str] = []
    for entry, content in package.members:
        files.append(f"/{entry.path}" if entry.path else "/.")
        if entry.kind is Kind.FILE:
            contents[entry.path] = (entry, content)
        if not entry.path or exclude(entry.path):
            continue
        real = draft.resolve(entry.path, follow_last=False)
        there = draft.entry(real)
        if there is not None and there.kind is Kind.DIRECTORY and entry.kind is Kind.SYMLINK:
            placed[entry.path] = real  # dpkg keeps the folder; a package's script would have to clear it away
            continue
        if entry.kind is not Kind.DIRECTORY and not _may_replace(deb, draft.owner(real), real, owners):
            continue
        if entry.kind is Kind.HARDLINK:
            target = contents.get(entry.link)
            if target is None or target[1] is None:
                raise MalformedError(f"{name}: the hard link {entry.path[:120]!r} names no file that is there", _MEND)
            draft.put(replace(target[0], path=entry.path), target[1], owner=name)
        else:
            draft.put(entry, content or b"", owner=name)
        placed[entry.path] = real
    conffiles = {path: package.md5sums[path[1:]] for path in deb.conffiles if path[1:] in package.md5sums}
    md5sums = {path: md5 for path, md5 in package.md5sums.items() if f"/{path}" not in conffiles or path in deb.md5sums}
    return Unpacked(deb, tuple(files), placed, md5sums, conffiles)


def _may_replace(deb: Deb, owner: str | None, path: str, owners: Mapping[str, Deb]) -> bool:
    """Whether ``deb`` may bring ``path``; False where the one that brought it replaces ``deb``'s."""
    name = deb.control.get("Package", "")
    other = owners.get(owner or "")
    if not owner or owner == name or other is None:
        return True
    if _replaces(deb, other):
        return True
    if _replaces(other, deb):
        return False
    raise ConflictError(
        f"{name} and {owner} both bring {path[:120]!r}", "leave one of the two packages out, or use versions that agree"
    )


def _replaces(new: Deb, old: Deb) -> bool:
    name, version = old.control.get("Package", ""), old.control.get("Version", "")
    relations = [relation for group in parse_relations(new.control.get("Replaces", "")) for relation in group]
    return any(relation.name == name and satisfied(relation, version) for relation in relations)


def owned_paths(files: Sequence[str]) -> tuple[str, ...]:
    """The relative paths of a ``.list``, without the root."""
    return tuple(path.lstrip("/") for path in files if path not in ("/.", "/", ""))
