"""One line of the result, and how it is shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Row:
    """A question and its answer; ``ratio`` is ours to the peer's, more is better."""

    question: str
    ours: str
    peer: str
    ratio: float | None
    peak: int | None  # bytes
    bar: str
    held: bool
    note: str = ""


def rate(size: int, seconds: float) -> str:
    """Bytes and seconds as MiB/s."""
    return f"{size / seconds / MIB:,.0f} MiB/s"


def render(rows: Sequence[Row]) -> Iterator[str]:
    """Lines of a table, for a terminal or a page."""
    head = ("question", "ours", "peer", "ratio", "peak memory", "bar", "")
    cells = [head]
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        peak = "" if row.peak is None else f"{row.peak / MIB:,.0f} MiB"
        cells.append((row.question, row.ours, row.peer, ratio, peak, row.bar, "holds" if row.held else "DOES NOT HOLD"))
    widths = [max(len(line[column]) for line in cells) for column in range(len(head))]
    for line in cells:
        yield "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
    for row in rows:
        if row.note:
            yield f"{row.question}: {row.note}"
