"""Our registry as skopeo, umoci and crane see it, and docker-registry as our client and mirror see it."""

from __future__ import annotations

import ipaddress
import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from starlette.types import Receive, Scope, Send

from sallyport.engine import Http
from sallyport.errors import NotFoundError, UnreachableError
from sallyport.mirror import make_selector, mirror
from sallyport.oci import (
    Descriptor,
    Digest,
    Manifest,
    build_manifest,
    load_manifest,
    media_types,
    reachable,
)
from sallyport.registry import RegistryClient, make_app, push_image, serve
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


# --- our server -------------------------------------------------------------------------------


def test_skopeo_pulls_and_pushes_every_platform(
    served: Served, other: Served, here: Store, http: Http, run: Shell, made: Makes
) -> None:
    index = made.index(here.blobs)
    push_image(RegistryClient(http, served.registry), "team/app", ["1.0"], here.blobs, index)
    source = f"docker://{served.registry}/team/app:1.0"
    shown = json.loads(run("skopeo", "inspect", "--tls-verify=false", source))
    assert (shown["Digest"], shown["RepoTags"], shown["Os"]) == (str(index.digest), ["1.0"], "linux")
    raw = run("skopeo", "inspect", "--raw", "--tls-verify=false", source)
    assert raw.encode() == load_manifest(here.blobs, index).raw

    copy = ("skopeo", "--insecure-policy", "copy", "--all")
    run(*copy, "--src-tls-verify=false", source, "oci:pulled:1.0")
    run(*copy, "--dest-tls-verify=false", "oci:pulled:1.0", f"docker://{other.registry}/copied/app:1.0")
    assert other.digest("copied/app", "1.0") == index.digest
    assert verify_store(other.store) == ()
    # Again, with everything there already, and straight from one registry to the other.
    run(*copy, "--dest-tls-verify=false", "oci:pulled:1.0", f"docker://{other.registry}/copied/app:again")
    run(*copy, "--src-tls-verify=false", "--dest-tls-verify=false", source, f"docker://{other.registry}/third/app:1.0")
    assert other.digest("third/app", "1.0") == index.digest
    run("skopeo", "delete", "--tls-verify=false", f"docker://{other.registry}/copied/app:again")
    assert other.store.state.tag("copied/app", "again") is None


def test_umoci_unpacks_what_skopeo_pulled(served: Served, here: Store, http: Http, run: Shell, made: Makes) -> None:
    image = made.image(here.blobs, "linux/amd64")
    push_image(RegistryClient(http, served.registry), "team/app", ["1.0"], here.blobs, image)
    source = f"docker://{served.registry}/team/app:1.0"
    run("skopeo", "--insecure-policy", "copy", "--src-tls-verify=false", source, "oci:pulled:1.0")
    run("umoci", "unpack", "--rootless", "--image", "pulled:1.0", "bundle")
    assert (run.folder / "bundle/rootfs/layer1/name").read_text() == "linux/amd64 1"


def test_skopeo_syncs_to_and_from_our_registry(
    served: Served, other: Served, here: Store, http: Http, run: Shell, made: Makes
) -> None:
    client = RegistryClient(http, served.registry)
    images = {tag: made.image(here.blobs, "linux/amd64") for tag in ("1.0", "1.1")}
    for tag, image in images.items():
        push_image(client, "team/app", [tag], here.blobs, image)
    sync = ("skopeo", "--insecure-policy", "sync", "--src-tls-verify=false", "--dest-tls-verify=false")
    run(*sync, "--src", "docker", "--dest", "dir", f"{served.registry}/team/app", "synced")
    run(*sync, "--src", "dir", "--dest", "docker", "synced", f"{other.registry}/from-disk")
    run(*sync, "--src", "docker", "--dest", "docker", f"{served.registry}/team/app", f"{other.registry}/from-registry")
    for tag, image in images.items():
        assert other.digest("from-disk/app", tag) == image.digest
        assert other.digest("from-registry/app", tag) == image.digest


