"""A layer is read once, and what was read counts only when the end has proven it."""

from __future__ import annotations

import gzip
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
import zstandard

from sallyport.errors import (
    DamagedError,
    DigestMismatchError,
    MalformedError,
    MissingBlobError,
    OversizeError,
    TruncatedError,
    UnknownMediaTypeError,
)
from sallyport.oci import (
    Descriptor,
    Digest,
    Entry,
    Kind,
    LayerWriter,
    TarLimits,
    list_layer,
    media_types,
    read_layer,
)

Blobs = Any  # the Memory of conftest.py, which a test cannot import

FILE = (Entry("etc/motd", Kind.FILE, size=5), b"hello")


def described(blobs: Blobs, raw: bytes, media_type: str = media_types.OCI_LAYER_GZIP) -> Descriptor:
    return Descriptor(media_type, len(raw), blobs.add(raw))


@pytest.mark.parametrize("media_type", sorted(media_types.LAYERS))
def test_every_layer_type_is_read_and_proven(blobs: Blobs, media_type: str) -> None:
    plain, diff_id = blobs.layer(FILE, media_type=media_types.OCI_LAYER)
    tar = blobs.kept[plain.digest]
    raw = tar
    if media_type in media_types.TAR_GZIP:
        raw = gzip.compress(tar)
    elif media_type in media_types.TAR_ZSTD:
        raw = zstandard.ZstdCompressor().compress(tar)
    layer = described(blobs, raw, media_type)

    found = [(entry, b"".join(body)) for entry, body in read_layer(blobs, layer, diff_id=diff_id)]

    assert found == [FILE]
    assert diff_id == Digest.of(tar)


def test_the_blob_is_read_once_and_to_its_end(blobs: Blobs) -> None:
    layer, diff_id = blobs.layer(FILE)
    blobs.piece = 7
    list(read_layer(blobs, layer, diff_id=diff_id))
    assert blobs.read == layer.size


def test_the_same_entries_give_the_same_layer(blobs: Blobs) -> None:
    assert blobs.layer(FILE) == blobs.layer(FILE)


def test_gzip_off_gives_the_tar_itself() -> None:
    pieces: list[bytes] = []
    writer = LayerWriter(pieces.append, gzip=False)
    writer.add(*FILE[:1], [FILE[1]])
    assert writer.close() == Digest.of(b"".join(pieces))


def test_a_wrong_diff_id_shows_at_the_end(blobs: Blobs) -> None:
    layer, _ = blobs.layer(FILE)
    members = read_layer(blobs, layer, diff_id=Digest.of(b"another"))
    next(members)
    with pytest.raises(DigestMismatchError, match="config names"):
        next(members)
    assert len(list(read_layer(blobs, layer, diff_id=None))) == 1


def test_a_layer_that_was_damaged_on_its_way_is_told_from_one_that_was_made_wrong(blobs: Blobs) -> None:
    layer, diff_id = blobs.layer(FILE, (Entry("x", Kind.FILE, size=5000), bytes(range(250)) * 20))
    raw = blobs.kept[layer.digest]
    for at in range(10, len(raw), 17):
        blobs.kept[layer.digest] = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]
        with pytest.raises(DigestMismatchError, match="asked for"):
            list(read_layer(blobs, layer, diff_id=diff_id))
    made_wrong = described(blobs, raw[:-9])
    with pytest.raises(TruncatedError, match="compressed stream"):
        list(read_layer(blobs, made_wrong, diff_id=diff_id))


def test_more_or_fewer_bytes_than_described_are_refused(blobs: Blobs) -> None:
    layer, diff_id = blobs.layer(FILE)
    raw = blobs.kept[layer.digest]
    blobs.kept[layer.digest] = raw + b"\0"
    with pytest.raises(OversizeError):
        list(read_layer(blobs, layer, diff_id=diff_id))
    blobs.kept[layer.digest] = raw[:-1]
    with pytest.raises(TruncatedError):
        list(read_layer(blobs, layer, diff_id=diff_id))


def test_what_is_no_layer_is_refused_before_it_is_read(blobs: Blobs) -> None:
    layer = described(blobs, b"{}", media_types.OCI_EMPTY)
    with pytest.raises(UnknownMediaTypeError):
        read_layer(blobs, layer, diff_id=None)
    with pytest.raises(MissingBlobError):
        read_layer(blobs, Descriptor(media_types.OCI_LAYER, 1, Digest.of(b"nowhere")), diff_id=None)


