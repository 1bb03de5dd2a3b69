"""The members of a zip, one by one and bounded. Source: PKWARE APPNOTE 6.3.10, 4.3.

The reader trusts no number that the archive states about itself: what is inflated is counted.
"""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from sallyport.errors import MalformedError, OversizeError

MEMBERS = 1_000_000
TOTAL = 32 * 1024 * 1024 * 1024  # bytes inflated
_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
_ENCRYPTED = 0x1
_DIRECTORY = 64 * 1024 * 1024  # bytes of the central directory, which zipfile holds in memory as objects
_END, _END64, _LOCATOR64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_END_SIZE, _LOCATOR_SIZE, _END64_SIZE, _COMMENT = 22, 20, 56, 65535  # bytes
_MEND = "fetch it again, or report it to whoever publishes it"

Content = bytes | OversizeError | MalformedError
"""A member's bytes, or what is wrong with it: one bad member must not lose the others."""


@contextmanager
def open_members(
    source: Path | BinaryIO, *, member_limit: int, total: int = TOTAL
) -> Iterator[Iterator[tuple[str, Content]]]:
    """The members of a zip and their contents, for the length of a ``with`` block; folders are left out.

    Raises:
        MalformedError: no zip at all.
        OversizeError: more members or bytes than any honest archive has.
    """
    name = source.name if isinstance(source, Path) else "the zip"
    try:
        with _opened(source) as file:
            if (size := _directory_size(file)) > _DIRECTORY:
                raise OversizeError(f"{name} has a directory of {size} bytes; the limit is {_DIRECTORY}", _MEND)
        archive = zipfile.ZipFile(source)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, ValueError, NotImplementedError, EOFError) as error:
        raise MalformedError(f"{name} is no zip that can be read: {str(error)[:100]}", _MEND) from error
    with archive:
        if len(archive.filelist) > MEMBERS:
            raise OversizeError(f"{name} has {len(archive.filelist)} members; the limit is {MEMBERS}", _MEND)
        yield _members(archive, name, member_limit, total)


@contextmanager
def _opened(source: Path | BinaryIO) -> Iterator[BinaryIO]:
    if isinstance(source, Path):
        with source.open("rb") as file:
            yield file
    else:
        yield source


def _directory_size(file: BinaryIO) -> int:
    """Bytes of the central directory, found as zipfile finds it, but without reading it."""
    size = file.seek(0, os.SEEK_END)
    start = max(0, size - _END_SIZE - _COMMENT - _LOCATOR_SIZE)
    file.seek(start)
    tail = file.read(size - start)
    at = tail.rfind(_END)
    if at < 0 or at + _END_SIZE > len(tail):
        return 0  # no zip: zipfile says so
    stated: int = struct.unpack_from("<I", tail, at + 12)[0]
    locator = at - _LOCATOR_SIZE
    if locator >= 0 and tail[locator : locator + 4] == _LOCATOR64:
        file.seek(min(size, struct.unpack_from("<Q", tail, locator + 8)[0]))
        end = file.read(_END64_SIZE)
        if len(end) == _END64_SIZE and end[:4] == _END64:
            stated = struct.unpack_from("<Q", end, 40)[0]
    return stated


def _members(archive: zipfile.ZipFile, name: str, member_limit: int, total: int) -> Iterator[tuple[str, Content]]:
    left = total
    for info in archive.filelist:
        if info.is_dir():
            continue
        content = _content(archive, info, member_limit)
        if isinstance(content, bytes):
            left -= len(content)
            if left < 0:
                raise OversizeError(f"{name} inflates to more than {total} bytes", _MEND)
        yield info.filename[:300], content


def _content(archive: zipfile.ZipFile, info: zipfile.ZipInfo, limit: int) -> Content:
    if info.flag_bits & _ENCRYPTED or info.compress_type not in _METHODS:
        return MalformedError("it is encrypted, or packed by a method that is not used here", _MEND)
    if info.file_size > limit:
        return OversizeError(f"it has {info.file_size} bytes; the limit is {limit}", _MEND)
    try:
        with archive.open(info) as file:
            data = file.read(limit + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError, OSError) as error:
        return MalformedError(f"it cannot be unpacked: {str(error)[:100]}", _MEND)
    if len(data) > limit:
        return OversizeError(f"it inflates to more than {limit} bytes", _MEND)
    return data
