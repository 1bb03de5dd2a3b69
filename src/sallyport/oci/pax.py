"""The extended headers of a tar archive. Source: POSIX.1-2017, pax, "pax Extended Header"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sallyport.errors import DuplicateKeyError, MalformedError
from sallyport.oci.entry import NO_XATTRS

XATTR = b"SCHILY.xattr."
_SPARSE = b"GNU.sparse."
_DIGITS = 20  # of a 64-bit number
_MEND = "the archive is broken: fetch it again; if it happens twice, ask its publisher to build it anew"


@dataclass(frozen=True, slots=True)
class Pax:
    """What an extended header says about the member that follows; None and empty where it is silent."""

    path: bytes = b""
    linkpath: bytes = b""
    size: int | None = None
    uid: int | None = None
    gid: int | None = None
    mtime: int | None = None
    xattrs: Mapping[str, bytes] = field(default_factory=lambda: NO_XATTRS)

    @property
    def significant(self) -> bool:
        """Whether it says anything that a reader would act on."""
        return self != NO_PAX


NO_PAX = Pax()


def parse_pax(content: bytes, what: str) -> Pax:
    """Read the records of one extended header; those that say nothing about content or owner are passed over.

    Raises:
        MalformedError: a record, number or name is wrong, or it describes a sparse file.
        DuplicateKeyError: a record stands twice, so two readers could read two things.
    """
    known: dict[bytes, bytes] = {}
    xattrs: dict[str, bytes] = {}
    for key, value in _records(content, what):
        if key.startswith(XATTR):
            name = key[len(XATTR) :].decode("utf-8", "surrogateescape")
            if not name or name in xattrs:
                raise DuplicateKeyError(f"{what}: the attribute {name[:60]!r} is nameless or stands twice", _MEND)
            xattrs[name] = value
        elif key in (b"path", b"linkpath", b"size", b"uid", b"gid", b"mtime"):
            if key in known:
                raise DuplicateKeyError(f"{what}: {key.decode()} stands twice in one extended header", _MEND)
            known[key] = value
        elif key.startswith(_SPARSE):
            raise MalformedError(
                f"{what}: a sparse member", "images hold no sparse members: build it with another tool"
            )
    path, linkpath = known.get(b"path", b""), known.get(b"linkpath", b"")
    if b"\0" in path or b"\0" in linkpath:
        raise MalformedError(f"{what}: a path holds a zero byte", _MEND)
    return Pax(
        path,
        linkpath,
        _natural(known, b"size", what),
        _natural(known, b"uid", what),
        _natural(known, b"gid", what),
        _seconds(known.get(b"mtime", b""), what),
        xattrs or NO_XATTRS,
    )


def _records(content: bytes, what: str) -> list[tuple[bytes, bytes]]:
    records = []
    at = 0
    while at < len(content):
        space = content.find(b" ", at, at + _DIGITS)
        digits = content[at:space] if space > at else b""
        # Source of the shape: "%d %s=%s\n", the length counts all of it, itself included.
        end = at + int(digits) if digits.isdigit() else -1
        if end <= space + 1 or end > len(content) or content[end - 1] != ord("\n"):
            raise MalformedError(f"{what}: a record of an extended header has a wrong length", _MEND)
        key, equals, value = content[space + 1 : end - 1].partition(b"=")
        if not key or not equals:
            raise MalformedError(f"{what}: a record of an extended header has no key", _MEND)
        records.append((key, value))
        at = end
    return records


def _natural(known: Mapping[bytes, bytes], key: bytes, what: str) -> int | None:
    value = known.get(key, b"")
    if not value:
        return None
    if not value.isdigit() or len(value) > _DIGITS:
        raise MalformedError(f"{what}: {key.decode()} is {value[:40]!r}, which is no number", _MEND)
    return int(value)


def _seconds(value: bytes, what: str) -> int | None:
    if not value:
        return None
    whole, dot, fraction = value.partition(b".")
    digits = whole.removeprefix(b"-")
    if not digits.isdigit() or len(digits) > _DIGITS or (dot and fraction.strip(b"0123456789")):
        raise MalformedError(f"{what}: mtime is {value[:40]!r}, which is no time", _MEND)
    seconds = int(whole)
    # Rounded down, as every reader of whole seconds does it.
    return seconds - 1 if whole[:1] == b"-" and fraction.strip(b"0") else seconds
