"""What a bundle and a receipt are called. Names go over FAT, ISO 9660 and tape: lower case, no colon."""

from __future__ import annotations

import re

from sallyport.bundle.model import Position
from sallyport.errors import UsageError

_DESTINATION = re.compile(r"[a-z0-9][a-z0-9-]{0,62}\Z")
_NAME = re.compile(r"([a-z0-9][a-z0-9-]{0,62})-([1-9][0-9]{0,8})\.([1-9][0-9]{0,11})\Z")
RECEIPT_SUFFIX = ".receipt.json"


def check_destination(text: str) -> str:
    """Returns ``text``.

    Raises:
        UsageError: it is not a destination's name.
    """
    if not _DESTINATION.match(text):
        raise UsageError(
            f"{text[:80]!r} is not a destination's name",
            "use lower-case letters, digits and '-', at most 63, for example plant-7",
        )
    return text


def bundle_name(destination: str, position: Position) -> str:
    """``plant-7-1.12``: the destination, and where the bundle stands in its order."""
    return f"{check_destination(destination)}-{position}"


def receipt_name(destination: str, position: Position) -> str:
    """``plant-7-1.12.receipt.json``."""
    return bundle_name(destination, position) + RECEIPT_SUFFIX


def parse_bundle_name(name: str) -> tuple[str, Position] | None:
    """Destination and position of a bundle's name; None where it is none. A hint only: what counts is signed."""
    match = _NAME.match(name)
    return None if match is None else (match[1], Position(int(match[2]), int(match[3])))


def parse_receipt_name(name: str) -> tuple[str, Position] | None:
    """Destination and position of a receipt's name; None where it is none."""
    return parse_bundle_name(name.removesuffix(RECEIPT_SUFFIX)) if name.endswith(RECEIPT_SUFFIX) else None
