"""What was found as a section of sallyport.yaml; pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sallyport.discover.model import Wanted


def render_section(items: Iterable[Wanted], *, platforms: Sequence[str] = (), remarks: Sequence[str] = ()) -> str:
    """``outside.mirror`` as YAML, ready to paste; ``remarks`` stand before it."""
    lines = [f"# {remark}" for remark in remarks]
    lines.append("outside:")
    made = [line for item in items for line in _entry(item, platforms)]
    lines += ["  mirror:", *made] if made else ["  mirror: []"]
    return "\n".join(lines) + "\n"


def _entry(item: Wanted, platforms: Sequence[str]) -> list[str]:
    lines = [f"    - from: {quoted(item.source)}"]
    for name, values in (("tags", item.tags), ("digests", item.digests), ("platforms", platforms)):
        if values:
            lines.append(f"      {name}: [{', '.join(map(quoted, values))}]")
    if item.to:
        lines.append(f"      to: {quoted(item.to)}")
    return lines


def quoted(text: str) -> str:
    """As a YAML scalar that is text for every reader: 1.10 is no number in it."""
    return '"' + "".join(_escaped(sign) for sign in text) + '"'


def _escaped(sign: str) -> str:
    if sign in '"\\':
        return f"\\{sign}"
    return sign if sign.isprintable() else f"\\U{ord(sign):08x}"
