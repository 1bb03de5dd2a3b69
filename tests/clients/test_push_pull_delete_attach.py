"""What regctl, oras, buildah, podman and cosign do every day, done to our registry: push, pull, attach, verify, delete."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from sallyport.engine import Http
from sallyport.oci import Digest, load_manifest
from sallyport.registry import RegistryClient, push_image
from sallyport.store import Store, verify_store

if TYPE_CHECKING:
    from tests.clients.conftest import Makes, Served, Shell

pytestmark = [
    pytest.mark.client,
    pytest.mark.skipif(
        os.environ.get("SALLYPORT_CLIENT_TESTS") != "1",
        reason="client tests are switched on by SALLYPORT_CLIENT_TESTS=1",
    ),
]


def test_regctl_copies_with_everything_attached(
    served: Served, other: Served, here: Store, http: Http, run: Shell, made: Makes
) -> None:
    index = made.index(here.blobs)
    push_image(RegistryClient(http, served.registry), "team/app", ["1.0"], here.blobs, index)
    for registry in (served.registry, other.registry):
        run("regctl", "registry", "set", registry, "--tls", "disabled")
    name = f"{served.registry}/team/app:1.0"
    bill = run.folder / "bill.json"
    bill.write_text('{"bomFormat": "CycloneDX"}')
    kind = "application/vnd.cyclonedx+json"
    run("regctl", "artifact", "put", "--subject", name, "--artifact-type", kind, "-m", kind, "-f", str(bill))
    listed = json.loads(run("regctl", "artifact", "list", name, "--format", "raw-body"))
    assert [item["artifactType"] for item in listed["manifests"]] == [kind]

    copied = f"{other.registry}/copied/app:1.0"
    run("regctl", "image", "copy", "--referrers", "--digest-tags", name, copied)
    assert run("regctl", "image", "digest", copied).strip() == str(index.digest)
    assert run("regctl", "artifact", "get", "--subject", copied, "--filter-artifact-type", kind) == bill.read_text()
    run("regctl", "image", "export", copied, "image.tar")
    run("regctl", "image", "import", f"{other.registry}/imported/app:1.0", "image.tar")
    assert other.digest("imported/app", "1.0") == index.digest
    assert run("regctl", "tag", "ls", f"{other.registry}/copied/app").split() == ["1.0"]
    assert set(run("regctl", "repo", "ls", other.registry).split()) == {"copied/app", "imported/app"}
    run("regctl", "tag", "delete", copied)
    assert other.store.state.tag("copied/app", "1.0") is None
    run("regctl", "manifest", "delete", f"{other.registry}/imported/app@{index.digest}")
    assert other.store.state.tag("imported/app", "1.0") is None
    assert verify_store(other.store) == ()


def test_oras_pushes_attaches_discovers_and_copies(
    served: Served, other: Served, run: Shell, made: Makes, here: Store, http: Http
) -> None:
    plain = ("--plain-http",)
    (run.folder / "chart.tgz").write_bytes(os.urandom(100_000))
    name = f"{served.registry}/charts/app:1.0"
    chart = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
    run("oras", "push", *plain, name, "--artifact-type", "application/vnd.example.chart", f"chart.tgz:{chart}")
    (run.folder / "report.json").write_text("{}")
    kind = "application/vnd.example.report"
    run("oras", "attach", *plain, name, "--artifact-type", kind, "report.json:application/json")
    found = json.loads(run("oras", "discover", *plain, "--format", "json", name))
    assert [item["artifactType"] for item in found["referrers"]] == [kind]

    copied = f"{other.registry}/copied/app:1.0"
    run("oras", "cp", "--recursive", "--from-plain-http", "--to-plain-http", name, copied)
    assert other.digest("copied/app", "1.0") == served.digest("charts/app", "1.0")
    again = json.loads(run("oras", "discover", *plain, "--format", "json", copied))
    assert [item["digest"] for item in again["referrers"]] == [item["digest"] for item in found["referrers"]]
    (run.folder / "chart.tgz").rename(run.folder / "sent.tgz")
    run("oras", "pull", *plain, copied)
    assert (run.folder / "chart.tgz").read_bytes() == (run.folder / "sent.tgz").read_bytes()
    # An image, backed up to a layout and restored from it.
    index = made.index(here.blobs)
    push_image(RegistryClient(http, served.registry), "team/app", ["1.0"], here.blobs, index)
    run(
        "oras",
        "cp",
        "--recursive",
        "--from-plain-http",
        "--to-oci-layout",
        f"{served.registry}/team/app:1.0",
        "kept:1.0",
    )
    restored = f"{other.registry}/restored/app:1.0"
    run("oras", "cp", "--recursive", "--from-oci-layout", "--to-plain-http", "kept:1.0", restored)
    assert other.digest("restored/app", "1.0") == index.digest
    assert run("oras", "repo", "tags", *plain, f"{other.registry}/copied/app").split() == ["1.0"]
    run("oras", "manifest", "delete", "--force", *plain, copied)
    run("oras", "tag", *plain, restored, "stable")
    assert other.digest("restored/app", "stable") == index.digest
    assert verify_store(other.store) == ()


def test_cosign_signs_and_verifies_in_our_registry(
    served: Served, here: Store, http: Http, run: Shell, made: Makes
) -> None:
    image = made.image(here.blobs, "linux/amd64")
    push_image(RegistryClient(http, served.registry), "team/app", ["1.0"], here.blobs, image)
    name = f"{served.registry}/team/app@{image.digest}"
    quiet = run.having(COSIGN_PASSWORD="", COSIGN_YES="true")
    quiet("cosign2", "generate-key-pair")
    local = ("--allow-insecure-registry", "--allow-http-registry")
    root = run.folder / "root.json"  # empty, so that cosign 2 asks nobody for one
    root.write_text('{"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1"}')
    for cosign in ("cosign2", "cosign"):
        sign = (cosign, "sign", "--key", "cosign.key", *local)
        config = run.folder / "none.json"
        config.write_text('{"mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json"}')
        offline = ("--tlog-upload=false",) if cosign == "cosign2" else ("--signing-config", str(config))
        quiet(*sign, *offline, name)
        roots = ("--trusted-root", str(root)) if cosign == "cosign2" else ()
        verify = (cosign, "verify", "--key", "cosign.pub", "--insecure-ignore-tlog=true", *roots, *local)
        assert str(image.digest) in quiet(*verify, name)
    stranger = run.having(COSIGN_PASSWORD="", COSIGN_YES="true")
    stranger("cosign2", "generate-key-pair", "--output-key-prefix", "other")
    verify = ("cosign2", "verify", "--key", "other.pub", "--insecure-ignore-tlog=true", "--trusted-root", str(root))
    with pytest.raises(AssertionError, match="no matching"):
        quiet(*verify, *local, name)


@pytest.fixture
def short_folder() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="sp-") as folder:
        yield folder


@pytest.mark.parametrize("tool", ["buildah", "podman"])
def test_engines_without_a_daemon_build_push_and_pull(
    tool: str, short_folder: str, served: Served, here: Store, http: Http, run: Shell, made: Makes
) -> None:
    """An image that buildah or podman pulled, put a label on, and pushed."""
    image = made.image(here.blobs, "linux/amd64")
    push_image(RegistryClient(http, served.registry), "team/app", ["1.0"], here.blobs, image)
    runroot = short_folder  # podman takes no more than 50 characters
    rest = ("--root", str(run.folder / "graph"), "--runroot", runroot, "--storage-driver", "vfs")
    policy = run.folder / "policy.json"
    policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    open_to_all = ("--signature-policy", str(policy))
    name = f"{served.registry}/team/app:1.0"
    run(tool, *rest, "pull", "--tls-verify=false", *open_to_all, name)
    (run.folder / "Containerfile").write_text(f"FROM {name}\nLABEL team=platform\nCOPY note /note\n")
    (run.folder / "note").write_text("built here")
    build = (
        "build",
        "--isolation",
        "chroot",
        "--pull=never",
        *open_to_all,
        "-t",
        f"{served.registry}/built/app:1.0",
        ".",
    )
    run(tool, *rest, *build)
    push = ("push", "--tls-verify=false", *open_to_all)
    run(tool, *rest, *push, f"{served.registry}/built/app:1.0", f"docker://{served.registry}/built/app:1.0")
    found = served.store.state.tag("built/app", "1.0")
    assert found is not None
    assert load_manifest(served.store.blobs, found.descriptor).digest == found.descriptor.digest
    shown = json.loads(run("skopeo", "inspect", "--tls-verify=false", f"docker://{served.registry}/built/app:1.0"))
    assert shown["Labels"]["team"] == "platform"
    # What it takes as the image's own layers are ours, to the digest.
    base = json.loads(run("skopeo", "inspect", "--tls-verify=false", f"docker://{name}"))
    assert Digest.parse(shown["Digest"]) == found.descriptor.digest
    assert len(shown["Layers"]) == len(base["Layers"]) + 1
    assert verify_store(served.store) == ()
