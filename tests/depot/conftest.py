"""What the tests of the depot share: a tiny upstream on loopback, and a depot that is served."""

from __future__ import annotations

import http.server
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sallyport.config.gateway import PackagesSection
from sallyport.depot import depot_routes
from sallyport.engine import Http
from sallyport.registry import serve
from sallyport.store import DirectoryStore


class Upstream:
    """Serves what stands in ``pages``: path -> body, or (media type, body). ``asked`` lists the requests."""

    def __init__(self) -> None:
        self.pages: dict[str, bytes | tuple[str, bytes]] = {}
        self.asked: list[str] = []
        self.down = False
        upstream = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                upstream.asked.append(self.path)
                page = upstream.pages.get(self.path)
                kind, body = page if isinstance(page, tuple) else ("application/octet-stream", page)
                status = 503 if upstream.down else 404 if body is None else 200
                self.send_response(status)
                self.send_header("Content-Type", kind)
                content = b"" if body is None or upstream.down else body
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@dataclass
class Answer:
    status: int
    body: bytes = field(repr=False)
    headers: Mapping[str, str]

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass
class Depot:
    """A depot that runs, and the time that it believes it is."""

    url: str
    clock: list[datetime]
    cache: DirectoryStore

    def get(self, path: str, **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(f"{self.url}{path}", headers=named)
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                return Answer(response.status, response.read(), dict(response.headers))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.read(), dict(error.headers))

    def later(self, **span: float) -> None:
        self.clock[0] += timedelta(**span)


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    made = Upstream()
    yield made
    made.close()


@pytest.fixture
def depot(tmp_path: Path) -> Iterator[Callable[..., Depot]]:
    """``depot(kind, upstream=…, allow=(…))`` starts one; the same cache folder for all of a test."""
    from starlette.applications import Starlette

    with ExitStack() as stack:

        def start(kind: Any, **settings: Any) -> Depot:
            now = settings.pop("now", datetime(2026, 7, 20, 12, 0, tzinfo=UTC))
            http = stack.enter_context(Http(proxies={}, retries=0, timeout_s=10, sleep=lambda _: None))
            cache = DirectoryStore(tmp_path / "depot-cache", durable=False)
            clock = [now]
            section = PackagesSection(name="here", kind=kind, **settings)
            routes = depot_routes([section], http, cache, lambda: clock[0], folder=tmp_path)
            serving = stack.enter_context(serve(Starlette(routes=list(routes))))
            return Depot(f"{serving.url}/packages/here", clock, cache)

        yield start
