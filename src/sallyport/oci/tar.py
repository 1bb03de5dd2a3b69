"""Tar archives as images hold them, read strictly and written deterministically.

Sources: POSIX.1-2017, pax, "ustar Interchange Format" and "pax Interchange Format"; GNU tar manual,
"Basic Tar Format" (long names, base-256 numbers); OCI image-spec 1.1, layer.md.

The reader never trusts a length, refuses what two readers could read as two things, and holds one piece
of the stream at a time. Where an archive is vague, it is refused rather than guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final
from zlib import adler32

from sallyport.errors import MalformedError, OversizeError, SallyportError, TruncatedError, UnsafePathError
from sallyport.oci.entry import Entry, Kind
from sallyport.oci.pax import NO_PAX, Pax, parse_pax

BLOCK: Final = 512
_ZERO: Final = bytes(BLOCK)
_USTAR: Final = b"ustar\x0000"
_MAGICS: Final = frozenset({_USTAR, b"ustar  \0", bytes(8)})
_KINDS: Final = {
    0: Kind.FILE,
    ord("0"): Kind.FILE,
    ord("7"): Kind.FILE,
    ord("1"): Kind.HARDLINK,
    ord("2"): Kind.SYMLINK,
    ord("3"): Kind.CHARACTER,
    ord("4"): Kind.BLOCK,
    ord("5"): Kind.DIRECTORY,
    ord("6"): Kind.FIFO,
}
# An enumeration's member costs a look-up each time; these stand in the hot path.
_FILE, _DIRECTORY, _SYMLINK, _HARDLINK = Kind.FILE, Kind.DIRECTORY, Kind.SYMLINK, Kind.HARDLINK
_LOCAL, _GLOBAL, _LONG_NAME, _LONG_LINK, _SPARSE = (ord(sign) for sign in "xgLKS")
_NUMBER_LIMIT = 1 << 63
_ID_LIMIT = 1 << 32
_BASE_256 = 0x80
_NOTHING: Final = b""
_MEND = "the archive is broken: fetch it again; if it happens twice, ask its publisher to build it anew"
_REFUSE = "refuse it: no honest image is so large"


@dataclass(frozen=True, slots=True)
class TarLimits:
    """The most that one archive may hold."""

    members: int = 1_000_000
    member_size: int = 64 * 1024**3  # bytes
    total: int = 256 * 1024**3  # bytes of all contents
    name: int = 4096  # bytes of a path or a link's target
    pax: int = 1024**2  # bytes of one extended header


NO_LIMITS = TarLimits()


def read_tar(
    chunks: Iterable[bytes], *, what: str, limits: TarLimits = NO_LIMITS, end_mark: bool = True
) -> Iterator[tuple[Entry, Iterator[bytes]]]:
    """Each member with its content; ``what`` names the archive in errors.

    A content that was not read is skipped; it can be read only until the next member is asked for.
    Every chunk was taken when the iteration has ended. ``end_mark=False`` lets the archive end without its end
    mark, as some writers leave it: for bytes whose digest proves that they are whole.

    Raises:
        TruncatedError: it ends within a member, or without its end mark where it must have one.
        MalformedError: a wrong checksum or field, a kind that images do not hold, bytes after the end mark.
        UnsafePathError: ``..`` in a path, or a hard link out of the archive.
        OversizeError: past ``limits``.
    """
    source = _Source(chunks, what, limits, end_mark=end_mark)
    total = 0
    pending = NO_PAX  # what extended headers said about the member that comes next
    while True:
        block = source.block()
        if not block[0] and block == _ZERO:
            if pending is not NO_PAX:
                raise MalformedError(f"{what}: an extended header describes no member", _MEND)
            source.expect_end()
            return
        source.members += 1
        if source.members > limits.members:
            raise OversizeError(f"{what} has more than {limits.members} members", _REFUSE)
        _check_sum(block, what)
        kind = _KINDS.get(block[156])
        try:
            size = _number(block[124:136])
            if kind is None:
                pending = _extended(source, block[156], size, pending)
                continue
            entry = _entry(source, block, kind, size, pending)
        except _FieldError as error:
            raise MalformedError(f"{what}, member {source.members}: {error}", _MEND) from error
        except UnsafePathError as error:
            raise UnsafePathError(f"{what}: {error.message}", error.mend) from error
        pending = NO_PAX
        size = entry.size
        if not size:
            yield entry, iter(())
            continue
        total += size
        if size > limits.member_size or total > limits.total:
            raise OversizeError(f"{what} has more than {min(limits.member_size, limits.total)} bytes", _REFUSE)
        source.left = size
        yield entry, source.content(source.members)
        source.skip(source.left + -size % BLOCK)
        source.left = 0


class _FieldError(Exception):
    """A header's field is wrong; becomes a MalformedError that says where."""


