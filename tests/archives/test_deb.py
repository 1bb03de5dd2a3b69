from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sallyport.archives import Deb
from sallyport.archives.ar import read_ar
from sallyport.errors import MalformedError, SallyportError, TruncatedError
from sallyport.oci import Digest, Entry, Kind
from sallyport.store import DirectoryStore


def kept(tmp_path: Path, raw: bytes) -> Deb:
    store = DirectoryStore(tmp_path / "store", durable=False)
    digest = Digest.of(raw)
    store.put(digest, len(raw), [raw])
    return Deb(store, digest, len(raw))


@pytest.mark.parametrize("compression", ["xz", "gz", "zst", ""])
def test_every_part_of_a_package_is_read(tmp_path: Path, deb_maker: Any, compression: str) -> None:
    built = deb_maker.build_deb(
        "tool",
        "2:1.0-1",
        architecture="amd64",
        files={
            "usr/bin/tool": b"#!",
            "etc/tool.conf": b"x=1\n",
            "usr/bin/alias": Entry("usr/bin/alias", Kind.SYMLINK, 0o777, link="tool"),
            "usr/bin/same": Entry("usr/bin/same", Kind.HARDLINK, link="usr/bin/tool"),
        },
        conffiles=["/etc/tool.conf"],
        scripts={"postinst": "#!/bin/sh\n"},
        triggers="interest-noawait /usr/share/x\n",
        compression=compression,
        depends="libc6",
    )
    deb = kept(tmp_path, built.raw)
    assert deb.control["Version"] == "2:1.0-1"
    assert deb.control["Depends"] == "libc6"
    assert deb.conffiles == ("/etc/tool.conf",)
    assert deb.scripts == {"postinst": b"#!/bin/sh\n"}
    assert deb.triggers == b"interest-noawait /usr/share/x\n"
    assert set(deb.md5sums) == {"usr/bin/tool"}
    members = {entry.path: (entry.kind, b"".join(body)) for entry, body in deb.members()}
    assert members["usr/bin/tool"] == (Kind.FILE, b"#!")
    assert members["usr/bin/alias"][0] is Kind.SYMLINK
    assert members["usr/bin/same"][0] is Kind.HARDLINK
    assert deb.files(["etc/tool.conf", "usr/bin/a*"]).keys() == {"etc/tool.conf", "usr/bin/alias"}


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is not installed: no peer to compare with")
def test_dpkg_deb_reads_the_same(tmp_path: Path, deb_maker: Any) -> None:
    built = deb_maker.build_deb("tool", files={"usr/bin/tool": b"#!"}, version="1")
    path = tmp_path / "tool.deb"
    path.write_bytes(built.raw)
    listed = subprocess.run(["dpkg-deb", "--contents", path], check=True, capture_output=True, text=True).stdout
    theirs = {line.split()[-1].strip("./") for line in listed.splitlines()}
    assert {entry.path for entry, _ in kept(tmp_path, built.raw).members()} == theirs
    field = subprocess.run(["dpkg-deb", "--field", path, "Package"], check=True, capture_output=True, text=True).stdout
    assert field.strip() == "tool"


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is not installed: no peer to compare with")
@pytest.mark.parametrize("compression", ["xz", "gzip", "zstd", "none"])
def test_what_dpkg_deb_builds_is_read(tmp_path: Path, compression: str) -> None:
    root = tmp_path / "root"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN/control").write_text(
        "Package: tool\nVersion: 1\nArchitecture: all\nMaintainer: N <n@debian.example>\nDescription: x\n"
    )
    (root / "usr").mkdir()
    (root / "usr/file").write_bytes(bytes(100_000))
    argv = ["dpkg-deb", "--build", f"-Z{compression}", "--root-owner-group", str(root), str(tmp_path / "tool.deb")]
    if subprocess.run(argv, check=False, capture_output=True).returncode:
        pytest.skip(f"this dpkg-deb does not write {compression}")
    deb = kept(tmp_path, (tmp_path / "tool.deb").read_bytes())
    assert deb.control["Package"] == "tool"
    assert {entry.path: len(b"".join(body)) for entry, body in deb.members()}["usr/file"] == 100_000


def test_another_order_or_format_is_refused(tmp_path: Path, deb_maker: Any) -> None:
    good = [("debian-binary", b"2.0\n"), ("control.tar", deb_maker.tar([])), ("data.tar", deb_maker.tar([]))]
    for members in (
        [good[0], good[2], good[1]],
        good[:2],
        [*good, ("extra", b"x")],
        [("debian-binary", b"3.0\n"), *good[1:]],
        [good[0], ("control.tar.lz4", b""), good[2]],
        good[1:],
    ):
        with pytest.raises(MalformedError):
            list(kept(tmp_path, deb_maker.ar(members)).members())
    extended = deb_maker.ar([good[0], ("_gpgbuilder", b"abc"), *good[1:]])
    assert list(kept(tmp_path, extended).members()) == []


def test_a_package_that_was_changed_on_disk_is_noticed(tmp_path: Path, deb_maker: Any) -> None:
    deb = kept(tmp_path, deb_maker.build_deb("tool", "1", files={"usr/x": b"abc"}, compression="").raw)
    path = deb.blobs.path(deb.digest)  # type: ignore[attr-defined]
    path.write_bytes(path.read_bytes().replace(b"abc", b"abd"))
    with pytest.raises(SallyportError):
        list(deb.members())


def test_an_ar_archive_that_is_cut_or_odd_is_refused(deb_maker: Any) -> None:
    raw = deb_maker.ar([("one", b"abc"), ("two", b"defg")])
    assert [(member.name, b"".join(body)) for member, body in read_ar([raw], what="x")] == [
        ("one", b"abc"),
        ("two", b"defg"),
    ]
    with pytest.raises(TruncatedError):
        list(read_ar([raw[:-2]], what="x"))
    with pytest.raises(MalformedError):
        list(read_ar([raw.replace(b"`\n", b"``", 1)], what="x"))
    with pytest.raises(MalformedError):
        list(read_ar([b"not an archive"], what="x"))


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 300), st.integers(0, 255), st.integers(1, 40))
def test_no_byte_of_an_ar_archive_breaks_the_reader(deb_maker: Any, position: int, value: int, step: int) -> None:
    raw = bytearray(deb_maker.ar([("debian-binary", b"2.0\n"), ("control.tar", bytes(100)), ("data.tar", bytes(33))]))
    raw[position % len(raw)] = value
    chunks = [bytes(raw[at : at + step]) for at in range(0, len(raw), step)]
    try:
        for _, body in read_ar(chunks, what="x"):
            b"".join(body)
    except SallyportError:
        pass
