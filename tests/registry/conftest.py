"""A real registry on loopback, a client for it, and images made by a builder."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

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
def ask(site: Site) -> Callable[..., tuple[int, Any, bytes]]:
    """Sends one request as it is and gives status, headers and body."""

    def send(method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any, bytes]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        url = path if path.startswith("http") else site.serving.url + path
        with site.http.request(method, url, headers=named, body=body, redirects=False, idempotent=False) as response:
            return response.status, response.headers, response.read(10_000_000)

    return send


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Store]:
    """A store of our own, from which we push."""
    with open_store(tmp_path / "here") as store:
        yield store


@pytest.fixture
def build(here: Store) -> Builder:
    return Builder(here.blobs)


@dataclass(frozen=True)
class Seen:
    command: str
    path: str
    headers: dict[str, str]
    body: bytes


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Odd

    def _answer(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.server.seen.append(Seen(self.command, self.path, dict(self.headers.items()), self.body))
        self.server.answer(self)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815 - the library's names

    def say(self, status: int, body: bytes = b"", *, promise: int | None = None, **headers: str) -> None:
        """Answer; with ``promise`` more bytes are announced than sent, and the line is cut."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body) if promise is None else promise))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.close_connection = self.close_connection or promise is not None

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Silent."""


class Odd(ThreadingHTTPServer):
    """A registry that does what a test tells it to, however wrong."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[Seen] = []
        self.answer: Callable[[Handler], None] = lambda handler: handler.say(404)

    @property
    def registry(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    @property
    def url(self) -> str:
        return f"http://{self.registry}"


@pytest.fixture
def make_odd() -> Iterator[Callable[[], Odd]]:
    running: list[tuple[Odd, threading.Thread]] = []

    def make() -> Odd:
        odd = Odd()
        thread = threading.Thread(target=odd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        running.append((odd, thread))
        return odd

    yield make
    for odd, thread in running:
        odd.shutdown()
        thread.join()
        odd.server_close()


@pytest.fixture
def odd(make_odd: Callable[[], Odd]) -> Odd:
    return make_odd()
