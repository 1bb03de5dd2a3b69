"""An npm registry, served on: tarballs by the sha512 that the packument names, and no others.

Source: npm's "package metadata" (packuments); W3C Subresource Integrity, 3.5 (the form of ``integrity``).
"""

from __future__ import annotations

import base64
import binascii
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from sallyport.depot.keep import Keeper, hashed
from sallyport.depot.model import FILE_LIMIT, Asked, Page, Reply, Whole
from sallyport.depot.names import is_npm
from sallyport.errors import MalformedError, NotFoundError
from sallyport.oci import JSON, Digest, parse_json, render_json

if TYPE_CHECKING:
    from sallyport.depot.interface import Shelf

PACKUMENT_LIMIT = 128 * 1024 * 1024  # bytes; the longest real ones have some tens of MB
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+-]{0,127}\Z")
_PARSED = 8  # packuments that are kept in memory
_MEND = "use this address as the registry"


@dataclass(frozen=True, slots=True)
class _Tarball:
    url: str
    digest: Digest  # sha512


@dataclass(frozen=True, slots=True)
class _Packument:
    """What upstream says of a package, without the versions that nothing can check."""

    document: dict[str, JSON]
    tarballs: Mapping[str, _Tarball]  # by the name that they have here


class NpmShelf:
    """``PACKAGE`` and ``PACKAGE/-/FILE.tgz``. May be shared by threads."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._lock = threading.Lock()
        self._parsed: dict[tuple[str, Digest], _Packument] = {}

    def get(self, asked: Asked) -> Reply:
        scope, rest = (asked.segments[0], asked.segments[1:]) if _scoped(asked.segments) else ("", asked.segments)
        if rest and is_npm(scope, rest[0]):
            name = f"{scope}/{rest[0]}" if scope else rest[0]
            match rest[1:]:
                case ():
                    self._keeper.repository.admit(name)
                    return self._page(name, asked.base)
                case ("-", file):
                    self._keeper.repository.admit(name)
                    return self._file(name, file)
        raise NotFoundError("an npm registry has no such path, or not here", _MEND)

    def _page(self, name: str, base: str) -> Page:
        found = self._packument(name)
        versions: dict[str, JSON] = {}
        for version, entry in _mapping(found.document.get("versions")).items():
            dist = _mapping(_mapping(entry).get("dist")) | {"tarball": f"{base}{name}/-/{_file(name, version)}"}
            versions[version] = _mapping(entry) | {"dist": dist}
        return Page(render_json(found.document | {"versions": versions}), "application/json")

    def _file(self, name: str, file: str) -> Whole:
        found = self._packument(name).tarballs.get(file)
        if found is None:
            raise NotFoundError(f"{name} has no such tarball with a sha512", _MEND)
        check = hashed(found.digest, file)
        return Whole(
            self._keeper.checked(found.url, str(found.digest), what=file, limit=FILE_LIMIT, check=check),
        )

    def _packument(self, name: str) -> _Packument:
        what = f"packument of {name}"
        url = f"{self._keeper.repository.upstream}/{quote(name, safe='@')}"

        def prove(raw: bytes, _before: bytes | None) -> bool:
            self._read(raw, name, what)
            return True

        kept = self._keeper.index(url, what=what, limit=PACKUMENT_LIMIT, prove=prove, accept="application/json")
        key = (name, kept.digest)
        found = self._parsed.get(key)
        if found is None:
            found = self._read(self._keeper.read(kept.digest), name, what)
            with self._lock:
                while len(self._parsed) >= _PARSED:
                    self._parsed.pop(next(iter(self._parsed)))
                self._parsed[key] = found
        return found

    def _read(self, raw: bytes, name: str, what: str) -> _Packument:
        value = parse_json(raw, what=what, limit=PACKUMENT_LIMIT)
        if not isinstance(value, dict) or value.get("name") != name or not isinstance(value.get("versions"), dict):
            raise MalformedError(f"{what} is none", "do not use this upstream, or check its address")
        versions: dict[str, JSON] = {}
        tarballs: dict[str, _Tarball] = {}
        for version, entry in _mapping(value["versions"]).items():
            dist = _mapping(_mapping(entry).get("dist"))
            url, digest = dist.get("tarball"), _sha512(dist.get("integrity"))
            if not _VERSION.match(version) or digest is None or not isinstance(url, str):
                continue
            if self._keeper.repository.holds(url):
                versions[version] = entry
                tarballs[_file(name, version)] = _Tarball(url, digest)
        tags = {tag: version for tag, version in _mapping(value.get("dist-tags")).items() if str(version) in versions}
        return _Packument(value | {"versions": versions, "dist-tags": tags}, tarballs)


def _scoped(segments: tuple[str, ...]) -> bool:
    return bool(segments) and segments[0].startswith("@")


def _file(name: str, version: str) -> str:
    return f"{name.rpartition('/')[2]}-{version}.tgz"


def _mapping(value: JSON) -> dict[str, JSON]:
    return value if isinstance(value, dict) else {}


def _sha512(integrity: JSON) -> Digest | None:
    for item in integrity[:4096].split() if isinstance(integrity, str) else ():
        if item.startswith("sha512-"):
            try:
                return Digest("sha512", base64.b64decode(item[7:].partition("?")[0], validate=True).hex())
            except (binascii.Error, MalformedError):
                continue
    return None


if TYPE_CHECKING:
    _fits: type[Shelf] = NpmShelf