def _check_sum(block: bytes, what: str) -> None:
    # With a start of 0, the low half of Adler-32 is the plain sum modulo 65521. Three pieces of at most
    # 256 bytes each stay below it, so this is the exact sum at a twentieth of the price of sum().
    total = (
        (adler32(block[:148], 0) & 0xFFFF)
        + (adler32(block[156:400], 0) & 0xFFFF)
        + (adler32(block[400:], 0) & 0xFFFF)
        + 8 * 0x20
    )
    try:
        stated = _number(block[148:156])
    except _FieldError:
        stated = -1
    if stated != total:
        raise MalformedError(f"{what}: a member's header has a wrong checksum", _MEND)


@lru_cache(maxsize=4096)
def _number(field: bytes) -> int:
    if field[0] & _BASE_256:
        # GNU: the first bit marks binary, the second is the sign of two's complement.
        value = int.from_bytes(field, "big") & ((1 << (len(field) * 8 - 1)) - 1)
        if field[0] & 0x40:
            value -= 1 << (len(field) * 8 - 1)
        if not -_NUMBER_LIMIT <= value < _NUMBER_LIMIT:
            raise _FieldError("a number is absurdly large")
        return value
    digits = field.strip(b" \0")
    if digits.translate(None, b"01234567"):
        raise _FieldError(f"{field!r} is not a number")
    return int(digits, 8) if digits else 0


def _extended(source: _Source, sign: int, size: int, pending: Pax) -> Pax:
    """Read an extended header; what it and the ones before it say together."""
    limits, what = source.limits, source.what
    if sign == _SPARSE:
        raise MalformedError(f"{what}: a sparse member", "images hold no sparse members: build it with another tool")
    if sign not in (_LOCAL, _GLOBAL, _LONG_NAME, _LONG_LINK):
        raise _FieldError(f"the unknown type {chr(sign)!r}")
    limit = limits.pax if sign in (_LOCAL, _GLOBAL) else limits.name + 1
    if size < 0:
        raise _FieldError("a negative size")
    if size > limit:
        raise OversizeError(f"{what}: an extended header of {size} bytes; the limit is {limit}", _REFUSE)
    content = source.take(size)
    source.skip(-size % BLOCK)
    if sign == _LOCAL and pending is NO_PAX:
        return parse_pax(content, what)
    if sign == _LONG_NAME and not pending.path:
        return replace(pending, path=_long(content))
    if sign == _LONG_LINK and not pending.linkpath:
        return replace(pending, linkpath=_long(content))
    if sign == _GLOBAL and not parse_pax(content, what).significant:
        return pending  # a comment, as `git archive` writes it; readers differ about anything else
    raise _FieldError("two headers say the same thing, or a global one says anything")


def _long(content: bytes) -> bytes:
    value, _, rest = content.partition(b"\0")
    if not value or rest.strip(b"\0"):
        raise _FieldError("a long name is empty or has bytes behind its end")
    return value


def _entry(source: _Source, block: bytes, kind: Kind, size: int, pax: Pax) -> Entry:
    magic = block[257:265]
    if magic not in _MAGICS:
        raise _FieldError("neither ustar, pax nor GNU")
    if pax.path:
        name = pax.path
    else:
        name = block[:100].partition(b"\0")[0]
        if block[345]:
            if magic != _USTAR:
                # Times in GNU's own format, and a path to some readers.
                raise _FieldError("bytes where only ustar has a prefix")
            name = b"%b/%b" % (block[345:500].partition(b"\0")[0], name)
    if len(name) > source.limits.name:
        raise OversizeError(f"{source.what}: a path longer than {source.limits.name} bytes", _REFUSE)
    if name[-1:] == b"/" and kind is _FILE:
        # Version 7 had no type for folders; with a type beside it, readers differ.
        if block[156] or size or pax.size:
            raise _FieldError("a file whose name ends in a slash")
        kind = _DIRECTORY
    mode = _number(block[100:108]) & 0o7777
    uid = _number(block[108:116])
    gid = _number(block[116:124])
    mtime = _number(block[136:148])
    if pax is not NO_PAX:
        uid = uid if pax.uid is None else pax.uid
        gid = gid if pax.gid is None else pax.gid
        mtime = mtime if pax.mtime is None else pax.mtime
        size = size if pax.size is None else pax.size
    if not (0 <= uid < _ID_LIMIT and 0 <= gid < _ID_LIMIT and 0 <= size < _NUMBER_LIMIT):
        raise _FieldError("an owner or size that no file can have")
    path = normalise(name)
    if kind is _FILE:
        if not path:
            raise _FieldError("a file without a name")
        return Entry(path, kind, mode, uid, gid, size, mtime, "", (0, 0), pax.xattrs)
    if size:
        # Some writers set it and write no content, some write one; so no reader can know.
        raise _FieldError(f"a {kind.value} with a content")
    if not path and kind is not _DIRECTORY:
        raise _FieldError(f"a {kind.value} without a name")
    link = ""
    device = (0, 0)
    if kind is _SYMLINK or kind is _HARDLINK:
        target = pax.linkpath or block[157:257].partition(b"\0")[0]
        if len(target) > source.limits.name:
            raise OversizeError(f"{source.what}: a link's target longer than {source.limits.name} bytes", _REFUSE)
        link = target.decode("utf-8", "surrogateescape") if kind is _SYMLINK else _hard_link(path, target)
        if not link:
            raise _FieldError("a link to nothing")
    elif kind is Kind.CHARACTER or kind is Kind.BLOCK:
        device = (_number(block[329:337]), _number(block[337:345]))
        if not (0 <= device[0] < _ID_LIMIT and 0 <= device[1] < _ID_LIMIT):
            raise _FieldError("a device number that no device can have")
    return Entry(path, kind, mode, uid, gid, 0, mtime, link, device, pax.xattrs)