def test_the_media_type_is_believed_and_not_guessed(blobs: Blobs) -> None:
    layer, diff_id = blobs.layer(FILE)
    as_tar = Descriptor(media_types.OCI_LAYER, layer.size, layer.digest)
    with pytest.raises(DamagedError):
        list(read_layer(blobs, as_tar, diff_id=diff_id))


def test_a_layer_without_an_end_mark_is_whole_all_the_same(blobs: Blobs) -> None:
    plain, _ = blobs.layer(FILE, media_type=media_types.OCI_LAYER)
    raw = blobs.kept[plain.digest][:-1024]
    layer = described(blobs, raw, media_types.OCI_LAYER)
    assert len(list(read_layer(blobs, layer, diff_id=Digest.of(raw)))) == 1


def test_a_bomb_of_gzip_within_a_layer_is_stopped(blobs: Blobs) -> None:
    layer = described(blobs, gzip.compress(bytes(32 << 20)))
    with pytest.raises(OversizeError, match="inflates"):
        list(read_layer(blobs, layer, diff_id=None, limits=TarLimits(total=1 << 20)))


def test_memory_stays_flat(blobs: Blobs) -> None:
    size = 64 << 20

    def body() -> Iterator[bytes]:
        for _ in range(64):
            yield bytes(1 << 20)

    pieces: list[bytes] = []
    writer = LayerWriter(pieces.append)
    writer.add(Entry("big", Kind.FILE, size=size), body())
    diff_id = writer.close()
    layer = described(blobs, b"".join(pieces))
    tracemalloc.start()
    try:
        total = sum(len(piece) for _, body in read_layer(blobs, layer, diff_id=diff_id) for piece in body)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert total == size
    assert peak < 8 << 20


def test_a_listing_keeps_what_was_asked_for(blobs: Blobs) -> None:
    layer, diff_id = blobs.layer(
        FILE,
        (Entry("empty", Kind.FILE), b""),
        (Entry("big", Kind.FILE, size=600), b"x" * 600),
        Entry(".wh.gone", Kind.FILE),
    )
    listing = list_layer(blobs, layer, diff_id=diff_id, keep=lambda path: path in {"etc/motd", "empty"})
    assert listing.layer == layer.digest
    assert [entry.path for entry in listing.entries] == ["etc/motd", "empty", "big", ".wh.gone"]
    assert listing.contents == {"etc/motd": b"hello", "empty": b""}


def test_a_listing_is_bounded(blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    layer, diff_id = blobs.layer(*((Entry(f"f{number}", Kind.FILE, size=100), b"x" * 100) for number in range(3)))
    for one, all_of_them in ((99, 300), (100, 299)):
        with pytest.raises(OversizeError, match="may be kept"):
            list_layer(
                blobs, layer, diff_id=diff_id, keep=lambda path: True, content_limit=one, contents_limit=all_of_them
            )
    monkeypatch.setattr("sallyport.oci.listing.NAMES_LIMIT", 5)
    with pytest.raises(OversizeError, match="names"):
        list_layer(blobs, layer, diff_id=diff_id, keep=lambda path: False)


def test_attributes_count_as_names(blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    layer, diff_id = blobs.layer(Entry("f", Kind.FILE, xattrs={"user.x": b"x" * 1000}))
    monkeypatch.setattr("sallyport.oci.listing.NAMES_LIMIT", 1000)
    with pytest.raises(OversizeError, match="names"):
        list_layer(blobs, layer, diff_id=diff_id, keep=lambda path: False)


def test_a_kept_file_with_two_contents_is_refused(blobs: Blobs) -> None:
    one, other = (Entry("f", Kind.FILE, size=1), b"1"), (Entry("f", Kind.FILE, size=1), b"2")
    layer, diff_id = blobs.layer(one, one)
    assert list_layer(blobs, layer, diff_id=diff_id, keep=lambda path: True).contents == {"f": b"1"}
    layer, diff_id = blobs.layer(one, other)
    with pytest.raises(MalformedError, match="twice"):
        list_layer(blobs, layer, diff_id=diff_id, keep=lambda path: True)
