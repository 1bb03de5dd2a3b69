"""What umoci, dpkg and the patched programs themselves say of a patched image.

The last test is the strict one: dpkg upgrades a copy of the image in a chroot with the same packages, scripts and
all, and what comes of it is compared with the patched image, file by file. Each difference has its reason here.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import stat
import subprocess
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sallyport.catalog import catalogue
from sallyport.compose import MINIMAL, WEB, compose_image, read_database
from sallyport.engine import Threads
from sallyport.match import Scan
from sallyport.oci import Image, LayoutReader, Platform, load_image, reachable, write_layout
from sallyport.patch import Patched, patch, plan_patch
from sallyport.patch.base import read_base
from sallyport.store import DirectoryStore

pytestmark = [
    pytest.mark.client,
    pytest.mark.archive,
    pytest.mark.skipif(
        os.environ.get("SALLYPORT_CLIENT_TESTS") != "1",
        reason="client tests are switched on by SALLYPORT_CLIENT_TESTS=1",
    ),
]
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), "")
REF = "org.opencontainers.image.ref.name"
NOW = datetime(2026, 7, 21, tzinfo=UTC)
CLEAN = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "HOME": "/root", "LC_ALL": "C"}


def run(*arguments: str | Path, env: dict[str, str] | None = None) -> str:
    if shutil.which(str(arguments[0])) is None:
        pytest.fail(f"{arguments[0]} is not on PATH, and SALLYPORT_CLIENT_TESTS=1 asks for it")
    ran = subprocess.run(list(map(str, arguments)), capture_output=True, timeout=300, check=False, env=env)
    said = (ran.stdout + ran.stderr).decode("utf-8", "replace")
    assert ran.returncode == 0, f"{arguments}: {said[-3000:]}"
    return said


def need_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("a chroot needs root")
    if not ARCHITECTURE:
        pytest.skip(f"no image is composed for {platform.machine()}")


@dataclass
class Shop:
    archive: Any
    blobs: DirectoryStore
    image: Image

    def patched(self, image: Image) -> Patched:
        """Every newer package, so that all kinds of packages take part."""
        nothing = Scan(image.descriptor.digest, image.config.platform, 1, (), (), NOW, "outside")
        bill = catalogue(image, self.blobs)
        plan = plan_patch(image, bill, nothing, self.archive, everything=True, blobs=self.blobs)
        if not plan.upgrades:
            pytest.skip("the security suite is no newer than the release today")
        return patch(image, plan, self.archive, self.blobs, executor=Threads(2))

    def unpack(self, folder: Path, **images: Any) -> dict[str, Path]:
        """By umoci, from an image layout; the folders of the roots by name."""
        named = [replace(descriptor, annotations={REF: name}) for name, descriptor in images.items()]
        layout = folder / "layout"
        write_layout(layout, self.blobs, named)
        rootless = [] if os.geteuid() == 0 else ["--rootless"]
        for name in images:
            run("umoci", "unpack", *rootless, "--image", f"{layout}:{name}", folder / name)
        return {name: folder / name / "rootfs" for name in images}


@pytest.fixture(scope="module")
def shop(real_archive: Any, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    blobs = DirectoryStore(tmp_path_factory.mktemp("shop"), durable=False)
    release = real_archive("bookworm")
    place = Platform("linux", ARCHITECTURE or "amd64")
    minimal = compose_image(release, MINIMAL, place, blobs, executor=Threads(4))
    image = compose_image(release, WEB, place, blobs, base=minimal, executor=Threads(4))
    return Shop(real_archive("bookworm", "bookworm-security"), blobs, image)


def test_umoci_unpacks_it_and_dpkg_finds_the_planned_versions(shop: Shop, tmp_path: Path) -> None:
    patched = shop.patched(shop.image)
    root = shop.unpack(tmp_path, after=patched.after)["after"]
    assert run("dpkg", f"--root={root}", "--audit") == ""
    said = run("dpkg-query", f"--admindir={root}/var/lib/dpkg", "-W", "-f=${Package} ${Version}\n")
    versions = dict(line.split(" ") for line in said.splitlines())
    planned = {upgrade.new.name: upgrade.new.version for upgrade in patched.plan.upgrades}
    assert {name: versions[name] for name in planned} == planned


def test_the_patched_programs_run(shop: Shop, tmp_path: Path) -> None:
    need_root()
    patched = shop.patched(shop.image)
    versions = {upgrade.new.name: upgrade.new.version for upgrade in patched.plan.upgrades}
    root = shop.unpack(tmp_path, after=patched.after)["after"]
    (root / "dev").mkdir(exist_ok=True)
    (root / "dev/null").touch()
    said = run("chroot", root, "openssl", "version", env=CLEAN)
    if "openssl" in versions:
        assert versions["openssl"].partition("-")[0] in said
    assert "https" in run("chroot", root, "curl", "--version", env=CLEAN)
    assert "nginx version" in run("chroot", root, "nginx", "-v", env=CLEAN)
    assert "successful" in run("chroot", root, "nginx", "-t", env=CLEAN)
    assert "perl" in run("chroot", root, "perl", "-MPOSIX", "-e", "print qq(perl $])", env=CLEAN)


# What differs, and why. dpkg's and debconf's own logs, backups and caches record that a program ran, and when.
RECORDS = {
    "etc/ca-certificates.conf.dpkg-old",
    "var/cache/debconf/config.dat",
    "var/cache/debconf/config.dat-old",
    "var/cache/debconf/passwords.dat",
    "var/cache/debconf/passwords.dat-old",
    "var/cache/debconf/templates.dat",
    "var/cache/debconf/templates.dat-old",
    "var/cache/ldconfig/aux-cache",  # remembers inodes
    "var/lib/dpkg/lock",
    "var/lib/dpkg/lock-frontend",
    "var/lib/dpkg/status-old",
    "var/lib/dpkg/triggers/Lock",
    "var/lib/dpkg/triggers/Unincorp",
    "var/log/dpkg.log",
    "var/log/alternatives.log",
}


def test_it_is_what_dpkg_itself_makes_of_a_copy(shop: Shop, tmp_path: Path) -> None:
    need_root()
    image = lived_in(shop, tmp_path)
    patched = shop.patched(image)
    roots = shop.unpack(tmp_path / "roots", before=image.descriptor, after=patched.after)
    upgraded = tmp_path / "upgraded"
    run("cp", "-a", roots["before"], upgraded)
    packages = [shop.archive.fetch(upgrade.new) for upgrade in patched.plan.upgrades]
    install(upgraded, [deb.blobs.path(deb.digest) for deb in packages])

    ours, theirs = listing(roots["after"]), listing(upgraded)
    different = {path for path in ours.keys() | theirs.keys() if ours.get(path) != theirs.get(path)}
    assert different <= RECORDS, {path: (ours.get(path), theirs.get(path)) for path in different - RECORDS}
    assert "var/lib/dpkg/status" in ours
    assert len(ours) > 3000


def lived_in(shop: Shop, folder: Path) -> Image:
    """The image as Debian makes it: every package installed again by dpkg, so that all scripts have run."""
    root = shop.unpack(folder / "first", first=shop.image.descriptor)["first"]
    index = shop.archive.packages(ARCHITECTURE)
    debs = []
    for package in read_database(read_base(shop.image, shop.blobs).rootfs).packages:
        found = next(item for item in index.versions(package.name) if item.version == package.version)
        deb = shop.archive.fetch(found)
        debs.append(deb.blobs.path(deb.digest))
    install(root, debs)
    for name in RECORDS:
        (root / name).unlink(missing_ok=True)
    run("umoci", "repack", "--image", f"{folder / 'first/layout'}:lived", folder / "first/first")
    layout = LayoutReader(folder / "first/layout")
    descriptor = next(entry for entry in layout.entries() if entry.annotations.get(REF) == "lived")
    for blob in reachable(layout, descriptor):
        if shop.blobs.has(blob.digest):
            continue
        shop.blobs.put(blob.digest, blob.size, layout.chunks(blob.digest))
    return load_image(shop.blobs, descriptor)


def install(root: Path, debs: list[Path]) -> None:
    """By the image's own dpkg, in a chroot."""
    inbox = root / "tmp/inbox"
    inbox.mkdir(parents=True)
    for number, deb in enumerate(debs):
        shutil.copy(deb, inbox / f"{number:03}.deb")
    (root / "dev").mkdir(exist_ok=True)
    null = root / "dev/null"
    null.touch()
    names = sorted(f"/tmp/inbox/{path.name}" for path in inbox.iterdir())
    run("chroot", root, "dpkg", "-i", "--force-confdef", "--force-confold", *names, env=CLEAN)
    run("chroot", root, "dpkg", "--configure", "-a", env=CLEAN)
    null.unlink()
    shutil.rmtree(inbox)


def listing(root: Path) -> dict[str, tuple[int, int, int, str]]:
    """Mode, owner, group and content or target of every path."""
    found: dict[str, tuple[int, int, int, str]] = {}
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(folder) / name
            status = path.lstat()
            what = ""
            if stat.S_ISLNK(status.st_mode):
                what = str(path.readlink())
            elif stat.S_ISREG(status.st_mode):
                what = hashlib.sha256(path.read_bytes()).hexdigest()
            found[str(path.relative_to(root))] = (status.st_mode, status.st_uid, status.st_gid, what)
    return found
