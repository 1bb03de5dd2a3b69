"""``$NAME`` and ``${NAME:-default}`` as Compose files and Dockerfiles write them; pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DEPTH = 8  # defaults in defaults


def expand(text: str, values: Mapping[str, str], *, escape: str = "$", depth: int = _DEPTH) -> tuple[str, list[str]]:
    """``text`` with its variables replaced, and the names that are not set and have no default.

    ``escape`` before ``$`` makes it plain. An unclosed ``${`` stays as it stands.
    """
    out: list[str] = []
    unset: list[str] = []
    place = 0
    while place < len(text):
        if text.startswith(f"{escape}$", place):
            out.append("$")
            place += 2
            continue
        if text[place] != "$":
            out.append(text[place])
            place += 1
            continue
        if text.startswith("${", place):
            end = _closing(text, place + 2)
            if end < 0:
                out.append(text[place:])
                break
            piece, missing = _braced(text[place + 2 : end], values, escape, depth)
            place = end + 1
        else:
            match = _NAME.match(text, place + 1)
            if match is None:
                out.append("$")
                place += 1
                continue
            piece, missing = values.get(match[0], ""), [] if match[0] in values else [match[0]]
            place = match.end()
        out.append(piece)
        unset += missing
    return "".join(out), unset


def _closing(text: str, start: int) -> int:
    """Where the brace ends that was opened before ``start``; -1: nowhere."""
    open_ = 1
    for place in range(start, len(text)):
        if text[place] == "}":
            open_ -= 1
            if not open_:
                return place
        elif text.startswith("${", place):
            open_ += 1
    return -1


def _braced(body: str, values: Mapping[str, str], escape: str, depth: int) -> tuple[str, list[str]]:
    match = _NAME.match(body)
    if match is None or depth <= 0:
        return "", [body[:40]]
    name, rest = match[0], body[match.end() :]
    value = values.get(name)
    if not rest:
        return (value, []) if value is not None else ("", [name])
    colon = rest.startswith(":")
    sign, word = rest[colon : colon + 1], rest[colon + 1 :]
    given = value is not None and bool(value or not colon)
    if sign == "-":
        return (value or "", []) if given else expand(word, values, escape=escape, depth=depth - 1)
    if sign == "+":
        return expand(word, values, escape=escape, depth=depth - 1) if given else ("", [])
    if sign == "?":
        return (value or "", []) if given else ("", [name])
    return "", [name]
