"""Tars that images hold are read as they are; anything vague or hostile is refused by name."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Iterator

import pytest

from sallyport.errors import (
    DuplicateKeyError,
    MalformedError,
    OversizeError,
    SallyportError,
    TruncatedError,
    UnsafePathError,
    UsageError,
)
from sallyport.oci import Entry, Kind, TarLimits, TarWriter, read_tar

END = bytes(1024)


def written(*members: tuple[Entry, bytes]) -> bytes:
    pieces: list[bytes] = []
    writer = TarWriter(pieces.append)
    for entry, content in members:
        writer.add(entry, [content] if content else ())
    writer.close()
    return b"".join(pieces)


def file(path: str, content: bytes = b"", *, uid: int = 0, mtime: int = 0) -> tuple[Entry, bytes]:
    return Entry(path, Kind.FILE, size=len(content), uid=uid, mtime=mtime), content


def read(raw: bytes | Iterable[bytes], limits: TarLimits | None = None) -> list[tuple[Entry, bytes]]:
    chunks = [raw] if isinstance(raw, bytes) else raw
    return [
        (entry, b"".join(body)) for entry, body in read_tar(chunks, what="the archive", limits=limits or TarLimits())
    ]


def summed(block: bytearray) -> bytes:
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def member(  # one ustar header as no honest writer would make it
    name: bytes = b"a",
    kind: bytes = b"0",
    content: bytes = b"",
    *,
    size: bytes | None = None,
    link: bytes = b"",
    magic: bytes = b"ustar\x0000",
    prefix: bytes = b"",
    **fields: bytes,
) -> bytes:
    block = bytearray(512)
    for at, value in (
        (0, name),
        (100, fields.get("mode", b"0000644\0")),
        (108, fields.get("uid", b"0000000\0")),
        (116, fields.get("gid", b"0000000\0")),
        (124, b"%011o\0" % len(content) if size is None else size),
        (136, fields.get("mtime", b"00000000000\0")),
        (156, kind),
        (157, link),
        (257, magic),
        (329, fields.get("major", b"0000000\0")),
        (337, fields.get("minor", b"0000000\0")),
        (345, prefix),
    ):
        block[at : at + len(value)] = value
    return summed(block) + content + bytes(-len(content) % 512)


def record(key: bytes, value: bytes) -> bytes:
    rest = b" %b=%b\n" % (key, value)
    for length in range(len(rest), len(rest) + 12):
        if len(b"%d" % length) + len(rest) == length:
            return b"%d%b" % (length, rest)
    raise AssertionError


def pax(**records: bytes) -> bytes:
    return member(b"pax", b"x", b"".join(record(key.encode(), value) for key, value in records.items()))


def test_every_kind_of_member_comes_back_as_it_was_written() -> None:
    members = [
        (Entry("", Kind.DIRECTORY, 0o755), b""),
        (Entry("usr/bin", Kind.DIRECTORY, 0o755, mtime=1_700_000_000), b""),
        (Entry("usr/bin/su", Kind.FILE, 0o4755, 0, 42, 5, 3, xattrs={"security.capability": b"\0=\n\xff"}), b"hello"),
        (Entry("usr/bin/sg", Kind.HARDLINK, 0o4755, link="usr/bin/su"), b""),
        (Entry("bin", Kind.SYMLINK, 0o777, link="usr/bin"), b""),
        (Entry("dev/console", Kind.CHARACTER, 0o600, device=(5, 1)), b""),
        (Entry("dev/sda", Kind.BLOCK, 0o600, device=(8, 0)), b""),
        (Entry("run/initctl", Kind.FIFO, 0o600), b""),
        file("a" * 300 + "/" + "ü" * 40, b"x" * 513, uid=3_000_000, mtime=-1),
    ]
    assert read(written(*members)) == members


def test_ustar_says_what_it_can_and_pax_only_the_rest() -> None:
    assert len(written(file("d/" * 70 + "file", b""))) == 512 + 1024, "a prefix suffices"
    assert len(written(file("f" * 100))) == 512 + 1024
    assert len(written(file("f" * 101))) == 3 * 512 + 1024


def test_equal_entries_give_equal_bytes_without_names_of_users() -> None:
    one = Entry("x", Kind.FILE, xattrs={"user.b": b"2", "user.a": b"1"})
    other = Entry("x", Kind.FILE, xattrs={"user.a": b"1", "user.b": b"2"})
    raw = written((one, b""))
    assert raw == written((other, b""))
    with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
        found = archive.next()
    assert found is not None
    assert (found.uname, found.gname, found.mtime) == ("", "", 0)


def test_chunks_may_be_cut_anywhere() -> None:
    members = [file(f"f{number}", bytes([number]) * number * 100) for number in range(20)]
    raw = written(*members)
    for step in (1, 7, 511, 512, 513, 100_000):
        assert read(raw[start : start + step] for start in range(0, len(raw), step)) == members


def test_large_contents_pass_in_the_pieces_they_came_in() -> None:
    head = written(file("big", bytes(5 << 20)))[:512]

    def chunks() -> Iterator[bytes]:
        yield head
        for _ in range(5):
            yield bytes(1 << 20)
        yield END

    ((entry, body),) = [(entry, [len(piece) for piece in body]) for entry, body in read_tar(chunks(), what="x")]
    assert entry.size == 5 << 20
    assert body == [1 << 20] * 5


def test_a_content_that_was_not_read_is_skipped() -> None:
    raw = written(file("a", b"1" * 5000), file("b", b"2" * 5000), file("c", b"3"))
    assert [entry.path for entry, _ in read_tar([raw], what="x")] == ["a", "b", "c"]
    chunks = [raw[start : start + 100] for start in range(0, len(raw), 100)]
    assert [next(body)[:1] for _, body in read_tar(chunks, what="x")] == [b"1", b"2", b"3"], "a part will do"


def test_a_content_read_too_late_is_an_error_and_not_another_members_bytes() -> None:
    members = read_tar([written(file("a", b"1"), file("b", b"2"))], what="x")
    _, late = next(members)
    _, last = next(members)
    with pytest.raises(SallyportError, match="after the next member"):
        next(late)
    assert list(members) == []
    with pytest.raises(SallyportError, match="after the next member"):
        next(last)


def test_paths_are_normalised() -> None:
    raw = member(b"./usr//lib/./x/", b"5") + member(b"/etc/passwd") + member(b"./", b"5") + member(b".hidden")
    raw += member(b"a..b/..c") + member(b"./link", b"1", link=b"./etc//passwd") + END
    assert [(entry.path, entry.link) for entry, _ in read(raw)] == [
        ("usr/lib/x", ""),
        ("etc/passwd", ""),
        ("", ""),
        (".hidden", ""),
        ("a..b/..c", ""),
        ("link", "etc/passwd"),
    ]


@pytest.mark.parametrize("path", [b"../x", b"a/../../x", b"a/..", b"..", b"/..", b"./../x", b"a/../b"])
def test_a_path_that_climbs_is_refused(path: bytes) -> None:
    with pytest.raises(UnsafePathError, match="climbs"):
        read(member(path) + END)
    with pytest.raises(UnsafePathError, match="climbs"):
        read(pax(path=path) + member() + END)
    with pytest.raises(UnsafePathError):
        read(member(b"x", b"1", link=path) + END)


def test_an_absolute_hard_link_is_refused_and_an_absolute_symlink_is_not() -> None:
    with pytest.raises(UnsafePathError, match="absolute"):
        read(member(b"x", b"1", link=b"/etc/passwd") + END)
    assert read(member(b"x", b"2", link=b"/etc/passwd") + END)[0][0].link == "/etc/passwd"


def test_gnu_long_names_and_links() -> None:
    name, link = b"n" * 300, b"l/" * 200 + b"l"
    raw = member(b"././@LongLink", b"L", name + b"\0", magic=b"ustar  \0")
    raw += member(b"././@LongLink", b"K", link + b"\0", magic=b"ustar  \0")
    raw += member(b"n" * 100, b"2", link=link[:100], magic=b"ustar  \0") + member(b"next") + END
    (first, _), (second, _) = read(raw)
    assert (first.path, first.link) == (name.decode(), link.decode())
    assert second.path == "next"


def test_base_256_numbers() -> None:
    raw = member(b"big", size=b"\x80" + bytes(10) + b"\x03", uid=b"\x80\0\0\0\xff\xff\xff\xfe", mtime=b"\xff" * 12)
    ((entry, content),) = read(raw + b"abc" + bytes(509) + END)
    assert (entry.size, entry.uid, entry.mtime, content) == (3, 0xFFFFFFFE, -1, b"abc")


def test_version_7_marks_a_folder_by_its_slash() -> None:
    ((entry, _),) = read(member(b"folder/", b"\0", magic=bytes(8)) + END)
    assert entry.kind is Kind.DIRECTORY
    with pytest.raises(MalformedError, match="slash"):
        read(member(b"folder/", b"0") + END)


def test_the_prefix_counts_in_ustar_only() -> None:
    assert read(member(b"b", prefix=b"a") + END)[0][0].path == "a/b"
    for magic in (b"ustar  \0", bytes(8)):
        # Go and Python read it as a path where GNU tar reads two times.
        with pytest.raises(MalformedError, match="prefix"):
            read(member(b"b", prefix=b"a", magic=magic) + END)


def test_pax_says_more_than_the_header_can() -> None:
    raw = pax(path=b"p/" + b"q" * 200, size=b"4", uid=b"4000000", gid=b"5", mtime=b"12.9", comment=b"hi", atime=b"1")
    ((entry, content),) = read(raw + member(b"short", size=b"00000000000\0") + b"abcd" + bytes(508) + END)
    assert entry == Entry("p/" + "q" * 200, Kind.FILE, 0o644, 4_000_000, 5, 4, 12)
    assert content == b"abcd"


def test_times_are_rounded_down_and_may_be_before_the_epoch() -> None:
    times = [(b"-1.5", -2), (b"-1", -1), (b"-1.0", -1), (b"0.999", 0), (b"5.", 5)]
    for text, seconds in times:
        assert read(pax(mtime=text) + member() + END)[0][0].mtime == seconds


def test_bytes_that_are_no_utf_8_survive() -> None:
    ((entry, _),) = read(member(b"caf\xe9") + END)
    assert entry.path == "caf\udce9"
    assert read(written((entry, b"")))[0][0] == entry


def test_a_global_comment_is_passed_over_and_a_global_path_is_refused() -> None:
    comment = member(b"pax_global_header", b"g", record(b"comment", b"0123456789"))
    assert [entry.path for entry, _ in read(comment + member() + END)] == ["a"]
    with pytest.raises(MalformedError, match="global"):
        read(member(b"g", b"g", record(b"path", b"/etc/shadow")) + member() + END)


HOSTILE = {
    "a wrong checksum": (member()[:148] + b"000000\0 " + member()[156:] + END, MalformedError),
    "no magic": (member(magic=b"USTAR\x0000") + END, MalformedError),
    "a number with a sign": (member(size=b"-0000000001\0") + END, MalformedError),
    "a number with an underscore": (member(size=b"0000000_001\0") + END, MalformedError),
    "an octal prefix": (member(mode=b"0o00644\0") + END, MalformedError),
    "a negative size in base 256": (member(size=b"\xff" * 12) + END, MalformedError),
    "a negative size of a long name": (member(kind=b"L", size=b"\xff" * 12) + END, MalformedError),
    "an absurd number": (member(size=b"\x80" + b"\xff" * 11) + END, MalformedError),
    "an absurd owner": (member(uid=b"\x80\xff\xff\xff\xff\xff\xff\xff") + END, MalformedError),
    "an absurd device": (member(kind=b"3", major=b"\x80\xff\xff\xff\xff\xff\xff\xff") + END, MalformedError),
    "a folder with a content": (member(b"d", b"5", b"x") + END, MalformedError),
    "a link with a content": (member(b"d", b"1", b"x", link=b"y") + END, MalformedError),
    "a link to nothing": (member(b"d", b"2") + END, MalformedError),
    "a hard link to the root": (member(b"d", b"1", link=b"./") + END, MalformedError),
    "a nameless file": (member(b"./") + END, MalformedError),
    "a nameless link": (member(b"./", b"2", link=b"x") + END, MalformedError),
    "a sparse member": (member(kind=b"S") + END, MalformedError),
    "an unknown kind": (member(kind=b"V") + END, MalformedError),
    "a sparse member in pax": (member(b"p", b"x", record(b"GNU.sparse.major", b"1")) + member() + END, MalformedError),
    "pax twice": (pax(path=b"a") + pax(path=b"b") + member() + END, MalformedError),
    "a long name twice": (member(kind=b"L", content=b"a\0") * 2 + member() + END, MalformedError),
    "an empty long name": (member(kind=b"L", content=b"\0") + member() + END, MalformedError),
    "a long name with a tail": (member(kind=b"L", content=b"a\0b") + member() + END, MalformedError),
    "pax before the end": (pax(path=b"a") + END, MalformedError),
    "a key twice": (member(b"p", b"x", record(b"path", b"a") + record(b"path", b"b")) + END, DuplicateKeyError),
    "an attribute twice": (member(b"p", b"x", record(b"SCHILY.xattr.a", b"b") * 2) + END, DuplicateKeyError),
    "a zero byte in a path": (pax(path=b"a\0b") + member() + END, MalformedError),
    "a size that is no number": (pax(size=b"1e3") + member() + END, MalformedError),
    "a size with too many digits": (pax(size=b"9" * 21) + member() + END, MalformedError),
    "a size past 64 bits": (pax(size=b"9" * 20) + member() + END, MalformedError),
    "a time that is none": (pax(mtime=b"1.-5") + member() + END, MalformedError),
    "a record too long": (member(b"p", b"x", b"99 path=a\n") + member() + END, MalformedError),
    "a record too short": (member(b"p", b"x", b"3 path=a\n") + member() + END, MalformedError),
    "a record of length zero": (member(b"p", b"x", b"0 path=a\n") + member() + END, MalformedError),
    "a record without a length": (member(b"p", b"x", b"path=a\n") + member() + END, MalformedError),
    "a record with a signed length": (member(b"p", b"x", b"+9 path=a\n") + member() + END, MalformedError),
    "a record without a newline": (member(b"p", b"x", b"9 path=aX") + member() + END, MalformedError),
    "a record without a key": (member(b"p", b"x", b"5 =a\n") + member() + END, MalformedError),
    "bytes behind the end": (member() + END + member(), MalformedError),
    "one byte behind the end": (member() + END + b"x", MalformedError),
    "nothing at all": (b"", TruncatedError),
    "no end": (member(), TruncatedError),
    "half a header": (member()[:300], TruncatedError),
    "half a content": (member(content=bytes(2000))[:1500], TruncatedError),
    "half a long name": (member(kind=b"L", content=bytes(2000))[:1500], TruncatedError),
    "a content without its padding": (member(content=b"x")[:513], TruncatedError),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_or_broken_archive_is_refused(what: str) -> None:
    raw, error = HOSTILE[what]
    with pytest.raises(error) as refused:
        read(raw)
    assert "the archive" in refused.value.message, "an error says where"


def test_limits_hold() -> None:
    many = written(*(file(f"{number}", b"xx") for number in range(5)))
    assert len(read(many, TarLimits(members=5, total=10, member_size=2))) == 5
    for limits in (TarLimits(members=4), TarLimits(total=9), TarLimits(member_size=1)):
        with pytest.raises(OversizeError):
            read(many, limits)


def test_a_huge_header_is_refused_before_it_is_read() -> None:
    def endless(head: bytes) -> Iterator[bytes]:
        yield head
        pytest.fail("it asked for more")

    for kind in (b"x", b"g", b"L", b"K"):
        with pytest.raises(OversizeError, match="extended header"):
            read(endless(member(kind=kind, size=b"77777777777\0")))


def test_names_have_a_limit_in_every_form() -> None:
    long = b"a" * 4097
    for raw in (pax(path=long), pax(linkpath=long), member(kind=b"L", content=long[:-1] + b"\0\0")):
        with pytest.raises(OversizeError):
            read(raw + member(b"x", b"2", link=b"y") + END)
    assert read(pax(path=long[1:]) + member() + END)[0][0].path == "a" * 4096


def test_the_padding_of_a_tape_is_no_garbage() -> None:
    assert len(read(member() + bytes(10240))) == 1
    assert len(read(member() + bytes(512))) == 1, "some writers leave out the second block"


def test_an_end_mark_may_be_missing_only_where_that_was_allowed() -> None:
    raw = member(content=bytes(700)) + member(b"b")
    for step in (512, 1000, 1 << 20):
        chunks = [raw[start : start + step] for start in range(0, len(raw), step)]
        found = read_tar([*chunks, b""], what="x", end_mark=False)
        assert [entry.path for entry, _ in found] == ["a", "b"]
        with pytest.raises(TruncatedError):
            list(read_tar(chunks, what="x"))
    assert list(read_tar([], what="x", end_mark=False)) == []
    for broken in (raw[:-1], raw[:1500], pax(path=b"x"), b"\0"):
        with pytest.raises((TruncatedError, MalformedError)):
            list(read_tar([broken], what="x", end_mark=False))


@pytest.mark.parametrize(
    "entry",
    [
        Entry("/etc/passwd", Kind.FILE),
        Entry("a/../b", Kind.FILE),
        Entry("a//b", Kind.FILE),
        Entry("a/", Kind.DIRECTORY),
        Entry("x", Kind.HARDLINK, link="../y"),
    ],
)
def test_the_writer_refuses_paths_that_the_reader_would_change(entry: Entry) -> None:
    with pytest.raises(UnsafePathError):
        written((entry, b""))


@pytest.mark.parametrize(
    "entry",
    [
        Entry("", Kind.FILE),
        Entry("a\0b", Kind.FILE),
        Entry("a", Kind.SYMLINK),
        Entry("a", Kind.FILE, link="b"),
        Entry("a", Kind.DIRECTORY, size=1),
        Entry("a", Kind.FILE, mode=0o100644),
        Entry("a", Kind.FILE, uid=-1),
        Entry("a", Kind.FILE, gid=1 << 32),
        Entry("a", Kind.FILE, mtime=1 << 63),
        Entry("a", Kind.FILE, xattrs={"a=b": b""}),
        Entry("a", Kind.CHARACTER, device=(8**7, 0)),
    ],
)
def test_the_writer_refuses_what_no_archive_can_hold(entry: Entry) -> None:
    with pytest.raises(MalformedError):
        written((entry, b""))


def test_the_writer_counts_the_content() -> None:
    writer = TarWriter(lambda data: None)
    with pytest.raises(TruncatedError):
        writer.add(Entry("x", Kind.FILE, size=3), [b"ab"])
    with pytest.raises(OversizeError):
        writer.add(Entry("x", Kind.FILE, size=3), [b"ab", b"cd"])
    writer.close()
    writer.close()
    with pytest.raises(UsageError):
        writer.add(Entry("x", Kind.FILE))


def test_a_size_past_eight_gigabytes_needs_pax() -> None:
    pieces: list[bytes] = []
    with pytest.raises(TruncatedError):
        TarWriter(pieces.append).add(Entry("x", Kind.FILE, size=9 * 1024**3))
    members = read_tar([b"".join(pieces)], what="x")
    assert next(members)[0].size == 9 * 1024**3