def test_crane_finds_nothing_wrong(
    served: Served, other: Served, here: Store, http: Http, run: Shell, made: Makes
) -> None:
    index = made.index(here.blobs)
    push_image(RegistryClient(http, served.registry), "team/app", ["1.0"], here.blobs, index)
    name = f"{served.registry}/team/app:1.0"
    assert run("crane", "digest", name).strip() == str(index.digest)
    assert run("crane", "ls", f"{served.registry}/team/app").split() == ["1.0"]
    assert run("crane", "catalog", served.registry).split() == ["team/app"]
    assert run("crane", "manifest", name).encode().strip() == load_manifest(here.blobs, index).raw
    for platform in made.platforms:
        assert "PASS" in run("crane", "validate", "--remote", name, "--platform", platform)

    run("crane", "pull", "--platform", "linux/arm64", "--format", "oci", name, "pulled")
    run("crane", "push", "pulled", f"{other.registry}/pushed/app:1.0")
    assert "PASS" in run("crane", "validate", "--remote", f"{other.registry}/pushed/app:1.0")
    run("crane", "pull", name, "image.tar")
    run("crane", "push", "image.tar", f"{other.registry}/pushed/app:tar")
    run("crane", "copy", name, f"{other.registry}/copied/app:1.0")
    assert other.digest("copied/app", "1.0") == index.digest
    # A mount from one repository to another, a second name, and a name less.
    run("crane", "copy", f"{other.registry}/copied/app:1.0", f"{other.registry}/mounted/app:1.0")
    run("crane", "tag", f"{other.registry}/copied/app:1.0", "latest")
    assert run("crane", "ls", f"{other.registry}/copied/app").split() == ["1.0", "latest"]
    run("crane", "delete", f"{other.registry}/copied/app:latest")
    assert run("crane", "ls", f"{other.registry}/copied/app").split() == ["1.0"]
    assert verify_store(other.store) == ()


def test_crane_cannot_move_a_released_tag(served: Served, here: Store, http: Http, run: Shell, made: Makes) -> None:
    client = RegistryClient(http, served.registry)
    released = made.image(here.blobs, "linux/amd64")
    push_image(client, "team/app", ["1.0-20260711.1"], here.blobs, released)
    push_image(client, "team/app", ["other"], here.blobs, made.image(here.blobs, "linux/amd64"))
    with pytest.raises(AssertionError, match="DENIED"):
        run("crane", "tag", f"{served.registry}/team/app:other", "1.0-20260711.1")
    assert served.digest("team/app", "1.0-20260711.1") == released.digest


def test_tools_speak_tls_and_http2_with_it(here: Store, run: Shell, made: Makes) -> None:
    certificate, key = make_certificate(run.folder)
    app = make_app(here)
    versions: set[str] = set()

    async def noting(scope: Scope, receive: Receive, send: Send) -> None:
        versions.add(scope["http_version"])
        await app(scope, receive, send)

    with serve(noting, certificate=certificate, key=key) as serving, Http(proxies={}, ca=certificate) as http:
        client = RegistryClient(http, serving.registry, plain_http=False)
        push_image(client, "team/app", ["1.0"], here.blobs, made.image(here.blobs, "linux/amd64", megabytes=5))
        name = f"{serving.registry}/team/app:1.0"
        trusting = run.having(SSL_CERT_FILE=str(certificate))
        assert "PASS" in trusting("crane", "validate", "--remote", name)
        trusting("skopeo", "--insecure-policy", "copy", f"docker://{name}", "oci:pulled:1.0")
        trusting("skopeo", "--insecure-policy", "copy", "oci:pulled:1.0", f"docker://{serving.registry}/pushed/app:1.0")
        with pytest.raises(AssertionError, match="certificate"):
            run("skopeo", "inspect", f"docker://{name}")
    assert "2" in versions


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """An authority that vouches for 127.0.0.1 itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = folder / "certificate.pem", folder / "key.pem"
    files[0].write_bytes(made.public_bytes(Encoding.PEM))
    files[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return files


# --- our client -------------------------------------------------------------------------------


@pytest.fixture
def distribution(tmp_path: Path, run: Shell) -> Iterator[str]:
    """docker-registry, which has neither referrers nor a release of this decade's specification."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        registry = f"127.0.0.1:{free.getsockname()[1]}"
    config = {
        "version": 0.1,
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(tmp_path / "distribution")}, "delete": {"enabled": True}},
        "http": {"addr": registry},
    }
    path = tmp_path / "config.yml"
    path.write_text(json.dumps(config))
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([run.program("docker-registry"), "serve", str(path)], stdout=log, stderr=log)
    try:
        with Http(proxies={}, timeout_s=1, retries=0) as http:
            until = time.monotonic() + 20
            while True:
                try:
                    RegistryClient(http, registry).ping()
                    break
                except UnreachableError:
                    assert process.poll() is None, (tmp_path / "log").read_text()
                    assert time.monotonic() < until, "docker-registry did not answer"
                    time.sleep(0.02)
        yield registry
    finally:
        process.kill()
        process.wait()


