"""Writes the report as one file that can be carried away, printed and archived."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from sallyport.audit.look import look
from sallyport.audit.model import Report
from sallyport.audit.page import render
from sallyport.engine import write_file
from sallyport.store import Store


def write_report(store: Store, path: Path, *, title: str, now: datetime) -> Report:
    """Write what ``store`` says about itself to ``path``, and return it.

    A broken journal is not an error here but the report's headline: see ``Report.journal``.

    Raises:
        StorageError: ``path`` cannot be written, or the store cannot be read.
    """
    report = look(store, title=title, now=now)
    write_file(path, render(report).encode("utf-8", "replace"))
    return report
