"""Streams are inflated in bounded pieces, whole or not at all; compressing gives equal bytes."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import random
import zlib
from collections.abc import Callable, Iterator

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from sallyport.errors import (
    MalformedError,
    OversizeError,
    SallyportError,
    TruncatedError,
    UnknownMediaTypeError,
)
from sallyport.oci import CHUNK, Compression, GzipSink, decompress, inflate, media_types

COMPRESS: dict[Compression, Callable[[bytes], bytes]] = {
    "gz": lambda data: gzip.compress(data, mtime=0),
    "xz": lzma.compress,
    "zst": zstandard.ZstdCompressor(write_checksum=True).compress,
    "bz2": bz2.compress,
}
KINDS = list(COMPRESS)
TEXT = b"".join(b"line %d of a text that compresses\n" % (number * number) for number in range(3000))


def whole(raw: bytes, kind: Compression, *, step: int = CHUNK, limit: int = 1 << 24) -> bytes:
    return b"".join(decompress(cut(raw, step), kind, what="the stream", limit=limit))


def cut(raw: bytes, step: int) -> Iterator[bytes]:
    return (raw[start : start + step] for start in range(0, len(raw), step))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("step", [1, 13, 1000, CHUNK])
def test_what_was_compressed_comes_back(kind: Compression, step: int) -> None:
    assert whole(COMPRESS[kind](TEXT), kind, step=step) == TEXT


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("step", [1, 1000, CHUNK])
def test_members_in_a_row_are_one_stream(kind: Compression, step: int) -> None:
    raw = COMPRESS[kind](b"one ") + COMPRESS[kind](b"") + COMPRESS[kind](TEXT) + COMPRESS[kind](b" three")
    assert whole(raw, kind, step=step) == b"one " + TEXT + b" three"


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_no_stream_and_empty_is_one(kind: Compression) -> None:
    assert whole(COMPRESS[kind](b""), kind) == b""
    with pytest.raises(TruncatedError):
        whole(b"", kind)
    with pytest.raises(TruncatedError):
        list(decompress([b"", b""], kind, what="x", limit=1))


@pytest.mark.parametrize("kind", KINDS)
def test_cut_short_anywhere_it_is_refused(kind: Compression) -> None:
    raw = COMPRESS[kind](TEXT[:500])
    for end in range(len(raw)):
        with pytest.raises((TruncatedError, MalformedError)):
            whole(raw[:end], kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tail", [b"x", b"garbage behind the end", b"\0\0\0\0", b"\x1f\x8b"])
def test_bytes_behind_the_end_are_refused(kind: Compression, tail: bytes) -> None:
    with pytest.raises((MalformedError, TruncatedError)):
        whole(COMPRESS[kind](b"whole") + tail, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_one_flipped_bit_is_refused_or_harmless(kind: Compression) -> None:
    raw = bytearray(COMPRESS[kind](TEXT[:300]))
    for at in range(len(raw) * 8):
        raw[at // 8] ^= 1 << at % 8
        with contextlib.suppress(SallyportError):
            # Bits of headers that say nothing (a time, a name) may flip; the content never.
            assert whole(bytes(raw), kind) == TEXT[:300]
        raw[at // 8] ^= 1 << at % 8


@pytest.mark.parametrize("kind", KINDS)
def test_another_format_is_refused(kind: Compression) -> None:
    for other in KINDS:
        if other != kind:
            with pytest.raises((MalformedError, TruncatedError)):
                whole(COMPRESS[other](TEXT), kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_bomb_stops_at_the_limit_in_small_pieces(kind: Compression) -> None:
    bomb = COMPRESS[kind](bytes(64 << 20))
    assert len(bomb) < 1 << 17
    made: list[int] = []
    with pytest.raises(OversizeError, match="inflates to more"):
        made.extend(map(len, decompress([bomb], kind, what="the bomb", limit=5 << 20)))
    assert max(made) <= CHUNK
    assert sum(made) <= 5 << 20


def test_the_limit_itself_is_allowed() -> None:
    for kind in KINDS:
        assert len(whole(COMPRESS[kind](TEXT), kind, limit=len(TEXT))) == len(TEXT)
        with pytest.raises(OversizeError):
            whole(COMPRESS[kind](TEXT), kind, limit=len(TEXT) - 1)


def test_a_plain_stream_is_counted_too() -> None:
    assert whole(b"plain", "", limit=5) == b"plain"
    with pytest.raises(OversizeError):
        whole(b"plain", "", limit=4)


def test_many_small_members_do_not_cost_the_square() -> None:
    member = COMPRESS["gz"](b"a file of its own, as lazily pulled images have it")
    raw = member * 20_000
    assert len(whole(raw, "gz")) == 20_000 * 50


def test_zstd_passes_over_frames_to_be_skipped() -> None:
    skip = b"\x50\x2a\x4d\x18\x05\0\0\0notes"
    raw = skip + COMPRESS["zst"](b"one ") + skip + COMPRESS["zst"](b"two") + skip
    for step in (1, 7, CHUNK):
        assert whole(raw, "zst", step=step) == b"one two"


def test_a_window_past_the_limit_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters.from_level(1, window_log=28)
    buffer = io.BytesIO()
    with zstandard.ZstdCompressor(compression_params=parameters).stream_writer(buffer, closefd=False) as writer:
        writer.write(TEXT)
    with pytest.raises(MalformedError):
        whole(buffer.getvalue(), "zst")


def test_an_xz_stream_that_asks_for_much_memory_is_refused() -> None:
    raw = bytearray(lzma.compress(b"x", filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 20}]))
    # Block header: size, flags, filter id, size of properties, dictionary size, padding, CRC of all that.
    assert raw[14:16] == b"\x21\x01"
    raw[16] = 38  # 2 GiB
    raw[20:24] = zlib.crc32(raw[12:20]).to_bytes(4, "little")
    with pytest.raises(MalformedError, match=r"[Mm]emory"):
        whole(bytes(raw), "xz")


def test_media_types_choose_the_way() -> None:
    ways: dict[Compression, frozenset[str]] = {"gz": media_types.TAR_GZIP, "zst": media_types.TAR_ZSTD}
    for kind, types in ways.items():
        for media_type in types:
            raw = COMPRESS[kind](TEXT)
            assert b"".join(inflate([raw], media_type, what="x", limit=1 << 20)) == TEXT
    for media_type in media_types.TAR:
        assert b"".join(inflate([TEXT], media_type, what="x", limit=1 << 20)) == TEXT


def test_an_unknown_kind_is_an_error_before_a_byte_is_read() -> None:
    with pytest.raises(UnknownMediaTypeError, match="encrypted"):
        inflate([], media_types.OCI_LAYER_GZIP + "+encrypted", what="x", limit=1)
    with pytest.raises(UnknownMediaTypeError, match="lz4"):
        decompress([], "lz4", what="x", limit=1)  # type: ignore[arg-type]


def test_an_error_of_the_source_passes_through() -> None:
    def broken() -> Iterator[bytes]:
        yield COMPRESS["gz"](TEXT)[:100]
        raise TruncatedError("the wire broke", "again")

    with pytest.raises(TruncatedError, match="the wire broke"):
        list(decompress(broken(), "gz", what="x", limit=1 << 20))


@given(st.binary(max_size=200), st.lists(st.binary(max_size=50), max_size=3), st.data())
@settings(max_examples=100, deadline=None)
def test_whatever_is_accepted_is_what_the_standard_library_reads(
    noise: bytes, parts: list[bytes], data: st.DataObject
) -> None:
    peers: dict[Compression, Callable[[bytes], bytes]] = {
        "gz": gzip.decompress,
        "xz": lzma.decompress,
        "bz2": bz2.decompress,
    }
    kind = data.draw(st.sampled_from(list(peers)))
    raw = bytearray(b"".join(COMPRESS[kind](part) for part in parts) + (noise if data.draw(st.booleans()) else b""))
    if raw and data.draw(st.booleans()):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        ours = whole(bytes(raw), kind)
    except SallyportError:
        return
    assert ours == peers[kind](bytes(raw))


@given(st.lists(st.binary(max_size=3000), max_size=8), st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_gzip_is_readable_and_does_not_depend_on_how_it_was_fed(parts: list[bytes], level: int) -> None:
    data = b"".join(parts)
    raw = pressed(parts, level)
    assert gzip.decompress(raw) == data
    assert raw == pressed([data], level)
    assert raw[:10] == b"\x1f\x8b\x08\0\0\0\0\0\0\xff"


def test_gzip_of_more_than_one_piece_does_not_depend_on_the_cuts() -> None:
    noise = random.Random(7)
    data = b"".join(noise.choice([TEXT[:777], noise.randbytes(333)]) for _ in range(6000))
    assert len(data) > 3 * CHUNK
    steps = [pressed(list(cut(data, step)), 6) for step in (511, 100_003, len(data))]
    assert steps[0] == steps[1] == steps[2]
    assert gzip.decompress(steps[0]) == data


def test_closing_twice_writes_the_end_once() -> None:
    pieces: list[bytes] = []
    sink = GzipSink(pieces.append)
    sink.write(b"x")
    sink.close()
    sink.close()
    assert gzip.decompress(b"".join(pieces)) == b"x"


def pressed(parts: list[bytes], level: int) -> bytes:
    pieces: list[bytes] = []
    sink = GzipSink(pieces.append, level)
    for part in parts:
        sink.write(part)
    sink.close()
    return b"".join(pieces)
