"""The order of Debian version numbers. Source: Debian Policy 5.6.12, "Version"."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TypeAlias

from sallyport.errors import MalformedError

DebianKey: TypeAlias = tuple[int, str, str]
"""Epoch, upstream version and revision, the latter two as text whose plain order is Debian's."""

_EPOCH = re.compile(r"[0-9]{1,10}\Z")
_UPSTREAM = re.compile(r"[A-Za-z0-9.+:~-]+\Z")
_REVISION = re.compile(r"[A-Za-z0-9.+~]+\Z")
_PAIR = re.compile(r"([^0-9]*)0*([0-9]*)")
_LIMIT = 1024  # characters; real ones stay under a hundred
_EPOCH_LIMIT = 2**31 - 1

# Within a run of non-digits: "~" sorts before the run's end, the end before letters, letters before the rest.
_END = "\x02"
_ORDER = {code: chr(code + 0x80) for code in map(ord, "+-.:")} | {ord("~"): "\x01"}
_NOTHING = _END + "\x00"  # no more letters, and a number of no digits, which is zero


@lru_cache(maxsize=1 << 16)
def debian_key(version: str) -> DebianKey:
    """A value that sorts as dpkg sorts ``version``.

    Raises:
        MalformedError: no version number, or absurdly long.
    """
    first, colon, rest = version.partition(":")
    if colon and not (_EPOCH.match(first) and int(first) <= _EPOCH_LIMIT):
        raise _malformed(version)
    epoch, rest = (int(first), rest) if colon else (0, version)
    upstream, dash, revision = rest.rpartition("-")
    if not dash:
        upstream, revision = rest, "0"
    if len(version) > _LIMIT or not _UPSTREAM.match(upstream) or not _REVISION.match(revision):
        raise _malformed(version)
    return epoch, _part_key(upstream), _part_key(revision)


def _malformed(version: str) -> MalformedError:
    return MalformedError(
        f"{version[:60]!r} is not a Debian version number",
        "write it like 1:2.36-9+deb12u4; the package index or advisory that states it is broken",
    )


def _part_key(part: str) -> str:
    pieces: list[str] = []
    for letters, digits in _PAIR.findall(part):
        # A number is its length and then its digits: longer is greater, leading zeros say nothing.
        pieces += (letters.translate(_ORDER), _END, chr(len(digits)), digits)
    key = "".join(pieces)
    # After its end a version reads as "nothing" for ever, so that 1a equals 1a0, and 1 equals 1-0.
    while key.endswith(_NOTHING):
        key = key[: -len(_NOTHING)]
    return key + _NOTHING + _END


def compare_debian(first: str, second: str) -> int:
    """-1, 0 or 1: whether ``first`` is older than, equal to or newer than ``second``."""
    one, other = debian_key(first), debian_key(second)
    return (one > other) - (one < other)
