"""Images that a Dockerfile builds on or copies from; pure.

``FROM``, ``COPY --from``, ``RUN --mount=…,from=``, and the front end of ``# syntax=``. Stages of the file itself and
``scratch`` are none. Source: the Dockerfile reference, version 1 of the front end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from sallyport.discover.expand import expand
from sallyport.discover.model import Finds
from sallyport.errors import MalformedError

_DIRECTIVE = re.compile(r"#[ \t]*([A-Za-z]+)[ \t]*=[ \t]*(\S+)[ \t]*\Z")
_HEREDOC = re.compile(r"(?<![<\w])\d?<<(-?)([\"']?)([A-Za-z_][A-Za-z0-9_.]*)\2")
_WORD = re.compile(r"[A-Za-z]+")
_MEND = "mend the file, or leave it out"
_LINES = 200_000


@dataclass(slots=True)
class _State:
    where: str
    escape: str
    arguments: dict[str, str] = field(default_factory=dict)  # before the first FROM, as FROM sees them
    stages: set[str] = field(default_factory=set)  # names in lower case
    count: int = 0  # stages so far


def scan_dockerfile(text: str, where: str, finds: Finds, *, line: int = 1) -> None:
    """The images of one file, which begins at ``line`` of ``where``.

    Raises:
        MalformedError: FROM without an image, a heredoc without an end, or no FROM at all.
    """
    lines = text.splitlines()
    if len(lines) > _LINES:
        raise MalformedError(f"{where} has over {_LINES} lines", _MEND)
    escape, syntax = _directives(lines)
    if syntax is not None:
        finds.image(syntax[1], where, line + syntax[0])
    state = _State(where, escape)
    for number, instruction in _instructions(lines, escape, where, line):
        _read(instruction, line + number, state, finds)
    if not state.count:
        raise MalformedError(f"{where}, line {line}: there is no FROM in it", _MEND)


def _directives(lines: list[str]) -> tuple[str, tuple[int, str] | None]:
    """The escape sign, and the front end with its place; they stand before everything else."""
    escape, syntax = "\\", None
    for number, text in enumerate(lines):
        match = _DIRECTIVE.match(text.strip())
        if match is None:
            break
        if match[1].lower() == "escape" and match[2] in ("\\", "`"):
            escape = match[2]
        elif match[1].lower() == "syntax":
            syntax = (number, match[2])
    return escape, syntax


def _instructions(lines: list[str], escape: str, where: str, first: int) -> Iterator[tuple[int, str]]:
    """Each with the number of its first line; continued lines are joined, remarks and heredocs left out."""
    number = 0
    while number < len(lines):
        start, text = number, lines[number].rstrip()
        number += 1
        if not text.strip() or text.lstrip().startswith("#"):
            continue
        parts: list[str] = []
        while text.endswith(escape):
            parts.append(text[: -len(escape)])
            text = ""
            while number < len(lines) and not text:
                text = lines[number].rstrip()
                number += 1
                if text.lstrip().startswith("#"):
                    text = ""
        instruction = "".join([*parts, text]).strip()
        if _WORD.match(instruction) and instruction.split()[0].upper() in {"RUN", "COPY", "ADD", "ONBUILD"}:
            for match in _HEREDOC.finditer(instruction):
                while number < len(lines):
                    body = lines[number].lstrip("\t") if match[1] else lines[number]
                    number += 1
                    if body == match[3]:
                        break
                else:
                    raise MalformedError(f"{where}, line {first + start}: the text <<{match[3]} has no end", _MEND)
        yield start, instruction


def _read(text: str, line: int, state: _State, finds: Finds) -> None:
    words = text.split()
    if words and words[0].upper() == "ONBUILD":
        words = words[1:]
    if not words:
        return
    name, rest = words[0].upper(), words[1:]
    if name == "ARG" and not state.count:
        for word in rest:
            key, equals, value = word.partition("=")
            if equals:
                state.arguments[key] = expand(value.strip("\"'"), state.arguments, escape=state.escape)[0]
    elif name == "FROM":
        _from(rest, line, state, finds)
    elif name in {"COPY", "ADD"}:
        for flag in _flags(rest):
            if flag.startswith("--from="):
                _use(flag.removeprefix("--from="), line, state, finds)
    elif name == "RUN":
        for flag in _flags(rest):
            if flag.startswith("--mount="):
                for option in flag.removeprefix("--mount=").strip("\"'").split(","):
                    if option.startswith("from="):
                        _use(option.removeprefix("from="), line, state, finds)


def _from(words: list[str], line: int, state: _State, finds: Finds) -> None:
    rest = [word for word in words if not word.startswith("--")]
    if not rest:
        raise MalformedError(f"{state.where}, line {line}: FROM names no image", _MEND)
    image, unset = expand(rest[0].strip("\"'"), state.arguments, escape=state.escape)
    if unset:
        finds.note(
            state.where, line, f"{rest[0][:80]!r} needs {', '.join(unset)}, which has no default: name the image"
        )
    elif image.lower() != "scratch" and image.lower() not in state.stages:
        finds.image(image, state.where, line)
    state.stages.add(str(state.count))
    state.count += 1
    if len(rest) > 2 and rest[1].upper() == "AS":  # noqa: PLR2004 - image AS name
        state.stages.add(rest[2].lower())


def _use(name: str, line: int, state: _State, finds: Finds) -> None:
    name = name.strip("\"'")
    # A number that is no stage yet is a mistake of the file; it is no image either.
    if name and name.lower() not in state.stages and name != "scratch" and not name.isdecimal():
        if "$" in name:
            finds.note(state.where, line, f"{name[:80]!r} cannot be known here: name the image yourself")
        else:
            finds.image(name, state.where, line)


def _flags(words: list[str]) -> Iterator[str]:
    for word in words:
        if not word.startswith("--"):
            return
        yield word
