"""Debian control paragraphs, as dpkg's databases hold them. Source: Debian Policy 5.1; deb822(5)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from sallyport.errors import MalformedError, OversizeError

LIMIT = 64 * 1024 * 1024  # bytes of one database; a full desktop's has 5 MB
_FIELDS = 512  # in one paragraph; real ones stay under fifty
_NAME = re.compile(r"[!-9;-~]+\Z")
_MEND = "the image's package database is broken: build the image anew, or fetch it again"


def paragraphs(raw: bytes, *, what: str) -> Iterator[Mapping[str, str]]:
    """The paragraphs of ``raw``: field names in lower case; of folded values only the first line.

    No field that a bill needs is folded, and descriptions make up most of the bytes.

    Raises:
        OversizeError: more than 64 MiB, or a paragraph with absurdly many fields.
        MalformedError: a line that is no field, or a field that stands twice; the message names the line.
    """
    if len(raw) > LIMIT:
        raise OversizeError(f"{what} has {len(raw)} bytes; the limit is {LIMIT}", _MEND)
    fields: dict[str, str] = {}
    for number, line in enumerate(raw.decode("utf-8", "replace").split("\n"), 1):
        if not line.strip(" \t\r"):
            if fields:
                yield fields
                fields = {}
        elif line[0] in " \t":
            if not fields:
                raise MalformedError(f"{what}, line {number}: goes on with a field that never began", _MEND)
        elif line[0] != "#":
            name, colon, value = line.partition(":")
            name = name.lower()
            if not colon or not _NAME.match(name) or name[0] == "-":
                raise MalformedError(f"{what}, line {number}: {line[:60]!r} is not a field", _MEND)
            if name in fields:
                raise MalformedError(f"{what}, line {number}: the field {name!r} stands twice", _MEND)
            if len(fields) >= _FIELDS:
                raise OversizeError(f"{what}, line {number}: a paragraph with more than {_FIELDS} fields", _MEND)
            fields[name] = value.strip()
    if fields:
        yield fields
