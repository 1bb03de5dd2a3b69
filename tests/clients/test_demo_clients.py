"""What people's own tools say about the demonstration's result: skopeo, cosign, umoci, crane and dpkg.

The demonstration runs once for the whole file, as a user runs it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sallyport.archives import find_mirrors
from sallyport.bundle import ref_name
from sallyport.errors import NoMirrorError
from sallyport.ledger import Ledger
from sallyport.oci import Digest
from sallyport.serving import serve
from sallyport.site import open_site

pytestmark = [
    pytest.mark.client,
    pytest.mark.archive,
    pytest.mark.skipif(
        os.environ.get("SALLYPORT_CLIENT_TESTS") != "1",
        reason="client tests are switched on by SALLYPORT_CLIENT_TESTS=1",
    ),
]

LEFT_OUT = ("usr/share/doc/", "usr/share/man/", "usr/share/locale/", "usr/share/lintian/")
"""What slim images do without, as dpkg's path-exclude does it: the lists and sums keep the names."""


def run(*argv: str | Path, timeout: float = 120) -> str:
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, f"{argv}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def sallyport(*words: str | Path) -> str:
    return run(sys.executable, "-c", "from sallyport.cli.main import main; main()", *words, timeout=600)


@dataclass
class Demo:
    workspace: Path
    result: dict[str, Any]
    host: str  # where the inside registry listens

    def released(self, name: str) -> str:
        return next(str(line["released"]) for line in self.result["images"] if line["upstream"].startswith(f"{name}:"))

    def digest(self, name: str) -> str:
        return next(str(line["digest"]) for line in self.result["images"] if line["upstream"].startswith(f"{name}:"))

    @property
    def bundle(self) -> Path:
        return next((self.workspace / "usb").glob("ship-7-*"))


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    try:
        find_mirrors(environ=os.environ)
    except NoMirrorError as error:
        pytest.skip(f"{error}: {error.mend}")
    workspace = tmp_path_factory.mktemp("demo")
    result = json.loads(sallyport("demo", "--workspace", workspace, "--json"))
    with open_site(workspace / "inside") as inside, serve(inside, listen="127.0.0.1:0") as url:
        yield Demo(workspace, result, url.partition("://")[2])


def test_vulnerabilities_really_go_down(demo: Demo) -> None:
    lines = demo.result["images"]
    assert {line["upstream"].partition(":")[0] for line in lines} == {"minimal", "web", "distroless", "app"}
    # How many there are is the archive's to say: on the day of a point release the images are nearly fresh.
    assert sum(line["before"] for line in lines) > sum(line["after"] for line in lines)
    for line in lines:
        assert line["after"] <= line["before"]
        assert line["platforms"] == ["linux/amd64", "linux/arm64"]
    assert demo.result["refused"] == []


def test_a_second_demonstration_carries_nothing(demo: Demo) -> None:
    again = json.loads(sallyport("demo", "--workspace", demo.workspace, "--json"))
    assert again["carried"] == 0
    assert [line["digest"] for line in again["images"]] == [line["digest"] for line in demo.result["images"]]
    assert len(list((demo.workspace / "usb").glob("ship-7-*"))) == 1


@pytest.mark.parametrize("name", ["minimal", "web", "distroless", "app"])
def test_skopeo_reads_the_inside_registry(demo: Demo, name: str, tmp_path: Path) -> None:
    reference = f"docker://{demo.host}/{demo.released(name)}"
    raw = run("skopeo", "inspect", "--raw", "--tls-verify=false", reference)
    assert str(Digest.of(raw.encode())) == demo.digest(name)
    for architecture in ("amd64", "arm64"):
        shown = json.loads(run("skopeo", "inspect", f"--override-arch={architecture}", "--tls-verify=false", reference))
        assert shown["Architecture"] == architecture
    run("skopeo", "copy", "--all", "--src-tls-verify=false", reference, f"oci:{tmp_path / 'layout'}:here")
    copied = json.loads((tmp_path / "layout" / "index.json").read_text())
    assert copied["manifests"][0]["digest"] == demo.digest(name)


@pytest.mark.parametrize("name", ["minimal", "web", "distroless", "app"])
def test_skopeo_reads_the_bundle_as_a_layout(demo: Demo, name: str, tmp_path: Path) -> None:
    repository, _, tag = demo.released(name).partition(":")
    reference = f"oci:{demo.bundle}:{repository}:{tag}"
    raw = run("skopeo", "inspect", "--raw", reference)
    assert str(Digest.of(raw.encode())) == demo.digest(name)
    run("skopeo", "copy", "--all", reference, f"dir:{tmp_path / 'copied'}")
    assert ref_name(repository, tag, None) == f"{repository}:{tag}"  # type: ignore[arg-type]


