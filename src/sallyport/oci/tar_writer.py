"""Tar archives written so that equal entries give equal bytes.

Plain ustar; a pax header stands before a member only where ustar cannot say it. No names of users or groups.
Sources: POSIX.1-2017, pax, "ustar Interchange Format" and "pax Extended Header".
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import Final

from sallyport.errors import MalformedError, OversizeError, TruncatedError, UnsafePathError, UsageError
from sallyport.oci.entry import Entry, Kind
from sallyport.oci.pax import XATTR

BLOCK: Final = 512
_HEADER: Final = struct.Struct("100s8s8s8s12s12s8s1s100s8s32s32s8s8s155s12x")
_TYPES: Final = {
    Kind.FILE: b"0",
    Kind.HARDLINK: b"1",
    Kind.SYMLINK: b"2",
    Kind.CHARACTER: b"3",
    Kind.BLOCK: b"4",
    Kind.DIRECTORY: b"5",
    Kind.FIFO: b"6",
}
_PAX_NAME: Final = b"././@PaxHeader"
_NAME, _PREFIX = 100, 155
_ID_LIMIT = 1 << 32
_NUMBER_LIMIT = 1 << 63
_DEFECT = "this is a defect of sallyport: report it"


class TarWriter:
    """Writes members to ``sink`` in the order in which they are added; ``close`` writes the end mark."""

    def __init__(self, sink: Callable[[bytes], object]) -> None:
        self._sink = sink
        self._closed = False

    def add(self, entry: Entry, body: Iterable[bytes] = ()) -> None:
        """Write one member. ``body`` must have exactly ``entry.size`` bytes.

        Raises:
            TruncatedError, OversizeError: ``body`` has fewer or more bytes; the archive is then worthless.
            UnsafePathError: a path that is not normalised.
            MalformedError: a field that no archive can hold.
        """
        if self._closed:
            raise UsageError("the archive is closed", _DEFECT)
        self._sink(_head(entry))
        left = entry.size
        for chunk in body:
            left -= len(chunk)
            if left < 0:
                raise OversizeError(f"{entry.path}: longer than its {entry.size} bytes", "read it again")
            self._sink(chunk)
        if left:
            raise TruncatedError(f"{entry.path}: {left} of {entry.size} bytes are missing", "read it again")
        if padding := -entry.size % BLOCK:
            self._sink(bytes(padding))

    def close(self) -> None:
        """Write the end mark: two blocks of zeros."""
        if not self._closed:
            self._closed = True
            self._sink(bytes(2 * BLOCK))


def _head(entry: Entry) -> bytes:
    _check(entry)
    records: dict[bytes, bytes] = {}
    path = entry.path.encode("utf-8", "surrogateescape")
    if entry.kind is Kind.DIRECTORY:
        path = path + b"/" if path else b"./"
    link = entry.link.encode("utf-8", "surrogateescape")
    name, prefix = _split(path)
    if not name or not path.isascii():
        records[b"path"] = path
        # The part that fits stays for a person's eye; every reader takes the record.
        name, prefix = path[:_NAME], b""
    if len(link) > _NAME or not link.isascii():
        records[b"linkpath"] = link
        link = link[:_NAME]
    numbers = []
    for key, value, digits in (
        (b"uid", entry.uid, 7),
        (b"gid", entry.gid, 7),
        (b"size", entry.size, 11),
        (b"mtime", entry.mtime, 11),
    ):
        fits = 0 <= value < 8**digits
        if not fits:
            records[key] = b"%d" % value
        numbers.append(b"%0*o\0" % (digits, value if fits else 0))
    for key_name, attribute in entry.xattrs.items():
        records[XATTR + key_name.encode("utf-8", "surrogateescape")] = attribute
    header = _header(
        _TYPES[entry.kind],
        name,
        numbers,
        mode=entry.mode,
        link=link,
        prefix=prefix,
        device=entry.device if _is_device(entry) else (0, 0),
    )
    if not records:
        return header
    content = b"".join(_record(key, value) for key, value in sorted(records.items()))
    zero = [b"%07o\0" % 0, b"%07o\0" % 0, b"%011o\0" % len(content), b"%011o\0" % 0]
    extended = _header(b"x", _PAX_NAME, zero)
    return extended + content + bytes(-len(content) % BLOCK) + header


def _check(entry: Entry) -> None:
    path, kind = entry.path, entry.kind
    linked = kind in (Kind.SYMLINK, Kind.HARDLINK)
    for name in (path, entry.link) if kind is Kind.HARDLINK else (path,):
        if name and any(part in ("", ".", "..") for part in name.split("/")):
            raise UnsafePathError(f"the path {name[:120]!r} is not normalised", _DEFECT)
    if (
        "\0" in path
        or "\0" in entry.link
        or (not path and kind is not Kind.DIRECTORY)
        or bool(entry.link) is not linked
        or (entry.size and kind is not Kind.FILE)
        or not 0 <= entry.mode <= 0o7777  # noqa: PLR2004 - the bits of a mode
        or not (0 <= entry.uid < _ID_LIMIT and 0 <= entry.gid < _ID_LIMIT)
        or not (0 <= entry.size < _NUMBER_LIMIT and -_NUMBER_LIMIT <= entry.mtime < _NUMBER_LIMIT)
        or any(not key or "=" in key for key in entry.xattrs)
        or (_is_device(entry) and not all(0 <= number < 8**7 for number in entry.device))
    ):
        raise MalformedError(f"no archive can hold {entry!r:.300}", _DEFECT)


def _is_device(entry: Entry) -> bool:
    return entry.kind in (Kind.CHARACTER, Kind.BLOCK)


def _split(path: bytes) -> tuple[bytes, bytes]:
    """The fields name and prefix; an empty name where it fits neither."""
    if len(path) <= _NAME:
        return path, b""
    if len(path) > _NAME + _PREFIX + 1:
        return b"", b""
    # The slash between the two is in neither, and a folder's last slash must stay in the name.
    at = path.find(b"/", len(path) - _NAME - 1, len(path) - 1)
    if not 0 < at <= _PREFIX:
        return b"", b""
    return path[at + 1 :], path[:at]


def _header(
    kind: bytes,
    name: bytes,
    numbers: list[bytes],
    *,
    mode: int = 0o644,
    link: bytes = b"",
    prefix: bytes = b"",
    device: tuple[int, int] = (0, 0),
) -> bytes:
    uid, gid, size, mtime = numbers
    header = _HEADER.pack(
        name,
        b"%07o\0" % mode,
        uid,
        gid,
        size,
        mtime,
        b"        ",
        kind,
        link,
        b"ustar\x0000",
        b"",
        b"",
        b"%07o\0" % device[0],
        b"%07o\0" % device[1],
        prefix,
    )
    return b"%b%06o\0 %b" % (header[:148], sum(header), header[156:])


def _record(key: bytes, value: bytes) -> bytes:
    rest = b" %b=%b\n" % (key, value)
    length = len(rest)
    # The length counts its own digits, so it is a fixed point.
    while (total := len(rest) + len(str(length))) != length:
        length = total
    return b"%d%b" % (length, rest)
