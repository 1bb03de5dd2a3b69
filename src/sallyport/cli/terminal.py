"""Progress on a terminal, on stderr, a few times a second; silence in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sallyport.cli.output import clean
from sallyport.engine import Progress, Silent, Task

if TYPE_CHECKING:
    from rich.progress import Progress as Bars


class Terminal:
    """Bars while work runs, and one line for each thing said."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars

    @contextmanager
    def task(self, label: str, total: int | None = None) -> Iterator[Task]:
        identifier = self._bars.add_task(clean(label)[:48], total=total)
        try:
            yield _Bar(self._bars, identifier)
        finally:
            self._bars.remove_task(identifier)

    def say(self, text: str) -> None:
        from rich.text import Text

        self._bars.console.print(Text(clean(text)))


class _Bar:
    def __init__(self, bars: Bars, identifier: int) -> None:
        self._bars, self._identifier = bars, identifier

    def advance(self, amount: int) -> None:
        from rich.progress import TaskID

        self._bars.advance(TaskID(self._identifier), amount)


@contextmanager
def watching(*, quiet: bool = False) -> Iterator[Progress]:
    """A :class:`Progress` that fits where stderr goes."""
    if quiet or not sys.stderr.isatty():
        yield Silent()
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, SpinnerColumn, TextColumn
    from rich.progress import Progress as Bars

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        DownloadColumn(binary_units=True),
    )
    with Bars(*columns, console=Console(stderr=True), transient=True, refresh_per_second=5) as bars:
        yield Terminal(bars)


if TYPE_CHECKING:
    _fits: type[Progress] = Terminal
