"""A Python package index, served on: its files by the sha256 that the index names, and no others."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sallyport.depot.keep import Keeper, hashed
from sallyport.depot.model import FILE_LIMIT, Asked, Page, Reply, Whole
from sallyport.depot.names import project
from sallyport.depot.pypi_index import (
    HTML_TYPE,
    INDEX_LIMIT,
    JSON_TYPE,
    Link,
    read_index,
    write_html,
    write_json,
    write_root,
)
from sallyport.errors import MalformedError, NotFoundError
from sallyport.oci import Digest

if TYPE_CHECKING:
    from sallyport.depot.interface import Shelf

_ACCEPT = f"{JSON_TYPE}, {HTML_TYPE};q=0.2, text/html;q=0.1"
_METADATA = ".metadata"
_METADATA_LIMIT = 16 * 1024 * 1024
_PARSED = 32  # indexes that are kept in memory
_MEND = "use this address with /simple/ as the index"


class PypiShelf:
    """``simple/PROJECT/`` and ``files/PROJECT/FILE``. May be shared by threads."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._lock = threading.Lock()
        self._parsed: dict[tuple[str, Digest], tuple[Link, ...]] = {}

    def get(self, asked: Asked) -> Reply:
        json = _prefers_json(asked.accept)
        match asked.segments:
            case ("simple",):
                # Only those that stand on the list by name: upstream's own list has everything that there is.
                names = sorted({item for item in self._keeper.repository.allow if not set(item) & set("*?[")})
                return Page(write_root([project(name) for name in names], json=json), _type(json=json))
            case ("simple", name):
                normal = self._named(name)
                prefix = f"../../files/{normal}/" if asked.folder else f"../files/{normal}/"
                write = write_json if json else write_html
                return Page(write(normal, self._links(normal), prefix), _type(json=json))
            case ("files", name, file) if not asked.folder:
                return self._file(self._named(name), file)
            case _:
                raise NotFoundError("a Python package index has no such path", _MEND)

    def _named(self, name: str) -> str:
        try:
            normal = project(name)
        except MalformedError as error:
            raise NotFoundError(error.message, _MEND) from error
        repository = self._keeper.repository
        # The list may spell a name as its authors do.
        if not any(repository.allows(spelling) for spelling in (normal, name)):
            repository.admit(normal)
        return normal

    def _links(self, name: str) -> tuple[Link, ...]:
        repository, what = self._keeper.repository, f"index of {name}"
        url = f"{repository.upstream}/{name}/"

        def prove(raw: bytes, _before: bytes | None) -> bool:
            read_index(raw, url, what=what)
            return True

        kept = self._keeper.index(url, what=what, limit=INDEX_LIMIT, prove=prove, accept=_ACCEPT)
        key = (name, kept.digest)
        links = self._parsed.get(key)
        if links is None:
            links = tuple(
                link
                for link in read_index(self._keeper.read(kept.digest), url, what=what)
                if repository.holds(link.url)
            )
            with self._lock:
                while len(self._parsed) >= _PARSED:
                    self._parsed.pop(next(iter(self._parsed)))
                self._parsed[key] = links
        return links

    def _file(self, name: str, file: str) -> Whole:
        wanted = file.removesuffix(_METADATA)
        for link in self._links(name):
            if link.name == file:
                return Whole(self._fetch(link.url, link.digest, link.size, file))
            if link.name == wanted and link.metadata is not None:
                parts = urlsplit(link.url)
                url = parts._replace(path=parts.path + _METADATA).geturl()
                return Whole(self._fetch(url, link.metadata, 0, file), "text/plain; charset=utf-8")
        raise NotFoundError(f"the index of {name} names no such file with a sha256", _MEND)

    def _fetch(self, url: str, digest: Digest, size: int, file: str) -> Digest:
        if size:
            return self._keeper.file([url], digest, size, what=file)
        limit = _METADATA_LIMIT if file.endswith(_METADATA) else FILE_LIMIT
        return self._keeper.checked(url, str(digest), what=file, limit=limit, check=hashed(digest, file))


def _type(*, json: bool) -> str:
    return JSON_TYPE if json else "text/html; charset=utf-8"


def _prefers_json(accept: str) -> bool:
    """Source: RFC 9110, 12.5.1; a client that names neither form gets the page."""
    best: dict[bool, float] = {True: 0.0, False: 0.0}
    for item in accept.split(","):
        kind, *parameters = (part.strip() for part in item.split(";"))
        quality = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    quality = float(parameter[2:])
                except ValueError:
                    quality = 0.0
        if kind in (JSON_TYPE, "application/vnd.pypi.simple.latest+json"):
            best[True] = max(best[True], quality)
        elif kind in (HTML_TYPE, "text/html", "application/vnd.pypi.simple.latest+html"):
            best[False] = max(best[False], quality)
    return best[True] > 0 and best[True] >= best[False]


if TYPE_CHECKING:
    _fits: type[Shelf] = PypiShelf