def test_our_client_pushes_to_and_pulls_from_docker_registry(
    distribution: str, here: Store, http: Http, run: Shell, made: Makes
) -> None:
    client = RegistryClient(http, distribution)
    index = made.index(here.blobs)
    push_image(client, "team/app", ["1.0", "latest"], here.blobs, index)
    assert push_image(client, "team/app", ["1.0"], here.blobs, index) == 0
    found = client.head("team/app", "1.0")
    assert found is not None
    assert found.digest == index.digest
    assert sorted(client.tags("team/app")) == ["1.0", "latest"]
    for item in reachable(here.blobs, index):
        if item.media_type in media_types.MANIFESTS | media_types.INDEXES:
            assert client.manifest("team/app", str(item.digest)).raw == load_manifest(here.blobs, item).raw
        else:
            whole = b"".join(here.blobs.chunks(item.digest))
            assert b"".join(client.blob("team/app", item.digest)) == whole
            assert b"".join(client.blob("team/app", item.digest, offset=len(whole) // 2)) == whole[len(whole) // 2 :]
    manifest = client.manifest("team/app", str(make_first(here, index).digest))
    assert isinstance(manifest, Manifest)
    assert client.mount("second/app", manifest.layers[0].digest, "team/app")
    assert not client.mount("second/app", Digest.of(b"nothing"), "team/app")
    assert "PASS" in run("crane", "validate", "--remote", f"{distribution}/team/app:1.0")
    assert client.delete_manifest("team/app", str(index.digest))
    assert client.head("team/app", "1.0") is None
    with pytest.raises(NotFoundError):
        client.manifest("team/app", "1.0")


def make_first(here: Store, index: Descriptor) -> Descriptor:
    return reachable(here.blobs, index)[3]  # config, two layers, then their manifest


def test_referrers_reach_docker_registry_by_their_tag(distribution: str, here: Store, http: Http, made: Makes) -> None:
    client = RegistryClient(http, distribution)
    image = made.image(here.blobs, "linux/amd64")
    push_image(client, "team/app", ["1.0"], here.blobs, image)
    empty = made.blob(here.blobs, b"{}", media_types.OCI_EMPTY)
    for text in ("one", "two"):
        layer = made.blob(here.blobs, text.encode(), "application/vnd.example.bill")
        about = build_manifest(empty, [layer], subject=image, artifact_type="application/vnd.example.bill")
        push_image(client, "team/app", [], here.blobs, made.blob(here.blobs, about.raw, about.media_type))
    found = client.referrers("team/app", image.digest)
    assert [item.artifact_type for item in found] == ["application/vnd.example.bill"] * 2


def test_we_mirror_docker_registry_and_then_it_costs_a_head_and_a_look_for_signatures(
    distribution: str, here: Store, http: Http, served: Served, made: Makes
) -> None:
    client = RegistryClient(http, distribution)
    indexes = {tag: made.index(here.blobs) for tag in ("1.0", "1.1")}
    for tag, index in indexes.items():
        push_image(client, "team/app", [tag], here.blobs, index)
    selector = make_selector(f"{distribution}/team/app", ["1.0", "1.1"], to="mirrored/app")
    done = mirror(lambda _: client, [selector], served.store)
    assert {one.tag: one.descriptor.digest for one in done} == {tag: index.digest for tag, index in indexes.items()}
    assert all(one.changed for one in done)
    assert verify_store(served.store) == ()
    again = mirror(lambda _: client, [selector], served.store)
    assert [(one.bytes, one.changed) for one in again] == [(0, False)] * 2
    # A HEAD and a look for new signatures; on some days for those of its two images, or for a first one, too.
    assert all(2 <= one.requests <= 5 for one in again)
    # And what was mirrored is served at once.
    ours = RegistryClient(http, served.registry)
    assert ours.manifest("mirrored/app", "1.0").digest == indexes["1.0"].digest
