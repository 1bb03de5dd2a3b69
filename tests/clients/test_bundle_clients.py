"""A bundle's folder, read by tools that know nothing of sallyport: it is an image layout first."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from sallyport.bundle import ref_name, verify_bundle
from sallyport.oci import Digest, LayoutReader, load_images

pytestmark = [
    pytest.mark.client,
    pytest.mark.skipif(
        os.environ.get("SALLYPORT_CLIENT_TESTS") != "1",
        reason="client tests are switched on by SALLYPORT_CLIENT_TESTS=1",
    ),
]


def _builder() -> ModuleType:
    path = Path(__file__).parents[1] / "bundle" / "conftest.py"
    spec = importlib.util.spec_from_file_location("bundle_conftest", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


_bundle = _builder()
keys, outside = _bundle.keys, _bundle.outside


def run(*argv: str) -> str:
    if shutil.which(argv[0]) is None:
        pytest.fail(f"{argv[0]} is not on PATH, and SALLYPORT_CLIENT_TESTS=1 asks for it")
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{argv}: {done.stderr[-2000:]}"
    return done.stdout


@pytest.fixture
def policy(tmp_path: Path) -> str:
    path = tmp_path / "policy.json"
    path.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    return f"--policy={path}"


def test_skopeo_inspects_a_release_by_its_name(outside: Any) -> None:
    released = outside.publish()
    bundle = outside.bundle()

    seen = json.loads(run("skopeo", "inspect", "--override-arch", "arm64", f"oci:{bundle}:team/app:12-20260711.1"))
    assert (seen["Os"], seen["Architecture"]) == ("linux", "arm64")
    raw = run("skopeo", "inspect", "--raw", f"oci:{bundle}:team/app:12-20260711.1").encode()
    assert Digest.of(raw) == released.descriptor.digest


def test_skopeo_inspects_a_release_whose_name_it_refuses_by_the_digest(outside: Any) -> None:
    released = outside.publish("team/some__thing")
    bundle = outside.bundle()

    name = ref_name("team/some__thing", released.tag, released.descriptor)
    raw = run("skopeo", "inspect", "--raw", f"oci:{bundle}:{name}").encode()
    assert Digest.of(raw) == released.descriptor.digest


def test_skopeo_copies_every_platform_out_of_a_bundle(outside: Any, tmp_path: Path, policy: str) -> None:
    released = outside.publish()
    bundle = outside.bundle()

    run("skopeo", policy, "copy", "--all", f"oci:{bundle}:team/app:12-20260711.1", f"oci:{tmp_path / 'copy'}:app:1")

    copy = LayoutReader(tmp_path / "copy")
    (entry,) = copy.entries()
    assert entry.digest == released.descriptor.digest
    assert len(load_images(copy, entry)) == 2
    # Nothing was written into the bundle meanwhile.
    verify_bundle(bundle, outside.anchor)


def test_skopeo_reads_the_classic_signature_beside_the_image(outside: Any) -> None:
    released = outside.publish()
    bundle = outside.bundle()

    tag = f"sha256-{released.descriptor.digest.hex}.sig"
    manifest = json.loads(run("skopeo", "inspect", "--raw", f"oci:{bundle}:team/app:{tag}"))
    assert manifest["layers"][0]["mediaType"] == "application/vnd.dev.cosign.simplesigning.v1+json"


def test_umoci_unpacks_a_released_image(outside: Any, tmp_path: Path, policy: str) -> None:
    outside.publish(files={"app": b"hello"})
    bundle = outside.bundle()
    # umoci takes one platform's image under a plain tag.
    run("skopeo", policy, "copy", f"oci:{bundle}:team/app:12-20260711.1", f"oci:{tmp_path / 'one'}:app")

    run("umoci", "unpack", "--rootless", "--image", f"{tmp_path / 'one'}:app", str(tmp_path / "root"))

    assert (tmp_path / "root" / "rootfs" / "app").read_bytes() == b"hello"
