"""Replaces image names in YAML text, and nothing else: comments, order, quotes and blank lines stay.

The text is parsed only to find where the names stand; the names are then exchanged in the text
itself. Two shapes are known:

* ``image: name`` anywhere: Pod, Deployment, CronJob, initContainers, Compose, and what is like them;
* a kustomization's ``images:`` list, whose entries get ``newName``, ``newTag`` and ``digest``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from sallyport.errors import DamagedError, MalformedError, SallyportError, UsageError
from sallyport.gitops.model import Change, PinTo
from sallyport.oci import Reference

if TYPE_CHECKING:
    from ruamel.yaml.nodes import MappingNode, Node, ScalarNode


@dataclass(frozen=True, slots=True)
class _Edit:
    """Text to put in the place of ``[start, end)``; ``members`` are added to a mapping by it."""

    start: int
    end: int
    text: str
    members: int = 0


_Wanted: TypeAlias = "dict[str, dict[str, PinTo]]"  # by name, and then by the tag that it has now
_MEND = "mend the file and commit it, then pin again"
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})  # not text in YAML 1.1
_LINE = re.compile(r"""image:[ \t]*["']?([^\s"'#]+)""")


def rewrite(text: str, pins: Mapping[str, PinTo], *, what: str) -> tuple[str, tuple[Change, ...]]:
    """``text`` with the images that ``pins`` names pinned; ``what`` is the file's name.

    The names in ``pins`` are as people write them: ``debian`` is ``docker.io/library/debian``. A name with a tag,
    ``debian:12-slim``, means the images that have that tag now, or an immutable one made from it
    (``12-slim-20261124.1``); where several fit, the longest does. A name without means all of them.

    Raises:
        MalformedError: it is no YAML.
        UsageError: a name stands in a form that cannot be exchanged in place.
    """
    wanted: _Wanted = {}
    for name, pin in pins.items():
        wanted.setdefault(_name(name), {})[Reference.parse(name).tag] = pin
    if not any(pin_name.rpartition("/")[2] in text for pin_name in wanted):
        return text, ()  # parsing is slow, and most files name none of our images
    try:
        mappings = _mappings(text, what)
    except MalformedError:
        # A template of Helm is no YAML and none of our business, unless it names one of our images.
        if any(_try_name(found[1]) in wanted for found in _LINE.finditer(text)):
            raise
        return text, ()
    edits, changes = _edits(text, mappings, wanted, what)
    if not edits:
        return text, ()
    result = text
    for edit in sorted(edits, key=lambda edit: edit.start, reverse=True):
        result = result[: edit.start] + edit.text + result[edit.end :]
    _prove(mappings, result, wanted, edits, what)
    return result, tuple(sorted(changes, key=lambda change: change.line))


def _name(text: str) -> str:
    """Registry and repository, in one spelling."""
    reference = Reference.parse(text)
    return f"{reference.registry}/{reference.repository}"


def _pin_of(text: str, wanted: _Wanted, tag: str | None = None) -> PinTo | None:
    """What the image ``text`` is pinned to, if it is wanted; ``tag`` where it stands elsewhere."""
    lines = wanted.get(_try_name(text))
    if lines is None:
        return None
    now = Reference.parse(text).tag if tag is None else tag
    fitting = [line for line in lines if line and (now == line or now.startswith(f"{line}-"))]
    return lines[max(fitting, key=len)] if fitting else lines.get("")


def _try_name(text: str) -> str:
    """The same for text that may be no image: a template, a sentence, a number."""
    try:
        return _name(text)
    except SallyportError:
        return ""


def _edits(text: str, mappings: list[MappingNode], wanted: _Wanted, what: str) -> tuple[list[_Edit], list[Change]]:
    edits: list[_Edit] = []
    changes: dict[int, Change] = {}  # by position: two aliases may lead to one place
    for mapping in mappings:
        for key, value in mapping.value:
            start = value.start_mark.index
            if key.value == "image" and _is_text(value) and start not in changes:
                pin = _pin_of(value.value, wanted)
                if pin is not None and value.value != str(pin):
                    edits.append(_replace(text, value, str(pin), what))
                    changes[start] = Change(what, value.start_mark.line + 1, value.value, str(pin))
            elif key.value == "images" and value.id == "sequence" and _is_kustomization(mapping, what):
                for entry in value.value:
                    found = _kustomize(text, entry, wanted, what) if entry.id == "mapping" else None
                    if found is not None and entry.start_mark.index not in changes:
                        edits += found[0]
                        changes[entry.start_mark.index] = found[1]
    return edits, list(changes.values())


def _is_kustomization(mapping: MappingNode, what: str) -> bool:
    """By its kind, or by its file's name, since the kind may be left out."""
    kind = next((value.value for key, value in mapping.value if key.value == "kind"), "")
    name = what.rpartition("/")[2].partition(".")[0]
    return kind in {"Kustomization", "Component"} or (not kind and name.lower() == "kustomization")


def _mappings(text: str, what: str) -> list[MappingNode]:
    """Every mapping of every document, once, however many aliases name it."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError
    from ruamel.yaml.nodes import MappingNode, SequenceNode

    yaml = YAML(pure=True)
    yaml.composer.warn_double_anchors = False  # YAML allows it: an alias means the anchor before it
    try:
        waiting: list[Node] = [node for node in yaml.compose_all(text) if node is not None]
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        problem = (error.problem or "it is no YAML").splitlines()[0]
        raise MalformedError(
            f"{what}, line {line}: {problem}", "mend the file and commit it, then pin again"
        ) from error
    except (YAMLError, RecursionError, ValueError) as error:
        raise MalformedError(f"{what} is no YAML in UTF-8", _MEND) from error
    found: list[MappingNode] = []
    seen: set[int] = set()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, MappingNode):
            found.append(node)
            waiting += [part for pair in node.value for part in pair]
        elif isinstance(node, SequenceNode):
            waiting += node.value
    return found


def _is_text(node: Any) -> bool:
    return bool(node.id == "scalar" and node.value)


def _replace(text: str, node: ScalarNode, new: str, what: str) -> _Edit:
    """Exchange a scalar, inside its quotes and behind its anchor."""
    start, end = node.start_mark.index, node.end_mark.index
    for quote in ("'", '"', ""):
        old = f"{quote}{node.value}{quote}"
        if text[start:end].endswith(old):
            return _Edit(end - len(old), end, f"{quote}{new}{quote}" if quote else _quoted(new))
    raise UsageError(
        f"{what}, line {node.start_mark.line + 1}: {node.value[:80]!r} is written over several lines or with escapes",
        "write the image's name plainly on one line",
    )


def _kustomize(text: str, entry: MappingNode, wanted: _Wanted, what: str) -> tuple[list[_Edit], Change] | None:
    """The edits for one entry of ``images:``. Source: kustomize reference, "images"."""
    fields: dict[str, tuple[Any, Any]] = {key.value: (key, value) for key, value in entry.value if key.id == "scalar"}
    named = fields.get("name")
    if named is None or not all(_is_text(value) for _, value in fields.values()):
        return None
    values = {key: value.value for key, (_, value) in fields.items()}
    name = values.get("newName", values["name"])
    tag = values.get("newTag", "")
    pin = _pin_of(name, wanted, tag) or _pin_of(values["name"], wanted, tag)
    if pin is None:
        return None
    target = {"newTag": pin.shown_tag, "digest": str(pin.digest)}
    if _try_name(name) != pin.name or "newName" in values:
        target["newName"] = pin.name
    edits: list[_Edit] = []
    missing: list[str] = []
    for key, new in target.items():
        if key not in fields:
            missing.append(f"{key}: {_quoted(new)}")
        elif values[key] != new:
            edits.append(_replace(text, fields[key][1], new, what))
    if missing:
        last = entry.value[-1]
        edits.append(_insert(text, entry, last, missing))
    if not edits:
        return None
    before = name + "".join(f"{sign}{values[key]}" for sign, key in ((":", "newTag"), ("@", "digest")) if key in values)
    return edits, Change(what, entry.start_mark.line + 1, before, str(pin))


def _quoted(value: str) -> str:
    """As a plain scalar where that is text; a tag such as 12 or 1e3 would be a number."""
    plain = "/" in value or (value[:1].isalpha() and value.lower() not in _WORDS)
    return value if plain else f'"{value}"'


def _insert(text: str, entry: MappingNode, last: tuple[Any, Any], lines: list[str]) -> _Edit:
    """New members behind the last one: on lines of their own, or in the same braces."""
    end = last[1].end_mark.index
    if entry.flow_style:
        return _Edit(end, end, "".join(f", {line}" for line in lines), len(lines))
    newline = "\r\n" if "\r\n" in text else "\n"
    indent = " " * last[0].start_mark.column
    stop = text.find("\n", end)
    # Behind the comment that may follow the last value on its line.
    stop = len(text) if stop < 0 else stop - (text[stop - 1] == "\r")
    return _Edit(stop, stop, "".join(f"{newline}{indent}{line}" for line in lines), len(lines))


def _prove(mappings: list[MappingNode], result: str, wanted: _Wanted, edits: list[_Edit], what: str) -> None:
    """Read the result again: it says what was meant, and everything else is as before."""
    mappings_after = _mappings(result, what)
    before, after = Counter(_scalars(mappings)), Counter(_scalars(mappings_after))
    replaced = sum(1 for edit in edits if not edit.members)
    added = 2 * sum(edit.members for edit in edits)
    if (
        _edits(result, mappings_after, wanted, what)[0]
        or (before - after).total() > replaced
        or after.total() != before.total() + added
    ):
        raise DamagedError(f"{what} would not say what was meant after pinning", "pin it by hand, and report the file")


def _scalars(mappings: list[MappingNode]) -> Iterator[str]:
    """Every scalar in a mapping, or in a list in one, once, however many aliases name it."""
    seen: set[int] = set()
    for mapping in mappings:
        for key, value in mapping.value:
            for node in (key, *(value.value if value.id == "sequence" else [value])):
                if node.id == "scalar" and id(node) not in seen:
                    seen.add(id(node))
                    yield node.value
