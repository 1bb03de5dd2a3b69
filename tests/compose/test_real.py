"""The four images from the real mirror, for one platform; about 60 MB are fetched."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sallyport.compose import DISTROLESS, compose_all, compose_image, finish, read_database
from sallyport.engine import Threads
from sallyport.oci import BlobReader, Image, Kind, Platform, Rootfs, load_images
from sallyport.store import DirectoryStore

pytestmark = pytest.mark.archive
Images = dict[str, Image]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> DirectoryStore:
    return DirectoryStore(tmp_path_factory.mktemp("upstream"), durable=False)


@pytest.fixture(scope="module")
def images(real_archive: Any, store: DirectoryStore) -> Images:
    archive = real_archive("bookworm")
    made = compose_all(archive, store, platforms=[Platform("linux", "amd64")], executor=Threads(4))
    assert {image.tag for image in made} == {archive.releases[0].version}
    return {image.repository: load_images(store, image.images.descriptor)[0] for image in made}


def root(images: Images, store: DirectoryStore, name: str) -> Rootfs:
    from sallyport.oci import list_layer

    return Rootfs.merge(
        list_layer(store, layer, diff_id=diff, keep=lambda _: True) for layer, diff in images[name].layers
    )


def test_the_images_are_what_they_say(images: Images, store: DirectoryStore) -> None:
    assert {name: len(image.layers) for name, image in images.items()} == {
        "minimal": 1,
        "web": 2,
        "distroless": 1,
        "app": 3,
    }
    minimal = {package.name for package in read_database(root(images, store, "minimal")).packages}
    assert {"bash", "dpkg", "libc6", "tar"} <= minimal
    assert not {"apt", "perl"} & minimal
    web = root(images, store, "web")
    assert {"nginx-light", "curl", "openssl", "libssl3"} <= {package.name for package in read_database(web).packages}
    assert (web.read("etc/ssl/certs/ca-certificates.crt") or b"").count(b"BEGIN CERTIFICATE") > 100
    app = root(images, store, "app")
    assert {package.name for package in read_database(app).packages} >= {"base-files", "libc6", "openssl", "tzdata"}
    assert app.get("bin/sh") is None
    assert app.get("usr/bin/sh") is None
    assert (app.read("etc/os-release") or b"").startswith(b"PRETTY_NAME")


def test_composed_again_it_has_the_same_digest(real_archive: Any, images: Images, tmp_path: Path) -> None:
    other = DirectoryStore(tmp_path, durable=False)
    again = compose_image(real_archive("bookworm"), DISTROLESS, Platform("linux", "amd64"), other)
    assert again.descriptor.digest == images["distroless"].descriptor.digest


def test_every_file_of_the_distroless_record_is_there_and_right(images: Images, store: DirectoryStore) -> None:
    import hashlib

    app = root(images, store, "app")
    checked = 0
    for package in read_database(app).packages:
        for path, md5 in package.md5sums.items():
            if finish.slim(path):
                continue
            content = app.read(path)
            assert content is not None, path
            assert hashlib.md5(content, usedforsecurity=False).hexdigest() == md5, path
            checked += 1
    assert checked > 500


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="dpkg is not installed: no peer to compare with")
def test_dpkg_is_content_with_the_root(
    images: Images, store: DirectoryStore, extract: Callable[[Image, BlobReader], Path]
) -> None:
    folder = extract(images["web"], store)

    def ask(*argv: str) -> str:
        return subprocess.run(["dpkg", f"--root={folder}", *argv], check=False, capture_output=True, text=True).stdout

    assert ask("--audit") == ""
    verified = ask("--verify").splitlines()
    strange = [
        line for line in verified if not line.startswith("missing ") or not finish.slim(line.split()[-1].lstrip("/"))
    ]
    # What slim images leave out is missing, and nothing else differs.
    assert [line for line in strange if not finish.slim(f"{line.split()[-1].lstrip('/')}/x")] == []
    listed = [line.split()[:3] for line in ask("--list").splitlines() if line.startswith("ii")]
    records = read_database(root(images, store, "web")).packages
    assert len(listed) == len(records)


@pytest.mark.skipif(
    os.geteuid() != 0 or os.uname().machine != "x86_64", reason="chroot asks for root and this platform"
)
def test_the_programs_run(images: Images, store: DirectoryStore, extract: Callable[[Image, BlobReader], Path]) -> None:
    folder = extract(images["web"], store)

    def run(*argv: str) -> str:
        ran = subprocess.run(
            ["chroot", folder, *argv], check=False, capture_output=True, text=True, env={"PATH": "/usr/sbin:/usr/bin"}
        )
        return ran.stdout + ran.stderr

    assert run("awk", "BEGIN { print 42 }") == "42\n"
    assert run("sh", "-c", "command -v sh") == "/usr/bin/sh\n"
    assert run("openssl", "version").startswith("OpenSSL 3")
    assert "syntax is ok" in run("nginx", "-t")
    assert run("dpkg-query", "-W", "-f", "${Version}", "bash").startswith("5.")


def test_nothing_of_the_images_is_a_device_or_without_a_folder(images: Images, store: DirectoryStore) -> None:
    for name in images:
        nodes = root(images, store, name).nodes
        assert {node.entry.kind for node in nodes.values()} <= {Kind.FILE, Kind.DIRECTORY, Kind.SYMLINK}
        assert all(path.rpartition("/")[0] in nodes for path in nodes if "/" in path)
