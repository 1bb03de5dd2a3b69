"""What every section of the file is made of."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

import msgspec

from sallyport.errors import UsageError

Meta = msgspec.Meta
Duration = Annotated[str, Meta(pattern=r"^[0-9]{1,5}[hdw]$", description="hours, days or weeks: 36h, 7d, 2w")]
ByteSize = Annotated[str, Meta(pattern=r"^[0-9]{1,6}[KMGT]?$", description="bytes; K, M, G, T are powers of 1024")]
Address = Annotated[str, Meta(pattern=r"^[^\s]+:[0-9]{1,5}$", description="host:port")]


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """A mapping of the file; unknown keys are errors, not ignored."""


def duration(text: str) -> timedelta:
    """``36h``, ``7d`` or ``2w`` as a time span."""
    hours = {"h": 1, "d": 24, "w": 168}[text[-1]]
    return timedelta(hours=int(text[:-1]) * hours)


def byte_size(text: str) -> int:
    """``4G`` as bytes."""
    match = re.fullmatch(r"([0-9]{1,6})([KMGT]?)", text)
    if match is None:
        raise UsageError(f"{text[:20]!r} is not a size", "write it like 700M or 4G; K, M, G, T are powers of 1024")
    step: int = 1024 ** " KMGT".index(match[2] or " ")
    return int(match[1]) * step
