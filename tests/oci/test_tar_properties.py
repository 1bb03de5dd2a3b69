"""Laws of the tar reader and writer, another reader as peer, and bytes gone wrong."""

from __future__ import annotations

import contextlib
import io
import tarfile

from hypothesis import given, settings
from hypothesis import strategies as st

from sallyport.errors import SallyportError
from sallyport.oci import Entry, Kind, TarLimits, TarWriter, read_tar

SMALL = TarLimits(members=1000, total=1 << 20, pax=1 << 16)
TYPES = {
    Kind.FILE: tarfile.REGTYPE,
    Kind.DIRECTORY: tarfile.DIRTYPE,
    Kind.SYMLINK: tarfile.SYMTYPE,
    Kind.HARDLINK: tarfile.LNKTYPE,
    Kind.CHARACTER: tarfile.CHRTYPE,
    Kind.BLOCK: tarfile.BLKTYPE,
    Kind.FIFO: tarfile.FIFOTYPE,
}

# Names include what escapes bytes that are no UTF-8, line feeds, and components past a hundred bytes.
names = st.one_of(
    st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=12),
    st.text("abc.", min_size=1, max_size=140),
    st.sampled_from(["caf\udce9", "a\nb", "x" * 255]),
).filter(lambda name: name not in (".", ".."))
paths = st.lists(names, min_size=1, max_size=5).map("/".join)
targets = st.one_of(paths, st.sampled_from(["/etc/passwd", "../x", "a//b/"]))
numbers = st.one_of(st.integers(0, 0o777), st.integers(0, (1 << 32) - 1))
times = st.one_of(st.integers(0, 2_000_000_000), st.integers(-(1 << 62), 1 << 62))
keys = st.text(st.characters(exclude_characters="=\0", exclude_categories=["Cs"]), min_size=1, max_size=20)
xattrs = st.dictionaries(keys, st.binary(max_size=40), max_size=3)
contents = st.one_of(st.just(b""), st.binary(max_size=1200), st.just(b"x" * 512))


@st.composite
def members(draw: st.DrawFn) -> tuple[Entry, bytes]:
    kind = draw(st.sampled_from(Kind))
    content = draw(contents) if kind is Kind.FILE else b""
    link = ""
    if kind is Kind.SYMLINK:
        link = draw(targets)
    elif kind is Kind.HARDLINK:
        link = draw(paths)
    device = (0, 0)
    if kind in (Kind.CHARACTER, Kind.BLOCK):
        device = (draw(st.integers(0, 4095)), draw(st.integers(0, 0o7777777)))
    path = draw(paths if kind is not Kind.DIRECTORY else st.one_of(paths, st.just("")))
    mode = draw(st.integers(0, 0o7777))
    return (
        Entry(path, kind, mode, draw(numbers), draw(numbers), len(content), draw(times), link, device, draw(xattrs)),
        content,
    )


archives = st.lists(members(), max_size=6)


def written(found: list[tuple[Entry, bytes]]) -> bytes:
    pieces: list[bytes] = []
    writer = TarWriter(pieces.append)
    for entry, content in found:
        writer.add(entry, [content[:100], content[100:]])
    writer.close()
    return b"".join(pieces)


def read(raw: bytes, step: int = 1 << 20) -> list[tuple[Entry, bytes]]:
    chunks = [raw[start : start + step] for start in range(0, len(raw), step)]
    return [(entry, b"".join(body)) for entry, body in read_tar(chunks, what="x", limits=SMALL)]


@given(archives, st.integers(1, 2000))
@settings(max_examples=100, deadline=None)
def test_what_was_written_is_read_however_the_bytes_are_cut(found: list[tuple[Entry, bytes]], step: int) -> None:
    raw = written(found)
    assert read(raw, step) == found
    assert written(read(raw)) == raw, "and written again it is the same archive"


@given(archives)
@settings(max_examples=100, deadline=None)
def test_another_reader_agrees_with_the_writer(found: list[tuple[Entry, bytes]]) -> None:
    with tarfile.open(fileobj=io.BytesIO(written(found)), encoding="utf-8", errors="surrogateescape") as archive:
        seen = archive.getmembers()
        assert len(seen) == len(found)
        for (entry, content), peer in zip(found, seen, strict=True):
            assert peer.name == (entry.path or ".")
            assert peer.type == TYPES[entry.kind]
            assert (peer.mode, peer.uid, peer.gid) == (entry.mode, entry.uid, entry.gid)
            assert int(peer.mtime) == int(float(entry.mtime)), "it reads times of pax as floats"
            assert peer.linkname == entry.link
            if entry.kind in (Kind.CHARACTER, Kind.BLOCK):
                assert (peer.devmajor, peer.devminor) == entry.device
            if entry.kind is Kind.FILE:
                file = archive.extractfile(peer)
                assert file is not None
                assert file.read() == content


@given(archives, st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))
@settings(max_examples=100, deadline=None)
def test_another_writer_is_understood(found: list[tuple[Entry, bytes]], form: int) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form, encoding="utf-8", errors="surrogateescape") as archive:
        for entry, content in found:
            peer = tarfile.TarInfo(entry.path or ".")
            peer.type, peer.mode, peer.size = TYPES[entry.kind], entry.mode, entry.size
            peer.uid, peer.gid = entry.uid, entry.gid
            peer.mtime = entry.mtime
            peer.linkname, (peer.devmajor, peer.devminor) = entry.link, entry.device
            archive.addfile(peer, io.BytesIO(content))
    without_xattrs = [
        (
            Entry(e.path, e.kind, e.mode, e.uid, e.gid, e.size, e.mtime, e.link, e.device),
            content,
        )
        for e, content in found
    ]
    assert read(buffer.getvalue()) == without_xattrs


@given(archives.filter(bool), st.data())
@settings(max_examples=100, deadline=None)
def test_a_shortened_archive_is_always_refused(found: list[tuple[Entry, bytes]], data: st.DataObject) -> None:
    raw = written(found)
    # The last block of zeros is beyond the end mark's first.
    end = data.draw(st.integers(0, len(raw) - 1024 + 511))
    try:
        read(raw[:end])
    except SallyportError:
        return
    raise AssertionError("a shortened archive was read")


@given(archives, st.data())
@settings(max_examples=300, deadline=None)
def test_bytes_gone_wrong_only_ever_give_a_typed_error(found: list[tuple[Entry, bytes]], data: st.DataObject) -> None:
    raw = bytearray(written(found))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        mended(raw)
    with contextlib.suppress(SallyportError):
        for entry, _ in read(bytes(raw)):
            assert ".." not in entry.path.split("/")
            assert not entry.path.startswith("/")


def mended(raw: bytearray) -> None:
    """Put the checksums right, so that the damage gets past them."""
    for at in range(0, len(raw) - 511, 512):
        if raw[at + 257 : at + 262] == b"ustar":
            raw[at + 148 : at + 156] = b" " * 8
            raw[at + 148 : at + 156] = b"%06o\0 " % sum(raw[at : at + 512])


@given(st.binary(max_size=3000))
@settings(max_examples=100, deadline=None)
def test_noise_is_refused(noise: bytes) -> None:
    try:
        read(noise)
    except SallyportError:
        return
    assert not noise.strip(b"\0"), "only the end mark alone is an archive"
