"""Streams taken apart and put together: gzip, zstd, xz, bzip2.

Inflating is bounded in memory, whatever the input says: no step makes more than a few pieces, and the sum is
counted against a limit. Sources: RFC 1952 (gzip), RFC 8878 (zstd).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias

from sallyport.errors import MalformedError, OversizeError, TruncatedError, UnknownMediaTypeError
from sallyport.oci import media_types
from sallyport.oci.digest import CHUNK

if TYPE_CHECKING:
    import zstandard

Compression: TypeAlias = Literal["", "gz", "xz", "zst", "bz2"]

_MEND = "the stream is broken: fetch it again; if it happens twice, do not use it"
_SMALL_STEP: Final = 32 * 1024
_XZ_MEMORY: Final = 256 * 1024 * 1024  # bytes; the strongest preset asks for 65 MiB
_ZSTD_WINDOW: Final = 128 * 1024 * 1024  # bytes; what the reference decoder accepts without being asked
_ZSTD_STEP: Final = 2048
"""Bytes. One block of zstd needs 4 bytes and gives at most 128 KiB, so this bounds one step at 64 MiB."""


class _Inflater(Protocol):
    """What the decoders of isal, lzma and bz2 share."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes | memoryview, max_length: int = -1) -> bytes: ...


def kind_of(media_type: str) -> Compression:
    """How a layer of ``media_type`` is compressed.

    Raises:
        UnknownMediaTypeError: no layer's media type.
    """
    if media_type in media_types.TAR_GZIP:
        return "gz"
    if media_type in media_types.TAR_ZSTD:
        return "zst"
    if media_type in media_types.TAR:
        return ""
    raise UnknownMediaTypeError(
        f"{media_type[:80]!r} is no layer's media type", "only tar, tar+gzip and tar+zstd layers are understood"
    )


def inflate(chunks: Iterable[bytes], media_type: str, *, what: str, limit: int) -> Iterator[bytes]:
    """The bytes of a layer of ``media_type``; raises as :func:`decompress` and :func:`kind_of` do."""
    return decompress(chunks, kind_of(media_type), what=what, limit=limit)


def decompress(chunks: Iterable[bytes], kind: Compression, *, what: str, limit: int) -> Iterator[bytes]:
    """Take ``chunks`` apart, in pieces of at most about 1 MiB; several members in a row are one stream.

    Raises:
        OversizeError: more than ``limit`` bytes came out.
        TruncatedError: the stream has no end.
        MalformedError: damaged, another format, or bytes behind the end.
        UnknownMediaTypeError: no such ``kind``.
    """
    match kind:
        case "":
            pieces = iter(chunks)
        case "gz":
            pieces = _members(chunks, _gzip(), what)
        case "xz":
            pieces = _members(chunks, _xz(), what)
        case "bz2":
            pieces = _members(chunks, _bzip2(), what)
        case "zst":
            pieces = _frames(chunks, what)
        case _:
            raise UnknownMediaTypeError(f"{what}: no compression is called {kind!r}", "use one of: gz, xz, zst, bz2")
    return _bounded(pieces, what, limit)


def _bounded(pieces: Iterator[bytes], what: str, limit: int) -> Iterator[bytes]:
    left = limit
    for piece in pieces:
        left -= len(piece)
        if left < 0:
            raise OversizeError(
                f"{what} inflates to more than {limit} bytes", "refuse it: it is made to fill a disk or memory"
            )
        yield piece


_Make: TypeAlias = tuple[Callable[[], _Inflater], tuple[type[Exception], ...]]


def _gzip() -> _Make:
    from isal import igzip_lib

    # Its stubs call the class of its errors an instance.
    errors: Any = (igzip_lib.IsalError, ValueError)
    return lambda: igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP), errors


def _xz() -> _Make:
    import lzma

    return lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY), (lzma.LZMAError,)


def _bzip2() -> _Make:
    import bz2

    return bz2.BZ2Decompressor, (OSError, ValueError)


def _members(chunks: Iterable[bytes], make: _Make, what: str) -> Iterator[bytes]:
    new, errors = make
    inflater: _Inflater | None = None
    seen = False
    step = CHUNK
    for chunk in chunks:
        view = memoryview(chunk)
        at = 0
        while at < len(chunk):
            if inflater is None:
                inflater = new()
                seen = True
            piece = view[at : at + step]
            at += len(piece)
            while True:
                try:
                    out = inflater.decompress(piece, CHUNK)
                except errors as error:
                    raise MalformedError(f"{what} cannot be inflated: {str(error)[:120]}", _MEND) from error
                if out:
                    yield out
                if inflater.eof:
                    at -= len(inflater.unused_data)
                    inflater = None
                    # The rest comes back as a copy: with thousands of small members, large steps would cost
                    # the square of the input.
                    step = _SMALL_STEP
                    break
                if inflater.needs_input:
                    step = min(CHUNK, step * 2)
                    break
                piece = view[:0]
    if inflater is not None or not seen:
        raise TruncatedError(f"{what} ends within the compressed stream", "it was cut short: fetch it again")


def _frames(chunks: Iterable[bytes], what: str) -> Iterator[bytes]:
    import zstandard

    context = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
    frame: zstandard.ZstdDecompressionObj | None = None
    seen = False
    for chunk in chunks:
        view = memoryview(chunk)
        at = 0
        while at < len(chunk):
            if frame is None:
                frame = context.decompressobj(write_size=CHUNK // 16)
                seen = True
            piece = view[at : at + _ZSTD_STEP]
            at += len(piece)
            try:
                out = frame.decompress(piece)
            except zstandard.ZstdError as error:
                raise MalformedError(f"{what} cannot be inflated: {str(error)[:120]}", _MEND) from error
            for start in range(0, len(out), CHUNK):
                yield out[start : start + CHUNK]
            if frame.eof:
                at -= len(frame.unused_data)
                frame = None
    if frame is not None or not seen:
        raise TruncatedError(f"{what} ends within the compressed stream", "it was cut short: fetch it again")


class GzipSink:
    """Compresses what is written into ``sink``; equal bytes in give equal bytes out, however they were cut.

    The header has no time, no name and no system. The compressed bytes are those of the interpreter's zlib:
    another zlib may give others, equally valid.
    """

    _HEADER: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"

    def __init__(self, sink: Callable[[bytes], object], level: int = 6) -> None:
        self._sink = sink
        self._deflate = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS, 8)
        self._checksum = 0
        self._size = 0
        self._waiting = bytearray()
        self._closed = False
        sink(self._HEADER)

    def write(self, data: bytes) -> None:
        """Add bytes."""
        self._waiting += data
        if len(self._waiting) >= CHUNK:
            whole = len(self._waiting) - len(self._waiting) % CHUNK
            # zlib sees pieces of one length only, so that the writer's habits cannot show in the bytes.
            for start in range(0, whole, CHUNK):
                self._press(bytes(self._waiting[start : start + CHUNK]))
            del self._waiting[:whole]

    def close(self) -> None:
        """Write the end: without it the stream counts as cut short."""
        if self._closed:
            return
        self._closed = True
        self._press(bytes(self._waiting))
        self._waiting.clear()
        self._sink(self._deflate.flush() + struct.pack("<LL", self._checksum, self._size & 0xFFFFFFFF))

    def _press(self, data: bytes) -> None:
        self._checksum = zlib.crc32(data, self._checksum)
        self._size += len(data)
        if out := self._deflate.compress(data):
            self._sink(out)
