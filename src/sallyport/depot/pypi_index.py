"""A project's page of a Python package index, read and written in both forms.

Sources: Python packaging specifications, "Simple repository API" (PEP 503, 592, 658, 691, 714).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from html.parser import HTMLParser
from typing import cast
from urllib.parse import quote, unquote, urldefrag, urljoin, urlsplit

from sallyport.depot.names import is_file
from sallyport.errors import MalformedError, OversizeError
from sallyport.oci import JSON, Digest, parse_json, render_json

INDEX_LIMIT = 64 * 1024 * 1024  # bytes; the longest real one has about 10 MB
JSON_TYPE = "application/vnd.pypi.simple.v1+json"
HTML_TYPE = "application/vnd.pypi.simple.v1+html"
_FILES = 200_000
_TEXT = 512  # characters of one attribute
_SHA256 = re.compile(r"(?:.*&)?sha256=([0-9a-f]{64})(?:&|\Z)")
_MEND = "do not use this upstream, or check its address"


@dataclass(frozen=True, slots=True)
class Link:
    """A file that the index names with a digest; one without is none."""

    name: str
    url: str
    digest: Digest
    metadata: Digest | None = None
    requires_python: str = ""
    yanked: str | None = None  # the reason; None for a file that stands
    size: int = 0  # bytes; 0 where the index does not say
    uploaded: str = ""


def read_index(raw: bytes, url: str, *, what: str) -> tuple[Link, ...]:
    """The files that an index at ``url`` names with a sha256, in its order.

    Raises:
        DamagedError: it is neither form.
    """
    if len(raw) > INDEX_LIMIT:
        raise OversizeError(f"{what} has more than {INDEX_LIMIT} bytes", _MEND)
    found: dict[str, Link] = {}
    links = _from_json(raw, url, what) if raw.lstrip()[:1] == b"{" else _from_html(raw, url, what)
    for link in links:
        # Of two files of one name the first stands, in the index and when it is fetched.
        found.setdefault(link.name, link)
        if len(found) > _FILES:
            raise OversizeError(f"{what} names more than {_FILES} files", _MEND)
    return tuple(found.values())


def _from_json(raw: bytes, url: str, what: str) -> Iterator[Link]:
    value = parse_json(raw, what=what, limit=INDEX_LIMIT)
    files = value.get("files") if isinstance(value, dict) else None
    if not isinstance(files, list):
        raise MalformedError(f"{what} is no index", _MEND)
    for item in files:
        if not isinstance(item, dict):
            raise MalformedError(f"{what} is no index", _MEND)
        name, where, hashes = item.get("filename"), item.get("url"), item.get("hashes")
        digest = _digest(hashes)
        if not isinstance(name, str) or not isinstance(where, str) or digest is None or not is_file(name):
            continue
        yanked = item.get("yanked", False)
        size = item.get("size", 0)
        yield Link(
            name,
            urldefrag(urljoin(url, where)).url,
            digest,
            _digest(item.get("core-metadata", item.get("dist-info-metadata"))),
            _text(item.get("requires-python")),
            _text(yanked) if isinstance(yanked, str) else "" if yanked else None,
            size if isinstance(size, int) and not isinstance(size, bool) and size > 0 else 0,
            _text(item.get("upload-time")),
        )


def _digest(hashes: JSON) -> Digest | None:
    text = hashes.get("sha256") if isinstance(hashes, dict) else None
    try:
        return Digest("sha256", text) if isinstance(text, str) else None
    except MalformedError:
        return None


def _text(value: JSON) -> str:
    return value[:_TEXT] if isinstance(value, str) else ""


class _Anchors(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.base = ""
        self.found: list[dict[str, str | None]] = []
        self.page = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.page = True
        if tag == "base" and not self.base:
            self.base = dict(attrs).get("href") or ""
        elif tag == "a":
            self.found.append(dict(attrs))


def _from_html(raw: bytes, url: str, what: str) -> Iterator[Link]:
    parser = _Anchors()
    try:
        parser.feed(raw.decode("utf-8"))
        parser.close()
    except (UnicodeDecodeError, AssertionError) as error:
        raise MalformedError(f"{what} is no page", _MEND) from error
    if not parser.page:
        raise MalformedError(f"{what} is no index", _MEND)
    try:
        base = urljoin(url, parser.base)
        for anchor in parser.found:
            where, fragment = urldefrag(urljoin(base, anchor.get("href") or ""))
            match = _SHA256.match(fragment)
            name = unquote(
                urlsplit(where).path.rpartition("/")[2]
            )  # an epoch's ! and a local version's + may be quoted
            if match is None or not is_file(name):
                continue
            said = anchor.get("data-core-metadata", anchor.get("data-dist-info-metadata")) or ""
            metadata = _SHA256.match(said)
            yield Link(
                name,
                where,
                Digest("sha256", match[1]),
                Digest("sha256", metadata[1]) if metadata else None,
                _text(anchor.get("data-requires-python")),
                _text(anchor["data-yanked"]) if "data-yanked" in anchor else None,
            )
    except ValueError as error:  # urllib's own, for an address that is none
        raise MalformedError(f"{what} has an address that is none", _MEND) from error


def write_json(project: str, links: tuple[Link, ...], prefix: str) -> bytes:
    """The index in JSON, with the files below ``prefix``."""
    files: list[JSON] = []
    for link in links:
        item: dict[str, JSON] = {
            "filename": link.name,
            "url": prefix + quote(link.name),
            "hashes": {"sha256": link.digest.hex},
            "core-metadata": {"sha256": link.metadata.hex} if link.metadata else False,
            "yanked": False if link.yanked is None else link.yanked or True,
        }
        if link.requires_python:
            item["requires-python"] = link.requires_python
        if link.size:
            item["size"] = link.size
        if link.uploaded:
            item["upload-time"] = link.uploaded
        files.append(item)
    return render_json(cast("JSON", {"meta": {"api-version": "1.0"}, "name": project, "files": files}))


def write_html(project: str, links: tuple[Link, ...], prefix: str) -> bytes:
    """The same as a page."""
    lines = [_head(project)]
    for link in links:
        said = ""
        if link.requires_python:
            said += f' data-requires-python="{escape(link.requires_python)}"'
        if link.metadata:
            # Both names: pip before 23.2 knows the old one only.
            said += "".join(
                f' data-{name}="sha256={link.metadata.hex}"' for name in ("core-metadata", "dist-info-metadata")
            )
        if link.yanked is not None:
            said += f' data-yanked="{escape(link.yanked)}"'
        where = f"{prefix}{quote(link.name)}#sha256={link.digest.hex}"
        lines.append(f'<a href="{escape(where)}"{said}>{escape(link.name)}</a><br>')
    return "\n".join([*lines, "</body></html>", ""]).encode()


def write_root(projects: list[str], *, json: bool) -> bytes:
    """The list of projects."""
    if json:
        names: list[JSON] = [{"name": name} for name in projects]
        return render_json(cast("JSON", {"meta": {"api-version": "1.0"}, "projects": names}))
    lines = [f'<a href="{name}/">{name}</a><br>' for name in projects]
    return "\n".join([_head("Projects"), *lines, "</body></html>", ""]).encode()


def _head(title: str) -> str:
    return (
        '<!DOCTYPE html>\n<html><head><meta name="pypi:repository-version" content="1.0">'
        f"<title>{escape(title)}</title></head><body>"
    )
