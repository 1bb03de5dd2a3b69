"""A site with one released, signed image, and destinations for it."""

from __future__ import annotations

import base64
import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sallyport.bundle import Released
from sallyport.cli.main import run_app
from sallyport.ledger import Ledger
from sallyport.oci import (
    EMPTY_CONFIG,
    Descriptor,
    Digest,
    build_index,
    build_manifest,
    media_types,
    render_json,
)
from sallyport.registry import make_app, serve
from sallyport.sign import classic_tag
from sallyport.site import open_site
from sallyport.store import Store, open_store

SIMPLE = "application/vnd.dev.cosign.simplesigning.v1+json"
BILL = "application/vnd.example.bill"
REPOSITORY, TAG = "library/web", "12-20261124.1"


@pytest.fixture(scope="session")
def products() -> Any:
    """The module tests/deliver/products.py."""
    name = "sallyport_products"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / "products.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def blob(store: Store, data: bytes, media_type: str) -> Descriptor:
    descriptor = Descriptor(media_type, len(data), Digest.of(data))
    store.blobs.put(descriptor.digest, descriptor.size, (data,))
    return descriptor


def signature(store: Store, text: str) -> Descriptor:
    """What cosign keeps under a tag."""
    payload = blob(store, b'{"critical":{}}', SIMPLE)
    layer = Descriptor(
        payload.media_type, payload.size, payload.digest, annotations={"dev.cosignproject.cosign/signature": text}
    )
    config = blob(store, render_json({"rootfs": {"diff_ids": [text], "type": "layers"}}), media_types.OCI_CONFIG)
    manifest = build_manifest(config, [layer])
    return blob(store, manifest.raw, manifest.media_type)


def image(store: Store, text: str) -> Descriptor:
    children = []
    for architecture in ("amd64", "arm64"):
        layer = blob(store, f"{text} {architecture}".encode() * 500, media_types.OCI_LAYER_GZIP)
        value = {
            "os": "linux",
            "architecture": architecture,
            "rootfs": {"type": "layers", "diff_ids": [str(layer.digest)]},
        }
        manifest = build_manifest(blob(store, render_json(value), media_types.OCI_CONFIG), [layer])
        child = blob(store, manifest.raw, manifest.media_type)
        store.state.hold(REPOSITORY, child)
        children.append(child)
    index = build_index(children)
    made = blob(store, index.raw, index.media_type)
    store.state.hold(REPOSITORY, made)
    return made


@dataclass
class Scene:
    """A folder with a configuration, and what the command line says there."""

    folder: Path
    index: Descriptor
    bill: Descriptor
    signed: Descriptor
    capsys: pytest.CaptureFixture[str]

    def configure(self, *destinations: dict[str, Any], **more: Any) -> None:
        value = {
            "side": "inside",
            "destination": "ship-7",
            "deliver": list(destinations),
            **more,
        }
        (self.folder / "sallyport.yaml").write_text(json.dumps(value))

    def deliver(self, *arguments: str, code: int = 0) -> Any:
        self.capsys.readouterr()
        ran = run_app(["deliver", *arguments, "--config", str(self.folder), "--json"])
        said = self.capsys.readouterr()
        assert ran == code, said.err
        return json.loads(said.out)

    def login(self, *hosts: str) -> None:
        auth = base64.b64encode(b"admin:secret").decode()
        (self.folder / "auth.json").write_text(json.dumps({"auths": {host: {"auth": auth} for host in hosts}}))

    def store(self) -> Store:
        return open_store(self.folder / "store")

    def journal(self) -> list[Any]:
        with self.store() as store:
            return [event for event in store.state.events() if event.verb == "delivered"]


@pytest.fixture
def scene(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Scene:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(folder / "auth.json"))
    (folder / "auth.json").write_text("{}")
    (folder / "sallyport.yaml").write_text(json.dumps({"side": "inside", "destination": "ship-7"}))
    with open_site(folder) as site:
        store = site.store
        index = image(store, "web")
        bill_layer = blob(store, b"a bill", BILL)
        blob(store, b"{}", media_types.OCI_EMPTY)
        manifest = build_manifest(EMPTY_CONFIG, [bill_layer], subject=index, artifact_type=BILL)
        bill = blob(store, manifest.raw, manifest.media_type)
        store.state.hold(REPOSITORY, bill, subject=index.digest)
        signed = signature(store, "ours")
        store.state.hold(REPOSITORY, signed)
        store.state.set_tag(REPOSITORY, classic_tag(index.digest), signed)
        store.state.set_tag(REPOSITORY, TAG, index, immutable=True)
        Ledger(store.state).put_release(Released(REPOSITORY, TAG, index, "upstream.example/web:12"))
    return Scene(folder, index, bill, signed, capsys)


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Serves an application made around a registry: ``serving(make)`` gives (product, serving, store)."""
    with ExitStack() as stack:
        count = 0

        def begin(make: Callable[..., Any] | None = None) -> Any:
            nonlocal count
            count += 1
            store = stack.enter_context(open_store(tmp_path / f"there{count}"))
            app = make_app(store)
            product = make(app) if make is not None else app
            return product, stack.enter_context(serve(product)), store

        yield begin
