"""YAML and JSON as plain trees in which every value knows its line; bounded.

Aliases are followed, and everything is counted each time that it is met: a bound against alias bombs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from sallyport.errors import MalformedError, OversizeError

if TYPE_CHECKING:
    from ruamel.yaml.nodes import Node

VALUE_LIMIT = 200_000  # values of one file
DEPTH_LIMIT = 100
_SEPARATOR = re.compile(r"^---(?=[ \t\r\n]|\Z)", re.MULTILINE)
_MEND = "mend the file, or leave it out"


@dataclass(frozen=True, slots=True)
class Leaf:
    """A scalar; null is empty text."""

    text: str
    line: int
    where: str = ""  # another file than that which is looked at


@dataclass(slots=True)
class Map:
    """A mapping; merge keys are merged."""

    line: int
    items: dict[str, Value] = field(default_factory=dict)

    def leaf(self, key: str) -> Leaf | None:
        value = self.items.get(key)
        return value if isinstance(value, Leaf) else None

    def text(self, key: str) -> str:
        """Of a scalar; empty where there is none."""
        value = self.items.get(key)
        return value.text if isinstance(value, Leaf) else ""

    def map(self, key: str) -> Map:
        """An empty one where there is none."""
        value = self.items.get(key)
        return value if isinstance(value, Map) else Map(self.line)

    def list(self, key: str) -> list[Value]:
        value = self.items.get(key)
        return value.items if isinstance(value, Seq) else []


@dataclass(slots=True)
class Seq:
    """A list."""

    line: int
    items: list[Value] = field(default_factory=list)


Value: TypeAlias = "Leaf | Map | Seq"


def read_documents(text: str, where: str, *, line: int = 1, needing: re.Pattern[str] | None = None) -> list[Value]:
    """The documents of ``text``, which begins at ``line`` of the file ``where``.

    Documents in which ``needing`` finds nothing are not even parsed.

    Raises:
        MalformedError: it is no YAML.
        OversizeError: more values or deeper than anything honest.
    """
    found: list[Value] = []
    budget = [VALUE_LIMIT]
    for start, part in _split(text):
        if not part.strip() or (needing is not None and not needing.search(part)):
            continue
        offset = line + start
        for node in _composed(part, where, offset):
            value = _value(node, where, offset, budget, DEPTH_LIMIT)
            if value is not None:
                found.append(value)
    return found


def walk(value: Value) -> Iterator[Map]:
    """Every mapping in it, itself included, in the order of the text."""
    waiting: list[Value] = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, Map):
            yield item
            waiting += reversed(item.items.values())
        elif isinstance(item, Seq):
            waiting += reversed(item.items)


def _split(text: str) -> Iterator[tuple[int, str]]:
    """Documents with the number of lines before them; nothing but a separator can stand at the start of a line so."""
    begin = line = 0
    for match in _SEPARATOR.finditer(text):
        yield line, text[begin : match.start()]
        line += text.count("\n", begin, match.start())
        begin = match.start()
    yield line, text[begin:]


def _composed(text: str, where: str, offset: int) -> list[Node]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    yaml = YAML(pure=True)
    # An anchor that is set again means the newer one from there, as YAML says.
    yaml.composer.warn_double_anchors = False
    try:
        return [node for node in yaml.compose_all(text) if node is not None]
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = (error.problem or "it is no YAML").splitlines()[0]
        raise MalformedError(f"{where}, line {offset + (mark.line if mark else 0)}: {problem}", _MEND) from error
    except (YAMLError, RecursionError, ValueError, IndexError, AttributeError, TypeError) as error:
        # The library's own slips on broken text look like the last ones.
        raise MalformedError(f"{where}, line {offset}: it is no YAML", _MEND) from error


def _value(node: Node, where: str, offset: int, budget: list[int], depth: int) -> Value | None:
    from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

    line = offset + node.start_mark.line
    budget[0] -= 1
    if budget[0] < 0:
        raise OversizeError(f"{where}, line {line}: more than {VALUE_LIMIT} values, aliases counted", _MEND)
    if depth <= 0:
        raise OversizeError(f"{where}, line {line}: values in values, over {DEPTH_LIMIT} deep", _MEND)
    if isinstance(node, ScalarNode):
        null = node.style is None and node.value in {"~", "null", "Null", "NULL"}
        return Leaf("" if null else node.value, line)
    if isinstance(node, SequenceNode):
        items = [_value(child, where, offset, budget, depth - 1) for child in node.value]
        return Seq(line, [item for item in items if item is not None])
    if not isinstance(node, MappingNode):
        return None
    made = Map(line)
    for key, child in node.value:
        value = _value(child, where, offset, budget, depth - 1)
        if value is None or not isinstance(key, ScalarNode):
            continue
        if key.value == "<<" and key.style is None:
            for merged in value.items if isinstance(value, Seq) else [value]:
                for name, item in merged.items.items() if isinstance(merged, Map) else ():
                    made.items.setdefault(name, item)
        else:
            made.items[key.value] = value
    return made
