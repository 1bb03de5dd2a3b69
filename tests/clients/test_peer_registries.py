"""Registries of others as sources and destinations: docker-registry (2.8), distribution 3 and zot, all real.

zot is no Go module that can be installed; where it is not on PATH those tests skip and say so.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sallyport.deliver import Attachment, Item, deliver
from sallyport.engine import Http, Threads
from sallyport.errors import UnknownMediaTypeError, UnreachableError
from sallyport.mirror import make_selector, mirror
from sallyport.oci import (
    Descriptor,
    Digest,
    Index,
    Manifest,
    build_index,
    build_manifest,
    load_manifest,
    media_types,
    reachable,
    render_json,
)
from sallyport.registry import Endpoint, Mirror, Reach, RegistryClient, Rule, open_clients, plan_push, push_image
from sallyport.sign import classic_tag
from sallyport.store import Store, open_store, verify_store

if TYPE_CHECKING:
    from tests.clients.conftest import Makes, Shell

pytestmark = [
    pytest.mark.client,
    pytest.mark.skipif(
        os.environ.get("SALLYPORT_CLIENT_TESTS") != "1",
        reason="client tests are switched on by SALLYPORT_CLIENT_TESTS=1",
    ),
]
PEERS = ["docker-registry", "distribution", "zot"]
BILL = "application/vnd.example.bill"


@dataclass(frozen=True)
class Peer:
    kind: str
    registry: str


def _distribution(folder: Path, registry: str) -> tuple[str, Any]:
    config = {
        "version": 0.1,
        "log": {"level": "error"},
        "compatibility": {"schema1": {"enabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "blobs")}, "delete": {"enabled": True}},
        "http": {"addr": registry},
    }
    return "config.yml", config


def _zot(folder: Path, registry: str) -> tuple[str, Any]:
    host, _, port = registry.rpartition(":")
    config = {
        "distSpecVersion": "1.1.1",
        "storage": {"rootDirectory": str(folder / "blobs"), "gc": False, "dedupe": True},
        "http": {"address": host, "port": port, "compat": ["docker2s2"]},
        "log": {"level": "error"},
    }
    return "config.json", config


@pytest.fixture
def start(tmp_path: Path, run: Shell) -> Iterator[Callable[..., Peer]]:
    """Runs a registry of others on a port of its own."""
    with ExitStack() as stack:

        def begin(kind: str, tls: dict[str, Any] | None = None) -> Peer:
            if kind == "zot" and shutil.which("zot") is None:
                pytest.skip("zot is not on PATH; build it from its repository to run this, too")
            folder = tmp_path / kind
            folder.mkdir()
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                registry = f"127.0.0.1:{free.getsockname()[1]}"
            name, config = (_zot if kind == "zot" else _distribution)(folder, registry)
            if kind == "distribution":
                del config["compatibility"]  # version 3 has forgotten schema 1
            if tls is not None:
                config["http"]["tls"] = tls
            (folder / name).write_text(json.dumps(config))
            with (folder / "log").open("wb") as log:
                process = subprocess.Popen(
                    [run.program(kind), "serve", str(folder / name)], stdout=log, stderr=log, cwd=folder
                )
            stack.callback(process.wait)
            stack.callback(process.kill)
            until = time.monotonic() + 20
            host, _, port = registry.rpartition(":")
            while True:
                try:
                    with socket.create_connection((host, int(port)), timeout=1):
                        return Peer(kind, registry)
                except OSError:
                    assert process.poll() is None, (folder / "log").read_text()
                    assert time.monotonic() < until, f"{kind} did not answer"
                    time.sleep(0.02)

        yield begin


@pytest.fixture(params=PEERS)
def peer(request: pytest.FixtureRequest, start: Callable[..., Peer]) -> Peer:
    return start(request.param)


def about(here: Store, made: Makes, subject: Descriptor, text: str) -> Descriptor:
    config = made.blob(here.blobs, b"{}", media_types.OCI_EMPTY)
    layer = made.blob(here.blobs, text.encode(), BILL)
    manifest = build_manifest(
        config, [layer], subject=subject, artifact_type=BILL, annotations={"org.example.text": text}
    )
    return made.blob(here.blobs, manifest.raw, manifest.media_type)


def test_what_is_delivered_there_comes_back_to_the_last_byte(
    peer: Peer, here: Store, http: Http, made: Makes, tmp_path: Path
) -> None:
    index = made.index(here.blobs)
    document = load_manifest(here.blobs, index)
    assert isinstance(document, Index)
    bills = [about(here, made, one, f"bill of {one.digest}") for one in (index, *document.manifests)]
    config = made.blob(here.blobs, render_json({"rootfs": {"diff_ids": [], "type": "layers"}}), media_types.OCI_CONFIG)
    layer = made.blob(here.blobs, b"{}", "application/vnd.dev.cosign.simplesigning.v1+json")
    manifest = build_manifest(config, [layer])
    signed = made.blob(here.blobs, manifest.raw, manifest.media_type)
    subjects = (index.digest, *(one.digest for one in document.manifests))
    attached = [Attachment(bill, subject) for bill, subject in zip(bills, subjects, strict=True)]
    attached.append(Attachment(signed, index.digest, classic_tag(index.digest)))
    item = Item("team/app", ("1.0", "stable"), index, tuple(attached))

    client = RegistryClient(http, peer.registry)
    names = {"team/app": "mirror/team/app"}
    (sent,) = deliver(client, names, [item], here.blobs, executor=Threads(4))
    assert (sent.state, sent.problem) == ("sent", "")
    (again,) = deliver(client, names, [item], here.blobs)
    assert (again.state, again.bytes) == ("there", 0)

    with open_store(tmp_path / "back") as back:
        selector = make_selector(f"{peer.registry}/mirror/team/app", ["1.0"], to="team/app")
        mirror(lambda name: RegistryClient(http, name), (selector,), back)
        tag = back.state.tag("team/app", "1.0")
        assert tag is not None
        assert tag.descriptor.digest == index.digest
        for one in (index, signed, *bills):
            for below in reachable(here.blobs, one):
                assert b"".join(back.blobs.chunks(below.digest)) == b"".join(here.blobs.chunks(below.digest))
        for subject, bill in zip(subjects, bills, strict=True):
            assert [held.descriptor.digest for held in back.state.referrers("team/app", subject)] == [bill.digest]
        assert back.state.tag("team/app", classic_tag(index.digest)) is not None
        assert verify_store(back) == ()


def test_an_image_that_is_gone_below_its_index_is_found_and_mended(
    peer: Peer, here: Store, http: Http, made: Makes
) -> None:
    index = made.index(here.blobs)
    client = RegistryClient(http, peer.registry)
    push_image(client, "team/app", ["1.0"], here.blobs, index, executor=Threads(4))
    assert plan_push(client, "team/app", ["1.0"], here.blobs, index).empty
    document = load_manifest(here.blobs, index)
    assert isinstance(document, Index)
    lost = document.manifests[0]
    if peer.kind == "zot":
        pytest.skip("zot deletes no manifest that an index refers to")
    assert client.delete_manifest("team/app", str(lost.digest))
    plan = plan_push(client, "team/app", ["1.0"], here.blobs, index)
    assert [one.digest for one in plan.manifests] == [lost.digest]
    assert plan.wanted == ()
    push_image(client, "team/app", ["1.0"], here.blobs, index)
    assert client.manifest("team/app", str(lost.digest)).raw == load_manifest(here.blobs, lost).raw


def test_eight_who_attach_at_once_lose_nothing(peer: Peer, here: Store, http: Http, made: Makes) -> None:
    image = made.image(here.blobs, "linux/amd64")
    push_image(RegistryClient(http, peer.registry), "team/app", ["1.0"], here.blobs, image)
    bills = [about(here, made, image, f"bill {number}") for number in range(8)]
    errors: list[BaseException] = []

    def attach(bill: Descriptor) -> None:
        try:
            push_image(RegistryClient(http, peer.registry), "team/app", [], here.blobs, bill)
        except BaseException as error:  # noqa: BLE001 - a thread's error is told below
            errors.append(error)

    threads = [threading.Thread(target=attach, args=(bill,)) for bill in bills]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    found = RegistryClient(http, peer.registry).referrers("team/app", image.digest)
    assert {one.digest for one in found} == {bill.digest for bill in bills}


class Kept:
    """Sessions in a dictionary: what a database would keep."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}

    def begun(self, key: str) -> str:
        return self.known.get(key, "")

    def remember(self, key: str, url: str) -> None:
        self.known[key] = url

    def forget(self, key: str) -> None:
        self.known.pop(key, None)


