"""A real registry on loopback, a client for it, and images made by a builder."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from sallyport.engine import Http
from sallyport.oci import (
    Descriptor,
    Digest,
    Platform,
    build_index,
    build_manifest,
    media_types,
    render_json,
)
from sallyport.registry import RegistryClient, Serving, make_app, serve
from sallyport.store import BlobStore, Store, open_store


@dataclass
class Counted:
    """Passes requests on and notes them."""

    app: ASGIApp
    seen: list[str] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self.seen.append(f"{scope['method']} {scope['path']}")
        await self.app(scope, receive, send)

    def take(self) -> list[str]:
        """What came since the last time."""
        seen, self.seen = self.seen, []
        return seen


@dataclass(frozen=True)
class Builder:
    """Makes images in a store; the same arguments give the same digests."""

    blobs: BlobStore

    def blob(self, data: bytes, media_type: str) -> Descriptor:
        descriptor = Descriptor(media_type, len(data), Digest.of(data))
        self.blobs.put(descriptor.digest, descriptor.size, (data,))
        return descriptor

    def image(self, name: str, *, layers: int = 2, size: int = 3000, platform: str = "linux/amd64") -> Descriptor:
        source = random.Random(f"{name} {platform}")
        made = [self.blob(source.randbytes(size), media_types.OCI_LAYER_GZIP) for _ in range(layers)]
        where = Platform.parse(platform)
        config = {
            "os": where.os,
            "architecture": where.architecture,
            "rootfs": {"type": "layers", "diff_ids": [str(layer.digest) for layer in made]},
        }
        manifest = build_manifest(self.blob(render_json(config), media_types.OCI_CONFIG), made)
        found = self.blob(manifest.raw, manifest.media_type)
        return Descriptor(found.media_type, found.size, found.digest, where)

    def index(self, name: str, platforms: Sequence[str] = ("linux/amd64", "linux/arm64")) -> Descriptor:
        index = build_index([self.image(name, platform=platform) for platform in platforms])
        return self.blob(index.raw, index.media_type)

    def about(
        self, subject: Descriptor, kind: str, text: str, *, annotations: dict[str, str] | None = None
    ) -> Descriptor:
        config = self.blob(b"{}", media_types.OCI_EMPTY)
        layer = self.blob(text.encode(), kind)
        manifest = build_manifest(config, [layer], subject=subject, artifact_type=kind, annotations=annotations or {})
        return self.blob(manifest.raw, manifest.media_type)


@dataclass(frozen=True)
class Site:
    """A store with a registry over it."""

    store: Store
    serving: Serving
    counted: Counted
    client: RegistryClient
    http: Http

    @property
    def url(self) -> str:
        return f"{self.serving.url}/v2/"


@pytest.fixture
def http() -> Iterator[Http]:
    with Http(proxies={}, timeout_s=10, retries=1, sleep=lambda _: None) as client:
        yield client


@pytest.fixture
def site(tmp_path: Path, http: Http) -> Iterator[Site]:
    with open_store(tmp_path / "served") as store:
        counted = Counted(make_app(store))
        with serve(counted) as serving:
            yield Site(store, serving, counted, RegistryClient(http, serving.registry), http)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Store]:
    """A store of our own, from which we push."""
    with open_store(tmp_path / "here") as store:
        yield store


@pytest.fixture
def build(here: Store) -> Builder:
    return Builder(here.blobs)
