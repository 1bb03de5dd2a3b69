"""Control files: stanzas of fields. Source: Debian Policy 5.1, "Syntax of control files"."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from sallyport.errors import MalformedError

_FIELD = re.compile(r"([!-9;-~]+):[ \t]*(.*)\Z")
_MEND = "the package, index or database is broken: fetch it again, or report it to whoever publishes it"


def parse_stanza(text: str, *, what: str) -> dict[str, str]:
    """One stanza as its fields: names as written, values as written.

    A folded or multi-line value keeps its line ends and leading spaces, so that :func:`render_stanza` gives the
    text back; the first line is bare of the space after the colon.

    Raises:
        MalformedError: no field, a field twice (in any case), or a line that belongs to none.
    """
    fields: dict[str, str] = {}
    seen: set[str] = set()
    name = ""
    for line in text.rstrip("\n").split("\n"):
        if line[:1] in (" ", "\t"):
            if not name:
                raise MalformedError(f"{what} starts with a continuation line", _MEND)
            fields[name] = f"{fields[name]}\n{line}"
            continue
        found = _FIELD.match(line)
        if found is None or line[0] in "#-":
            raise MalformedError(f"{what} has a line that is no field: {line[:60]!r}", _MEND)
        name = found[1]
        if name.lower() in seen:
            # Two readers could take two different ones.
            raise MalformedError(f"{what} has the field {name[:60]} twice", _MEND)
        seen.add(name.lower())
        fields[name] = found[2].rstrip(" \t")
    return fields


def parse_stanzas(text: str, *, what: str) -> Iterator[dict[str, str]]:
    """Every stanza of ``text``; they are parted by empty lines."""
    for part in re.split(r"\n(?:[ \t]*\n)+", text.strip("\n")):
        if part.strip():
            yield parse_stanza(part, what=what)


def render_stanza(fields: Mapping[str, str]) -> str:
    """The stanza's text, without the empty line that ends it."""
    return "".join(
        f"{name}:{value}\n" if not value or value[0] == "\n" else f"{name}: {value}\n" for name, value in fields.items()
    )