class KilledError(BaseException):
    """As SIGKILL leaves things."""


def test_a_killed_push_goes_on_in_the_middle_of_a_blob(peer: Peer, http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sallyport.registry.upload.CHUNK", 1 << 20)
    data = os.urandom(5 << 20)
    digest, kept = Digest.of(data), Kept()

    def dying() -> Iterator[bytes]:
        yield data[: (3 << 20) + 1000]
        raise KilledError

    with pytest.raises(KilledError):
        RegistryClient(http, peer.registry, sessions=kept).push_blob("app", digest, len(data), dying)
    assert kept.known
    client = RegistryClient(http, peer.registry, sessions=kept)
    assert client.push_blob("app", digest, len(data), lambda: [data]) == 2 << 20
    assert b"".join(client.blob("app", digest)) == data
    assert kept.known == {}


def test_a_mount_spares_the_bytes(peer: Peer, here: Store, http: Http, made: Makes) -> None:
    image = made.image(here.blobs, "linux/amd64")
    client = RegistryClient(http, peer.registry)
    push_image(client, "first/app", ["1"], here.blobs, image)
    sent = push_image(client, "second/app", ["1"], here.blobs, image, mount_from="first/app")
    assert sent == image.size


def test_a_docker_image_with_gzip_and_zstd_layers_crosses_unchanged(
    peer: Peer, here: Store, http: Http, made: Makes, tmp_path: Path
) -> None:
    import zstandard

    oci = load_manifest(here.blobs, made.image(here.blobs, "linux/amd64"))
    assert isinstance(oci, Manifest)
    config = made.blob(here.blobs, b"".join(here.blobs.chunks(oci.config.digest)), media_types.DOCKER_CONFIG)
    first = Descriptor(media_types.DOCKER_LAYER_GZIP, oci.layers[0].size, oci.layers[0].digest)
    packed = zstandard.compress(b"".join(here.blobs.chunks(oci.layers[1].digest)))
    second = made.blob(here.blobs, packed, media_types.DOCKER_LAYER_ZSTD)
    manifest = build_manifest(config, [first, second], media_type=media_types.DOCKER_MANIFEST)
    image = made.blob(here.blobs, manifest.raw, manifest.media_type)
    several = build_index([image], media_type=media_types.DOCKER_LIST)
    listed = made.blob(here.blobs, several.raw, several.media_type)
    client = RegistryClient(http, peer.registry)
    push_image(client, "docker/app", ["1.0"], here.blobs, listed)
    with open_store(tmp_path / "back") as back:
        selector = make_selector(f"{peer.registry}/docker/app", ["1.0"], to="docker/app")
        mirror(lambda name: RegistryClient(http, name), (selector,), back)
        tag = back.state.tag("docker/app", "1.0")
        assert tag is not None
        assert tag.descriptor.digest == listed.digest
        assert load_manifest(back.blobs, image).raw == manifest.raw
        assert back.blobs.has(second.digest)
        assert verify_store(back) == ()


def test_a_schema_1_manifest_is_refused_in_clear_words(
    start: Callable[..., Peer], here: Store, http: Http, run: Shell, made: Makes, tmp_path: Path
) -> None:
    peer = start("docker-registry")
    client = RegistryClient(http, peer.registry)
    push_image(client, "app", ["new"], here.blobs, made.image(here.blobs, "linux/amd64"))
    place = f"docker://{peer.registry}/app"
    secure = ("--src-tls-verify=false", "--dest-tls-verify=false")
    run("skopeo", "--insecure-policy", "copy", *secure, "--format", "v2s1", f"{place}:new", f"{place}:old")
    for ask in (client.head, client.manifest):
        with pytest.raises(UnknownMediaTypeError) as caught:
            ask("app", "old")
        assert "v1+prettyjws" in caught.value.message or "schemaVersion 1" in caught.value.message
    with open_store(tmp_path / "back") as back:
        selector = make_selector(f"{peer.registry}/app", ["old"], to="app")
        with pytest.raises(UnknownMediaTypeError, match="app:old"):
            mirror(lambda name: RegistryClient(http, name), (selector,), back)
        assert back.state.tag("app", "old") is None


@pytest.mark.parametrize("kind", ["docker-registry", "distribution"])
def test_a_registry_that_asks_for_our_certificate_and_has_a_mirror_that_lacks_much(
    kind: str, start: Callable[..., Peer], here: Store, http: Http, made: Makes, authorities: Any, tmp_path: Path
) -> None:
    maker = authorities.Authority(tmp_path / "made")
    pair, me = maker.issue("127.0.0.1"), maker.issue("client.example")
    tls = {"certificate": str(pair.certificate), "key": str(pair.key), "clientcas": [str(maker.file)]}
    main = start(kind, tls)
    near = start("docker-registry" if kind == "distribution" else "distribution")
    place = Endpoint(main.registry, plain_http=False, authorities=(maker.file,), certificate=me.certificate, key=me.key)
    stranger = Endpoint(main.registry, plain_http=False, authorities=(maker.file,))
    index = made.index(here.blobs)
    document = load_manifest(here.blobs, index)
    assert isinstance(document, Index)
    nobody = Reach((Rule("registry.example", stranger),))
    with open_clients(nobody, environ={}) as client_for, pytest.raises(UnreachableError, match="cannot reach"):
        client_for("registry.example").ping()
    reach = Reach((Rule("registry.example", place, (Mirror(Endpoint(f"{near.registry}/cache")),)),))
    with open_clients(reach, environ={}) as client_for, open_store(tmp_path / "back") as back:
        push_image(client_for("registry.example"), "team/app", ["1.0"], here.blobs, index, executor=Threads(4))
        # The mirror has one image of the two, and no index.
        push_image(RegistryClient(http, near.registry), "cache/team/app", [], here.blobs, document.manifests[0])
        selector = make_selector("registry.example/team/app", ["1.0"], to="team/app")
        mirror(client_for, (selector,), back, executor=Threads(4))
        tag = back.state.tag("team/app", "1.0")
        assert tag is not None
        assert tag.descriptor.digest == index.digest
        assert verify_store(back) == ()
