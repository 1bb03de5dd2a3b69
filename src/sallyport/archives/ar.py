"""The ar container of a .deb, read strictly, in one pass. Source: deb(5); ar(5), the common format."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sallyport.errors import MalformedError, OversizeError, TruncatedError

_MAGIC = b"!<arch>\n"
_HEADER = 60
_NUMBERS = re.compile(rb"[0-9]+ +[0-9]+ +[0-9]+ +[0-7]+ *\Z")
_NAME = re.compile(rb"([A-Za-z0-9_.+-]{1,15})/? *\Z")
_MEMBERS = 16
_MEND = "the package is broken: fetch it again, or report it to whoever publishes it"


@dataclass(frozen=True, slots=True)
class ArMember:
    """A member's name and length in bytes."""

    name: str
    size: int


def read_ar(chunks: Iterable[bytes], *, what: str) -> Iterator[tuple[ArMember, Iterator[bytes]]]:
    """Each member with its content; a content that was not read is skipped.

    Raises:
        MalformedError: no ar archive, a wrong header, bytes after the last member.
        TruncatedError: it ends within a member.
        OversizeError: more members than any package has.
    """
    source = _Source(chunks, what)
    if source.take(len(_MAGIC)) != _MAGIC:
        raise MalformedError(f"{what} is no ar archive, so no package", _MEND)
    for _ in range(_MEMBERS):
        header = source.take(_HEADER, maybe=True)
        if not header:
            return
        member = _header(header, what)
        source.left = member.size
        yield member, source.content()
        for _piece in source.content():
            pass
        if member.size % 2 and source.take(1) != b"\n":
            raise MalformedError(f"{what}: the member {member.name} is not padded", _MEND)
    raise OversizeError(f"{what} has more than {_MEMBERS} members", _MEND)


def _header(header: bytes, what: str) -> ArMember:
    name = _NAME.match(header[:16])
    size = header[48:58].rstrip(b" ")
    if header[58:] != b"`\n" or name is None or not size.isdigit() or not _NUMBERS.match(header[16:48]):
        raise MalformedError(f"{what} has a member with a wrong header", _MEND)
    return ArMember(name[1].decode("ascii"), int(size))


class _Source:
    """A cursor over the chunks; holds one at a time."""

    __slots__ = ("_chunk", "_chunks", "left", "what")

    def __init__(self, chunks: Iterable[bytes], what: str) -> None:
        self._chunks = iter(chunks)
        self._chunk = memoryview(b"")
        self.what = what
        self.left = 0  # bytes of the current member that nobody took

    def take(self, size: int, *, maybe: bool = False) -> bytes:
        """Exactly ``size`` bytes; nothing at all at the end, where ``maybe`` allows it."""
        parts: list[bytes] = []
        left = size
        while left:
            piece = self._piece(left)
            if not piece:
                if maybe and left == size:
                    return b""
                raise self._truncated()
            parts.append(piece)
            left -= len(piece)
        return b"".join(parts)

    def content(self) -> Iterator[bytes]:
        while self.left:
            piece = self._piece(self.left)
            if not piece:
                raise self._truncated()
            self.left -= len(piece)
            yield piece

    def _piece(self, size: int) -> bytes:
        while not self._chunk:
            chunk = next(self._chunks, None)
            if chunk is None:
                return b""
            self._chunk = memoryview(chunk)
        piece, self._chunk = self._chunk[:size], self._chunk[size:]
        return bytes(piece)

    def _truncated(self) -> TruncatedError:
        return TruncatedError(f"{self.what} ends within a member", "it was cut short: fetch it again")
