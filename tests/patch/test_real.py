"""Real images of the release suite, patched from the real security suite, for two architectures."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sallyport.advisories.changelog import ChangelogSource
from sallyport.catalog import catalogue
from sallyport.compose import DISTROLESS, MINIMAL, WEB, Style, compose_image, finish, read_database
from sallyport.engine import Threads
from sallyport.match import Scan, scan
from sallyport.oci import Image, Kind, Platform, Rootfs, list_layer, load_image, read_layer
from sallyport.patch import Change, Patched, patch, plan_patch
from sallyport.store import DirectoryStore

pytestmark = pytest.mark.archive
NOW = datetime(2026, 7, 21, tzinfo=UTC)
NAMES = [(name, architecture) for name in ("web", "distroless") for architecture in ("amd64", "arm64")]
DISTROLESS_OF_DEBIAN = {"var/lib/dpkg/status", "bin/sh", "usr/bin/sh"}


class Bench:
    """Images, and what patching made of them."""

    def __init__(self, open_archive: Any, blobs: DirectoryStore) -> None:
        self.blobs = blobs
        self.archive = open_archive("bookworm", "bookworm-security")
        release = open_archive("bookworm")
        self.images: dict[tuple[str, str], Image] = {}
        for architecture in ("amd64", "arm64"):
            platform = Platform("linux", architecture)
            minimal = compose_image(release, MINIMAL, platform, blobs, executor=Threads(4))
            web = compose_image(release, WEB, platform, blobs, base=minimal, executor=Threads(4))
            distroless = compose_image(release, DISTROLESS, platform, blobs, executor=Threads(4))
            self.images |= {("web", architecture): web, ("distroless", architecture): distroless}
        self._done: dict[tuple[str, str, bool], tuple[Scan, Patched]] = {}

    def patched(self, name: str, architecture: str, *, everything: bool = False) -> tuple[Scan, Patched]:
        key = (name, architecture, everything)
        if key not in self._done:
            image = self.images[name, architecture]
            found = self.scan(image)
            bill = catalogue(image, self.blobs)
            plan = plan_patch(image, bill, found, self.archive, everything=everything, blobs=self.blobs)
            self._done[key] = found, patch(image, plan, self.archive, self.blobs, executor=Threads(2))
        return self._done[key]

    def scan(self, image: Image) -> Scan:
        bill = catalogue(image, self.blobs)
        return scan(bill, (ChangelogSource(self.archive).feed((bill,)),), now=NOW, side="outside")

    def root(self, image: Image) -> Rootfs:
        return Rootfs.merge(
            list_layer(self.blobs, layer, diff_id=diff_id, keep=lambda _: True) for layer, diff_id in image.layers
        )


@pytest.fixture(scope="module")
def bench(real_archive: Any, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(real_archive, DirectoryStore(tmp_path_factory.mktemp("real"), durable=False))


def write_out(root: Rootfs, folder: Path) -> Path:
    """The root below ``folder``, as any user; our own honest images only."""
    for path, node in sorted(root.nodes.items()):
        target = folder / path
        if node.entry.kind is Kind.DIRECTORY:
            target.mkdir(exist_ok=True)
        elif node.entry.kind is Kind.SYMLINK:
            target.symlink_to(node.entry.link)
        elif node.entry.kind is Kind.FILE:
            target.write_bytes(node.content or b"")
    return folder


def dpkg(*arguments: str) -> str:
    program = shutil.which(arguments[0])
    if program is None:
        pytest.skip(f"{arguments[0]} is not installed")
    ran = subprocess.run([program, *arguments[1:]], capture_output=True, timeout=120, check=False)
    assert not ran.stderr, ran.stderr.decode()
    return ran.stdout.decode()


@pytest.mark.parametrize(("name", "architecture"), NAMES)
def test_the_findings_are_closed_and_every_script_is_known(bench: Bench, name: str, architecture: str) -> None:
    before, patched = bench.patched(name, architecture)
    if not before.findings:
        pytest.skip("the security suite is no newer than the release today")
    after = bench.scan(load_image(bench.blobs, patched.after))
    assert after.vulnerabilities == frozenset(patched.plan.unfixable)
    assert len(after.vulnerabilities) < len(before.vulnerabilities)
    assert not [script for script in patched.scripts if script.unknown]


@pytest.mark.parametrize(("name", "architecture"), NAMES)
def test_patched_again_on_another_day_it_has_the_same_digest(bench: Bench, name: str, architecture: str) -> None:
    found, patched = bench.patched(name, architecture)
    image = bench.images[name, architecture]
    later = replace(found, scanned_at=datetime(2031, 1, 1, tzinfo=UTC))
    plan = plan_patch(image, catalogue(image, bench.blobs), later, bench.archive, blobs=bench.blobs)
    assert patch(image, plan, bench.archive, bench.blobs).after == patched.after


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
@pytest.mark.parametrize("everything", [False, True], ids=["fixes", "everything"])
def test_dpkg_is_content(bench: Bench, tmp_path: Path, architecture: str, everything: bool) -> None:  # noqa: FBT001
    _, patched = bench.patched("web", architecture, everything=everything)
    image = load_image(bench.blobs, patched.after)
    (tmp_path / "before").mkdir()
    (tmp_path / "after").mkdir()
    before = write_out(bench.root(bench.images["web", architecture]), tmp_path / "before")
    after = write_out(bench.root(image), tmp_path / "after")

    for tree in (before, after):
        # The dpkg that checks may be built for the other architecture.
        (tree / "var/lib/dpkg/arch").write_text("amd64\narm64\n")

    assert dpkg("dpkg", f"--root={after}", "--audit") == ""
    said = dpkg("dpkg-query", f"--admindir={after}/var/lib/dpkg", "-W", "-f=${Package} ${Version} ${Status}\n")
    versions = dict(line.split(" ", 1) for line in said.splitlines())
    for upgrade in patched.plan.upgrades:
        assert versions[upgrade.new.name] == f"{upgrade.new.version} install ok installed"
    assert len(versions) == len(catalogue(bench.images["web", architecture], bench.blobs).packages) + sum(
        upgrade.old is None for upgrade in patched.plan.upgrades
    )
    # What a slim image leaves out is missing to dpkg's check, before and after; nothing else may be wrong.
    wrong = set(dpkg("dpkg", f"--root={after}", "--verify").splitlines())
    left_out = {f"/{file.path}" for file in patched.files if file.change is Change.LEFT_OUT}
    known = set(dpkg("dpkg", f"--root={before}", "--verify").splitlines())
    assert {line for line in wrong - known if line.split(" ")[-1] not in left_out} == set()


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
@pytest.mark.parametrize("everything", [False, True], ids=["fixes", "everything"])
def test_a_distroless_images_records_hold(bench: Bench, architecture: str, everything: bool) -> None:  # noqa: FBT001
    _, patched = bench.patched("distroless", architecture, everything=everything)
    image = load_image(bench.blobs, patched.after)
    root = bench.root(image)
    packages = read_database(root).packages
    assert {package.style for package in packages} == {Style.STATUS_D}
    assert (
        len({package.name for package in packages}) == len(packages) == len(root.children("var/lib/dpkg/status.d")) / 2
    )
    assert not DISTROLESS_OF_DEBIAN & set(root.nodes)
    new = {upgrade.new.name: upgrade.new.version for upgrade in patched.plan.upgrades}
    checked = 0
    for package in packages:
        assert package.version == new.get(package.name, package.version)
        for path, md5 in package.md5sums.items():
            content = root.read(path)
            if content is None:
                assert finish.slim(path)
                continue
            assert hashlib.md5(content).hexdigest() == md5, path
            checked += 1
    assert checked > 500
    assert (root.read("etc/ssl/certs/ca-certificates.crt") or b"").count(b"BEGIN CERTIFICATE") > 100


@pytest.mark.parametrize(("name", "architecture"), NAMES)
def test_no_member_of_the_layer_stands_behind_a_link(bench: Bench, name: str, architecture: str) -> None:
    _, patched = bench.patched(name, architecture, everything=True)
    image = load_image(bench.blobs, patched.after)
    below = bench.root(bench.images[name, architecture])
    layer, diff_id = image.layers[-1]
    paths = [entry.path for entry, _ in read_layer(bench.blobs, layer, diff_id=diff_id)]
    assert paths == sorted(paths)
    for path in paths:
        parent = path.rpartition("/")[0]
        assert below.resolve(parent) == parent
