"""A layout is written whole, the same each time, and read without ever leaving its folder."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sallyport.errors import (
    DamagedError,
    DigestMismatchError,
    DuplicateKeyError,
    MalformedError,
    MissingBlobError,
    OversizeError,
    StorageError,
    UnknownMediaTypeError,
    UnsafePathError,
)
from sallyport.oci import (
    REF_NAME,
    Descriptor,
    Digest,
    Entry,
    Kind,
    LayoutReader,
    load_images,
    reachable,
    read_blob,
    write_layout,
)

Blobs = Any  # the Memory of conftest.py, which a test cannot import


def named(blobs: Blobs, name: str = "team/app:1") -> Descriptor:
    image = blobs.image(blobs.layer((Entry("etc/motd", Kind.FILE, size=5), b"hello")))
    index = blobs.index([image.descriptor])
    descriptor: Descriptor = index.descriptor
    return replace(descriptor, annotations={REF_NAME: name})


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_was_written_is_read(blobs: Blobs, tmp_path: Path) -> None:
    entry = named(blobs)
    write_layout(tmp_path / "layout", blobs, [entry])
    layout = LayoutReader(tmp_path / "layout")
    assert layout.entries() == (entry,)
    assert load_images(layout, entry) == load_images(blobs, entry)
    assert set(layout.digests()) == {descriptor.digest for descriptor in reachable(blobs, entry)}
    for digest in layout.digests():
        assert layout.has(digest)
        assert layout.size(digest) == blobs.size(digest)
        assert b"".join(layout.chunks(digest, offset=3)) == blobs.kept[digest][3:]


def test_other_tools_find_the_files_where_the_specification_puts_them(blobs: Blobs, tmp_path: Path) -> None:
    entry = named(blobs)
    write_layout(tmp_path, blobs, [entry])
    assert json.loads((tmp_path / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    index = json.loads((tmp_path / "index.json").read_bytes())
    assert index["schemaVersion"] == 2
    assert index["manifests"][0]["annotations"] == {REF_NAME: "team/app:1"}
    assert (tmp_path / "blobs" / "sha256" / entry.digest.hex).read_bytes() == blobs.kept[entry.digest]


def test_writing_twice_gives_the_same_files_and_copies_nothing_again(blobs: Blobs, tmp_path: Path) -> None:
    entry = named(blobs)
    for name in ("one", "two", "two"):
        write_layout(tmp_path / name, blobs, [entry])
    assert everything(tmp_path / "one") == everything(tmp_path / "two")
    blobs.read = 0
    write_layout(tmp_path / "two", blobs, [entry])
    assert blobs.read < sum(len(raw) for raw in blobs.kept.values()), "only manifests are read again"


def test_a_wrong_blob_is_never_written_and_no_index_names_it(blobs: Blobs, tmp_path: Path) -> None:
    entry = named(blobs)
    layer = reachable(blobs, entry)[1]
    blobs.kept[layer.digest] = bytes(layer.size)
    with pytest.raises(DigestMismatchError):
        write_layout(tmp_path, blobs, [entry])
    assert not (tmp_path / "blobs" / "sha256" / layer.digest.hex).exists()
    assert not (tmp_path / "index.json").exists()


def test_a_torn_blob_of_an_earlier_try_is_written_again(blobs: Blobs, tmp_path: Path) -> None:
    entry = named(blobs)
    write_layout(tmp_path, blobs, [entry])
    path = tmp_path / "blobs" / "sha256" / entry.digest.hex
    path.write_bytes(b"torn")
    write_layout(tmp_path, blobs, [entry])
    assert path.read_bytes() == blobs.kept[entry.digest]


def test_a_folder_that_cannot_be_written_says_so(blobs: Blobs, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError):
        write_layout(tmp_path / "file", blobs, [named(blobs)])


def test_a_folder_that_is_no_layout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingBlobError):
        LayoutReader(tmp_path)
    for marker, error in (
        (b'{"imageLayoutVersion":"2.0.0"}', MalformedError),
        (b"[]", MalformedError),
        (b"", MalformedError),
        (b'{"imageLayoutVersion":"1.0.0","imageLayoutVersion":"1.0.0"}', DuplicateKeyError),
        (b'{"imageLayoutVersion":"1.0.0"}' + b" " * 5000, OversizeError),
    ):
        (tmp_path / "oci-layout").write_bytes(marker)
        with pytest.raises(error):
            LayoutReader(tmp_path)


def test_a_broken_index_is_refused(blobs: Blobs, tmp_path: Path) -> None:
    write_layout(tmp_path, blobs, [named(blobs)])
    index = tmp_path / "index.json"
    good = index.read_bytes()
    # Image layouts of older tools leave the media type out.
    index.write_bytes(good.replace(b'"mediaType":"application/vnd.oci.image.index.v1+json","schema', b'"schema'))
    assert index.read_bytes() != good
    LayoutReader(tmp_path).entries()
    for raw, error in (
        (good[:-1], MalformedError),
        (good.replace(b'"schemaVersion":2', b'"schemaVersion":1'), UnknownMediaTypeError),
        (b"image.manifest".join(good.rsplit(b"image.index", 1)), UnknownMediaTypeError),
        (good.replace(b"{", b'{"schemaVersion":2,', 1), DuplicateKeyError),
        (good + b" " * (4 << 20), OversizeError),
    ):
        index.write_bytes(raw)
        layout = LayoutReader(tmp_path)
        with pytest.raises(error):
            layout.entries()
    index.unlink()
    with pytest.raises(MissingBlobError):
        LayoutReader(tmp_path).entries()


def test_a_missing_or_damaged_blob_is_named(blobs: Blobs, tmp_path: Path) -> None:
    entry = named(blobs)
    write_layout(tmp_path, blobs, [entry])
    layout = LayoutReader(tmp_path)
    path = tmp_path / "blobs" / "sha256" / entry.digest.hex
    path.write_bytes(bytes(entry.size))
    with pytest.raises(DigestMismatchError, match=entry.digest.hex):
        read_blob(layout, entry.digest, limit=1 << 20)
    path.unlink()
    assert not layout.has(entry.digest)
    for ask in (layout.size, layout.chunks):
        with pytest.raises(MissingBlobError, match=entry.digest.hex):
            ask(entry.digest)


def test_a_link_pipe_or_folder_in_place_of_a_blob_is_refused(blobs: Blobs, tmp_path: Path) -> None:
    entry = named(blobs)
    write_layout(tmp_path / "layout", blobs, [entry])
    layout = LayoutReader(tmp_path / "layout")
    secret = tmp_path / "secret"
    secret.write_bytes(b"of the host")
    digest = Digest.of(b"of the host")
    path = tmp_path / "layout" / "blobs" / "sha256" / digest.hex
    for put in (partial(path.symlink_to, secret), partial(os.mkfifo, path), path.mkdir):
        put()
        assert not layout.has(digest)
        for ask in (layout.size, layout.chunks):
            with pytest.raises(UnsafePathError):
                ask(digest)
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


def test_a_link_in_place_of_the_folder_of_blobs_is_refused(blobs: Blobs, tmp_path: Path) -> None:
    entry = named(blobs)
    write_layout(tmp_path / "layout", blobs, [entry])
    folder = tmp_path / "layout" / "blobs"
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    layout = LayoutReader(tmp_path / "layout")
    assert not layout.has(entry.digest)
    with pytest.raises(UnsafePathError):
        layout.chunks(entry.digest)


def test_a_link_in_place_of_the_index_is_refused(blobs: Blobs, tmp_path: Path) -> None:
    write_layout(tmp_path, blobs, [named(blobs)])
    index = tmp_path / "index.json"
    index.rename(tmp_path / "elsewhere")
    index.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DamagedError):
        LayoutReader(tmp_path).entries()


def test_strange_names_among_the_blobs_are_passed_over(blobs: Blobs, tmp_path: Path) -> None:
    entry = named(blobs)
    write_layout(tmp_path, blobs, [entry])
    (tmp_path / "blobs" / "sha256" / ".tmp-1234").write_bytes(b"")
    assert len(list(LayoutReader(tmp_path).digests())) == len(reachable(blobs, entry))