@pytest.mark.parametrize("program", ["cosign", "cosign2"])
def test_cosign_accepts_the_release_and_nothing_else(demo: Demo, program: str, tmp_path: Path) -> None:
    reference = f"{demo.host}/{demo.released('web')}"
    keys = {
        "release": demo.workspace / "outside" / "keys" / "release.pub",
        "admission": demo.workspace / "inside" / "keys" / "admission.pub",
        "scan": demo.workspace / "outside" / "keys" / "scan.pub",
    }

    def verify(key: Path) -> subprocess.CompletedProcess[str]:
        argv = [program, "verify", "--key", str(key), "--insecure-ignore-tlog", "--allow-insecure-registry"]
        if program == "cosign2":
            # It asks for a trusted root as soon as an image has a bundle, and needs nothing from it for a key.
            empty = tmp_path / "root.json"
            empty.write_text('{"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1"}')
            argv += ["--trusted-root", str(empty)]
        argv.append(reference)
        return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)

    for purpose in ("release", "admission"):
        done = verify(keys[purpose])
        assert done.returncode == 0, done.stderr
        assert demo.digest("web") in done.stdout
    # The scan statement is there, signed by the scan key, and is no signature of a release.
    assert verify(keys["scan"]).returncode != 0


def test_the_patched_root_is_what_dpkg_expects(demo: Demo, tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    reference = f"docker://{demo.host}/{demo.released('web')}"
    run("skopeo", "copy", "--override-arch=amd64", "--src-tls-verify=false", reference, f"oci:{layout}:web")
    run("umoci", "unpack", *rootless(), "--image", f"{layout}:web", tmp_path / "bundle")
    root = tmp_path / "bundle" / "rootfs"
    assert run("dpkg", f"--root={root}", "--audit") == ""
    # Documentation is left out of slim images, so only what is there must hold.
    broken = [
        line
        for line in run_any("dpkg", f"--root={root}", "--verify").splitlines()
        if not line.startswith("missing") and not re.search(r" c /", line)
    ]
    assert broken == []
    listed = run("dpkg-query", f"--root={root}", "-W", "-f=${Package} ${Version}\n").split("\n")
    with open_site(demo.workspace / "outside") as outside:
        (candidate,) = [c for c in Ledger(outside.store.state).candidates() if c.upstream.name.startswith("web:")]
    (patched,) = [p for p in candidate.patched if str(p.plan.platform) == "linux/amd64"]
    assert patched.plan.upgrades
    for upgrade in patched.plan.upgrades:
        assert f"{upgrade.new.name} {upgrade.new.version}" in listed


def test_the_patched_distroless_tree_has_the_sums_it_states(demo: Demo, tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    for architecture in ("amd64", "arm64"):
        reference = f"docker://{demo.host}/{demo.released('distroless')}"
        run(
            "skopeo",
            "copy",
            f"--override-arch={architecture}",
            "--src-tls-verify=false",
            reference,
            f"oci:{layout}:{architecture}",
        )
        run("umoci", "unpack", *rootless(), "--image", f"{layout}:{architecture}", tmp_path / architecture)
        root = tmp_path / architecture / "rootfs"
        assert not any((root / shell).exists() for shell in ("bin/sh", "usr/bin/sh", "bin/bash"))
        folder = root / "var/lib/dpkg/status.d"
        names = sorted(path.name for path in folder.iterdir() if not path.name.endswith(".md5sums"))
        packages = [re.search(r"^Package: (.+)$", (folder / name).read_text(), re.MULTILINE) for name in names]
        assert len({found[1] for found in packages if found}) == len(names)
        checked = 0
        for sums in folder.glob("*.md5sums"):
            for line in sums.read_text().splitlines():
                expected, path = line.split("  ", 1)
                file = root / path
                if path.startswith(LEFT_OUT) and not file.exists():
                    continue
                assert hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest() == expected, path
                checked += 1
        assert checked > 500


@pytest.mark.skipif(os.geteuid() != 0, reason="chroot needs root")
def test_the_patched_programs_run(demo: Demo, tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    reference = f"docker://{demo.host}/{demo.released('web')}"
    run("skopeo", "copy", "--override-arch=amd64", "--src-tls-verify=false", reference, f"oci:{layout}:web")
    run("umoci", "unpack", "--image", f"{layout}:web", tmp_path / "bundle")
    root = tmp_path / "bundle" / "rootfs"
    version = run("chroot", root, "/usr/bin/openssl", "version")
    installed = run("dpkg-query", f"--root={root}", "-W", "-f=${Version}", "openssl")
    assert version.split()[1] == installed.split("-")[0]
    assert "curl " in run("chroot", root, "/usr/bin/curl", "--version")


def test_one_flipped_bit_is_named_by_the_verb_verify(demo: Demo, tmp_path: Path) -> None:
    bundle = tmp_path / demo.bundle.name
    shutil.copytree(demo.bundle, bundle)
    config = demo.workspace / "inside"
    assert "whole" in sallyport("verify", bundle, "--config", config)
    blob = max(bundle.rglob("blobs/sha256/*"), key=lambda path: path.stat().st_size)
    data = bytearray(blob.read_bytes())
    data[len(data) // 3] ^= 1
    blob.write_bytes(data)
    argv = [
        sys.executable,
        "-c",
        "from sallyport.cli.main import main; main()",
        "verify",
        str(bundle),
        "-c",
        str(config),
    ]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert blob.name in done.stdout.replace("\n", "").replace(" ", "") + done.stderr
    assert "Traceback" not in done.stderr


def run_any(*argv: str | Path) -> str:
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True, timeout=120, check=False)
    return done.stdout


def rootless() -> list[str]:
    return [] if os.geteuid() == 0 else ["--rootless"]