def normalise(name: bytes) -> str:
    """A member's path without ``./``, leading, doubled and trailing slashes; bytes that are not UTF-8 are escaped.

    Raises:
        UnsafePathError: a component is ``..``.
    """
    if name[:2] == b"./":
        name = name[2:]
    if b"//" in name or b"/." in name or name[:1] in (b".", b"/"):
        parts = [part for part in name.split(b"/") if part not in (b"", b".")]
        if b".." in parts:
            raise UnsafePathError(
                f"the path {name[:120]!r} climbs out of the root", "refuse it: no honest image holds such a path"
            )
        name = b"/".join(parts)
    elif name[-1:] == b"/":
        name = name[:-1]
    return name.decode("utf-8", "surrogateescape")


def _hard_link(path: str, target: bytes) -> str:
    if target[:1] == b"/":
        raise UnsafePathError(
            f"the hard link {path[:120]!r} names the absolute path {target[:120]!r}",
            "refuse it: a hard link names a member of its own archive",
        )
    return normalise(target)


class _Source:
    """A cursor over the chunks; holds one at a time."""

    __slots__ = ("_at", "_chunk", "_chunks", "_end_mark", "left", "limits", "members", "what")

    def __init__(self, chunks: Iterable[bytes], what: str, limits: TarLimits, *, end_mark: bool) -> None:
        self._end_mark = end_mark
        self._chunks = iter(chunks)
        self.what = what
        self.limits = limits
        self._chunk = _NOTHING
        self._at = 0
        self.members = 0
        self.left = 0  # bytes of the current member that nobody took

    def block(self) -> bytes:
        at = self._at
        block = self._chunk[at : at + BLOCK]
        if len(block) == BLOCK:
            self._at = at + BLOCK
            return block
        if not block and not self._end_mark:
            self._chunk, self._at = next(filter(None, self._chunks), _NOTHING), 0
            if not self._chunk:
                return _ZERO
        return self.take(BLOCK)

    def take(self, size: int) -> bytes:
        pieces = []
        while size:
            piece = self._piece(size)
            size -= len(piece)
            pieces.append(piece)
        return b"".join(pieces)

    def skip(self, size: int) -> None:
        at = self._at + size
        while at > len(self._chunk):
            at -= len(self._chunk)
            self._chunk = self._next()
        self._at = at

    def content(self, member: int) -> Iterator[bytes]:
        while True:
            if self.members != member:
                raise SallyportError(
                    f"{self.what}: a member's content was read after the next member",
                    "this is a defect of sallyport: report it",
                )
            if not self.left:
                return
            piece = self._piece(self.left)
            self.left -= len(piece)
            yield piece

    def expect_end(self) -> None:
        """After one block of zeros: only zeros may follow, to the end of the chunks."""
        self.members += 1  # what nobody read of the last content is gone too
        rest = self._chunk[self._at :]
        while True:
            if rest.count(0) != len(rest):
                raise MalformedError(f"{self.what}: there are bytes after the archive's end mark", _MEND)
            chunk = next(self._chunks, None)
            if chunk is None:
                return
            rest = chunk

    def _piece(self, size: int) -> bytes:
        """The next 1 to ``size`` bytes."""
        at, chunk = self._at, self._chunk
        if at == len(chunk):
            chunk, at = self._next(), 0
            self._chunk = chunk
        piece = chunk[at : at + size] if at or len(chunk) > size else chunk
        self._at = at + len(piece)
        return piece

    def _next(self) -> bytes:
        for chunk in self._chunks:
            if chunk:
                return chunk
        raise TruncatedError(
            f"{self.what} ends {'within' if self.members else 'before'} a member", "it was cut short: fetch it again"
        )
