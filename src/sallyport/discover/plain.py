"""A file of references, one a line; pure."""

from __future__ import annotations

from sallyport.discover.model import Finds


def scan_plain(text: str, where: str, finds: Finds) -> None:
    """Every line that is not empty; ``#`` begins a remark."""
    for number, line in enumerate(text.splitlines(), 1):
        finds.image(line.partition(" #")[0] if not line.lstrip().startswith("#") else "", where, number)
