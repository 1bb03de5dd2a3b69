"""Which files a verified Packages or Sources index names. Source: Debian Policy 5.3, 5.4; repository format."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from sallyport.archives import parse_stanza
from sallyport.depot.model import Repository
from sallyport.errors import MalformedError, OversizeError
from sallyport.oci import Digest

_NAME = re.compile(rb"(?:\A|\n)Package:[ \t]*([A-Za-z0-9][A-Za-z0-9+.-]*)[ \t]*(?=\n|\Z)")
_LINE = re.compile(r"[ \t]*([0-9a-f]{64})[ \t]+([0-9]{1,13})[ \t]+(\S+)\Z")
_PATH = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._~%:=@/-]*\Z")
_STANZA_LIMIT = 4 * 1024 * 1024  # bytes
_MEND = "the index is signed and yet broken: use another mirror, and report it to whoever runs the archive"


@dataclass(frozen=True, slots=True)
class Named:
    """A file as an index names it."""

    package: str
    digest: Digest
    size: int


def list_files(chunks: Iterable[bytes], repository: Repository, *, what: str) -> Mapping[str, Named]:
    """The files of packages that ``repository`` allows, by their path; of others nothing is kept.

    Raises:
        DamagedError: the index is broken, where it speaks of such a package.
    """
    found: dict[str, Named] = {}
    for raw in _stanzas(chunks, what):
        match = _NAME.search(raw)
        if match is None or not repository.allows(match[1].decode("ascii")):
            continue
        try:
            fields = parse_stanza(raw.decode("utf-8"), what=what)
        except UnicodeDecodeError as error:
            raise MalformedError(f"{what} is not UTF-8", _MEND) from error
        for path, named in _files(fields, what):
            # The same path with other bytes is another index's affair; within one the first stands.
            found.setdefault(path, named)
    return found


def _files(fields: Mapping[str, str], what: str) -> Iterator[tuple[str, Named]]:
    package = fields.get("Package", "")
    if "Filename" in fields:
        lines = [f"{fields.get('SHA256', '')} {fields.get('Size', '')} {fields['Filename'].removeprefix('./')}"]
        folder = ""
    else:
        lines = fields.get("Checksums-Sha256", "").split("\n")[1:]
        folder = fields.get("Directory", "").strip("/")
    for line in lines:
        match = _LINE.match(line)
        if match is None:
            raise MalformedError(f"{what}, {package}: {line.strip()[:120]!r} names no file", _MEND)
        path = f"{folder}/{match[3]}" if folder else match[3]
        if not _PATH.match(path) or {"", ".", ".."} & set(path.split("/")):
            raise MalformedError(f"{what}, {package}: {path[:120]!r} cannot be a path", _MEND)
        yield path, Named(package, Digest("sha256", match[1]), int(match[2]))


def _stanzas(chunks: Iterable[bytes], what: str) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n\n")
        yield from (item.strip(b"\n") for item in whole if item.strip(b"\n"))
        if len(rest) > _STANZA_LIMIT:
            raise OversizeError(f"{what} has a stanza of more than {_STANZA_LIMIT} bytes", _MEND)
    if rest.strip(b"\n"):
        yield rest.strip(b"\n")
