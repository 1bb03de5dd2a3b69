"""Other tools read what this room writes, and see the same file system in the same layers."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sallyport.oci import (
    REF_NAME,
    Descriptor,
    Entry,
    Kind,
    LayoutReader,
    Rootfs,
    list_layer,
    load_image,
    load_images,
    reachable,
    write_layout,
)

Blobs = Any  # the Memory of conftest.py, which a test cannot import

pytestmark = [
    pytest.mark.client,
    pytest.mark.skipif(
        os.environ.get("SALLYPORT_CLIENT_TESTS") != "1",
        reason="client tests are switched on by SALLYPORT_CLIENT_TESTS=1",
    ),
]


def run(program: str, *arguments: str) -> bytes:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed")
    return subprocess.run([found, *arguments], check=True, capture_output=True, timeout=60).stdout


def folder(path: str) -> Entry:
    return Entry(path, Kind.DIRECTORY, 0o755, os.getuid(), os.getgid(), mtime=1)


def file(path: str, content: bytes = b"", mode: int = 0o644) -> tuple[Entry, bytes]:
    return Entry(path, Kind.FILE, mode, os.getuid(), os.getgid(), len(content), 1), content


def link(path: str, target: str, kind: Kind = Kind.SYMLINK) -> Entry:
    return Entry(path, kind, 0o777, os.getuid(), os.getgid(), link=target, mtime=1)


LAYERS = [
    [
        folder(""),
        folder("usr"),
        folder("usr/lib"),
        file("usr/lib/os-release", b"ID=example\n"),
        link("lib", "usr/lib"),
        link("abs", "/usr/lib"),
        folder("etc"),
        link("etc/os-release", "../usr/lib/os-release"),
        file("etc/removed", b"x"),
        folder("opt"),
        file("opt/old", b"x"),
        folder("opt/deep"),
        file("opt/deep/older", b"x"),
        folder("srv"),
        file("srv/x", b"x"),
        file("becomes-folder", b"x"),
        folder("becomes-file"),
        file("becomes-file/x", b"x"),
        file("twice", b"program", 0o755),
        link("once", "twice", Kind.HARDLINK),
    ],
    [
        file("etc/.wh.removed"),
        file(".wh.srv"),
        folder("opt"),
        file("opt/.wh..wh..opq"),
        file("opt/new", b"new"),
        folder("becomes-folder"),
        file("becomes-folder/y", b"y"),
        file("becomes-file", b"now a file"),
        file("implied/parent/z", b"z"),
        file("n" * 120 + "/" + "ü" * 60, b"long"),
    ],
    [
        file("twice", b"changed", 0o755),
        folder("lib"),
        file("lib/own", b"own"),
        file("usr/lib/more", b"more"),
        file("srv/back", b"back"),
    ],
]


@pytest.fixture
def image(blobs: Blobs) -> Descriptor:
    manifest = blobs.image(*(blobs.layer(*members) for members in LAYERS))
    descriptor: Descriptor = manifest.descriptor
    return replace(descriptor, annotations={REF_NAME: "latest"})


def merged(blobs: Blobs, image: Descriptor) -> Rootfs:
    return Rootfs.merge(
        list_layer(blobs, layer, diff_id=diff_id, keep=lambda path: True)
        for layer, diff_id in load_image(blobs, image).layers
    )


def test_another_tool_unpacks_the_file_system_that_we_see(blobs: Blobs, image: Descriptor, tmp_path: Path) -> None:
    write_layout(tmp_path / "layout", blobs, [image])
    run("umoci", "unpack", "--rootless", "--image", f"{tmp_path}/layout:latest", f"{tmp_path}/bundle")
    top = tmp_path / "bundle" / "rootfs"
    root = merged(blobs, image)
    seen = {str(path.relative_to(top)): path for path in top.rglob("*")}
    assert set(seen) == {path for path in root.nodes if path}
    for path, real in seen.items():
        entry = root.nodes[path].entry
        status = real.lstat()
        if entry.kind is Kind.SYMLINK:
            assert str(real.readlink()) == entry.link
        elif entry.kind is Kind.FILE:
            assert real.read_bytes() == root.read(path)
            assert stat.S_IMODE(status.st_mode) == entry.mode
        else:
            assert stat.S_ISDIR(status.st_mode)
            assert entry.kind is Kind.DIRECTORY


def test_another_tool_copies_the_layout_and_nothing_changes(blobs: Blobs, image: Descriptor, tmp_path: Path) -> None:
    write_layout(tmp_path / "one", blobs, [image])
    source = f"oci:{tmp_path}/one:latest"
    config = json.loads(run("skopeo", "inspect", "--config", source))
    assert config["os"] == "linux"
    run("skopeo", "--insecure-policy", "copy", source, f"oci:{tmp_path}/two:latest")
    copied = LayoutReader(tmp_path / "two")
    (entry,) = copied.entries()
    assert entry.digest == image.digest
    assert load_images(copied, entry)[0].manifest == load_image(blobs, image).manifest
    assert {found.digest for found in reachable(copied, entry)} == set(copied.digests())
