"""stdout is data, stderr is talk; ``--json`` and the table are two renderings of one value."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from sallyport.errors import SallyportError


def clean(text: str) -> str:
    """``text`` without control characters: what an upstream wrote must not steer the terminal."""
    return "".join(
        character if character.isprintable() or character == "\n" else "\N{REPLACEMENT CHARACTER}" for character in text
    )


def report_error(error: SallyportError, *, as_json: bool) -> None:
    """``error:`` then ``mend:`` on stderr; with ``--json`` an object on stdout as well."""
    if as_json:
        from sallyport.oci import render_json

        value = {
            "error": type(error).__name__,
            "message": error.message,
            "mend": error.mend,
            "exit-code": error.exit_code,
        }
        sys.stdout.write(render_json(value).decode() + "\n")
    sys.stderr.write(f"error: {clean(error.message)}\nmend: {clean(error.mend)}\n")


def report_defect(error: Exception, *, as_json: bool) -> None:
    """A defect of ours, in one line; the traceback is there for those who ask."""
    report_error(
        SallyportError(
            f"a defect in sallyport: {type(error).__name__}: {str(error)[:300]}",
            "please report it with the output of the same command under SALLYPORT_DEBUG=1",
        ),
        as_json=as_json,
    )


def show(
    value: object, *, as_json: bool, headers: Sequence[str] = (), rows: Sequence[Sequence[str]] = (), note: str = ""
) -> None:
    """Print ``value`` as JSON, or as a table of ``rows`` and a closing ``note``."""
    if as_json:
        from sallyport.oci import encode

        sys.stdout.write(encode(value).decode() + "\n")
        return
    if rows:
        from rich import box
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
        for header in headers:
            right = header.startswith(">")
            table.add_column(header.lstrip(">"), justify="right" if right else "left", overflow="fold")
        for row in rows:
            # Text, never markup: a tag named [red] is a tag named [red].
            table.add_row(*(Text(clean(cell)) for cell in row))
        terminal = sys.stdout.isatty()
        width = None if terminal else int(os.environ.get("COLUMNS", "160"))
        Console(no_color=not terminal or "NO_COLOR" in os.environ, width=width, highlight=False).print(table)
    if note:
        sys.stdout.write(clean(note) + "\n")


def size(count: int) -> str:
    """Bytes for a person's eye."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":  # noqa: PLR2004 - the unit's own step
            return f"{int(value)} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError
