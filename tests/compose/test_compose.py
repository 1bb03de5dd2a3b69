from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sallyport.archives import Archive
from sallyport.compose import ImageSpec, LayerSpec, Style, compose_image, finish, read_database, wanted_packages
from sallyport.engine import Threads
from sallyport.oci import Image, Kind, Platform, Rootfs, load_image
from sallyport.store import DirectoryStore

AMD64 = Platform("linux", "amd64")
ARM64 = Platform("linux", "arm64")
PASSWD = b"root:*:0:0:root:/root:/bin/bash\nwww-data:*:33:33:www-data:/var/www:/usr/sbin/nologin\n"
CERTIFICATE = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"

BASE = ImageSpec(
    "base",
    (
        LayerSpec(
            before=(finish.merge_usr, finish.base_folders),
            after=(finish.profiles, finish.accounts, finish.awk, finish.slim_configuration),
            essential=True,
        ),
    ),
    exclude=finish.slim,
    cmd=("bash",),
)
SITE = ImageSpec(
    "site",
    (
        LayerSpec(("ca-certificates", "nginx"), after=(finish.certificates, finish.nginx_site)),
        LayerSpec(after=(finish.files([("srv/index.html", b"hello")]),), note="the page"),
    ),
    exclude=finish.slim,
    entrypoint=("nginx",),
    user="33",
    working_dir="/srv",
    labels={"a": "b"},
)
BARE = ImageSpec(
    "bare", (LayerSpec(("libc6",), after=(finish.few_accounts,), dependencies=False),), style=Style.STATUS_D
)


@pytest.fixture
def archive(archive_builder: Any) -> Archive:
    deb = archive_builder.deb
    debs = [
        deb("libc6", "2.36-9", architecture=name, files={f"lib/{name}/libc.so.6": b"c"}, multi_arch="same")
        for name in ("amd64", "arm64")
    ]
    base_files = {
        "usr/share/base-files/profile": b"export PATH\n",
        "usr/share/base-files/dot.profile": b"x",
        "usr/share/base-files/dot.bashrc": b"y",
    }
    masters = {
        "usr/share/base-passwd/passwd.master": PASSWD,
        "usr/share/base-passwd/group.master": b"root:*:0:\nshadow:*:42:\n",
    }
    debs += [
        deb("base-files", "12.4", essential="yes", files=base_files, pre_depends="awk"),
        deb("base-passwd", "3", essential="yes", files=masters),
        deb(
            "bash",
            "5.2-1",
            essential="yes",
            depends="libc6",
            files={
                "bin/bash": b"#",
                "usr/share/doc/bash/README": b"x",
                "usr/share/doc/bash/copyright": b"c",
                "usr/share/man/man1/bash.1": b"m",
            },
        ),
        deb("mawk", "1", provides="awk", files={"usr/bin/mawk": b"m"}),
        deb(
            "ca-certificates",
            "2023",
            files={
                "usr/share/ca-certificates/mozilla/B.crt": CERTIFICATE,
                "usr/share/ca-certificates/mozilla/A.crt": CERTIFICATE.strip(),
            },
        ),
        deb(
            "nginx",
            "1.22",
            depends="libc6, ca-certificates",
            files={"usr/sbin/nginx": b"n", "etc/nginx/sites-available/default": b"d"},
            conffiles=["/etc/nginx/sites-available/default"],
        ),
    ]
    archive_builder.publish("bookworm", debs)
    made: Archive = archive_builder.open("bookworm")
    return made


def test_an_image_has_what_its_packages_and_their_scripts_would_leave(
    archive: Archive, blobs: DirectoryStore, root_of: Callable[[Image], Rootfs]
) -> None:
    image = compose_image(archive, BASE, AMD64, blobs)
    root = root_of(image)
    assert root.read("bin/bash") == b"#"
    assert root.nodes["bin"].entry.kind is Kind.SYMLINK
    assert root.read("etc/passwd") == PASSWD
    assert root.read("etc/shadow") == b"root:*:20645:0:99999:7:::\nwww-data:*:20645:0:99999:7:::\n"
    assert root.nodes["etc/shadow"].entry.mode == 0o640
    assert root.read("etc/profile") == b"export PATH\n"
    assert root.read("usr/bin/awk") == b"m"
    assert root.read("usr/share/doc/bash/copyright") == b"c"
    assert root.get("usr/share/doc/bash/README") is None
    assert root.get("usr/share/man/man1/bash.1") is None
    assert b"path-exclude /usr/share/man/*" in (root.read("etc/dpkg/dpkg.cfg.d/slim") or b"")
    database = read_database(root)
    assert [package.name for package in database.packages] == ["base-files", "base-passwd", "bash", "libc6", "mawk"]
    assert len(database.owners("usr/share/doc/bash/README")) == 1
    assert image.config.document["config"] == {"Cmd": ["bash"], "Env": list(BASE.env)}
    assert image.config.created == "2026-07-11T10:00:00Z"
    assert image.config.platform == image.descriptor.platform == AMD64


def test_the_same_inputs_give_the_same_digest(archive_builder: Any, archive: Archive, blobs: DirectoryStore) -> None:
    first = compose_image(archive, BASE, AMD64, blobs)
    again = compose_image(archive_builder.open("bookworm"), BASE, AMD64, blobs, executor=Threads(3))
    other = compose_image(archive, BASE, ARM64, blobs)
    assert first.descriptor == again.descriptor
    assert other.descriptor.digest != first.descriptor.digest
    assert load_image(blobs, first.descriptor) == first


def test_a_layer_on_a_base_has_only_what_is_new(
    archive: Archive, blobs: DirectoryStore, root_of: Callable[[Image], Rootfs]
) -> None:
    base = compose_image(archive, BASE, AMD64, blobs)
    image = compose_image(archive, SITE, AMD64, blobs, base=base)
    assert image.layers[:1] == base.layers
    assert len(image.layers) == 3
    root = root_of(image)
    assert root.read("etc/nginx/sites-enabled/default") == b"d"
    assert root.read("etc/ssl/certs/ca-certificates.crt") == CERTIFICATE * 2
    assert root.read("etc/ca-certificates.conf") == b"mozilla/A.crt\nmozilla/B.crt\n"
    assert root.read("srv/index.html") == b"hello"
    names = [package.name for package in read_database(root).packages]
    assert names == ["base-files", "base-passwd", "bash", "libc6", "mawk", "ca-certificates", "nginx"]
    assert root.nodes["usr/sbin/nginx"].layer == image.layers[1][0].digest
    config = image.config.document["config"]
    assert isinstance(config, dict)
    assert (config["User"], config["WorkingDir"], config["Labels"]) == ("33", "/srv", {"a": "b"})
    assert image.manifest.annotations["org.opencontainers.image.base.digest"] == str(base.descriptor.digest)
    history = image.config.document["history"]
    assert isinstance(history, list)
    assert len(history) == 3


def test_a_distroless_image_takes_exactly_what_is_named(
    archive: Archive, blobs: DirectoryStore, root_of: Callable[[Image], Rootfs]
) -> None:
    root = root_of(compose_image(archive, BARE, ARM64, blobs))
    assert root.read("lib/arm64/libc.so.6") == b"c"
    assert root.get("bin/bash") is None
    assert root.get("var/lib/dpkg/status") is None
    assert (root.read("var/lib/dpkg/status.d/libc6") or b"").startswith(b"Package: libc6\n")
    assert root.get("var/lib/dpkg/status.d/libc6.md5sums") is not None
    assert b"nonroot:x:65532:65532" in (root.read("etc/passwd") or b"")
    assert root.nodes["home/nonroot"].entry.uid == 65532


def test_what_will_be_fetched_is_known_before(archive: Archive) -> None:
    below = wanted_packages(archive, BASE, AMD64)
    assert [[package.name for package in layer] for layer in below] == [
        ["base-files", "base-passwd", "bash", "libc6", "mawk"]
    ]
    above = wanted_packages(archive, SITE, AMD64, base=below[0])
    assert [[package.name for package in layer] for layer in above] == [["ca-certificates", "nginx"], []]
