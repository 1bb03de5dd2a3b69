"""The client against a real server on loopback."""

from __future__ import annotations

import contextlib
import logging
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from sallyport.engine import Http
from sallyport.engine.http import LONGEST_WAIT_S, _retry_after
from sallyport.errors import OversizeError, UnreachableError, UsageError

Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def _answer(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(length)
        self.server.seen.append(Seen(self.command, self.path, dict(self.headers.items()), body))
        answers = self.server.answers
        (answers.pop(0) if len(answers) > 1 else answers[0])(self)

    do_GET = do_HEAD = do_POST = do_PUT = _answer  # noqa: N815 - the library's names

    def say(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Silent."""


@dataclass
class Seen:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[Answer] = []
        self.seen: list[Seen] = []
        self.connections = 0

    def process_request(self, request: object, client_address: object) -> None:
        self.connections += 1
        super().process_request(request, client_address)  # type: ignore[arg-type]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextlib.contextmanager
def running() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    with running() as one:
        yield one


@dataclass
class Naps:
    slept: list[float] = field(default_factory=list)

    def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)


@pytest.fixture
def naps() -> Naps:
    return Naps()


@pytest.fixture
def http(naps: Naps) -> Iterator[Http]:
    with Http(proxies={}, timeout_s=5, sleep=naps) as client:
        yield client


def saying(status: int, body: bytes = b"", **headers: str) -> Answer:
    return lambda handler: handler.say(status, body, **headers)


def test_a_body_is_read_in_bounded_pieces_over_one_connection(server: Server, http: Http) -> None:
    server.answers = [saying(200, b"x" * 3_000_000, ETag='"one"')]
    for _ in range(3):
        with http.request("GET", f"{server.url}/a") as response:
            pieces = list(response.chunks())
        assert response.headers["etag"] == '"one"'
        assert sum(map(len, pieces)) == 3_000_000
        assert max(map(len, pieces)) <= 1 << 20
    assert server.connections == 1


def test_compressed_bytes_stay_as_they_are(server: Server, http: Http) -> None:
    server.answers = [saying(200, b"\x1f\x8bnot inflated", Content_Encoding="gzip")]
    with http.request("GET", server.url) as response:
        assert response.read(100) == b"\x1f\x8bnot inflated"


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_longer_answer_than_allowed_is_refused(server: Server, http: Http, framing: str) -> None:
    def answer(handler: Handler) -> None:
        if framing == "length":
            return handler.say(200, b"x" * 2000)
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(b"7d0\r\n" + b"x" * 2000 + b"\r\n0\r\n\r\n")
        return None

    server.answers = [answer]
    with http.request("GET", server.url) as response, pytest.raises(OversizeError):
        response.read(1999)
    with http.request("GET", server.url) as response:
        assert len(response.read(2000)) == 2000


def test_a_short_answer_says_who_broke_off(server: Server, http: Http) -> None:
    def answer(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "100")
        handler.end_headers()
        handler.wfile.write(b"only this")
        handler.close_connection = True

    server.answers = [answer]
    with http.request("GET", server.url) as response, pytest.raises(UnreachableError, match=r"127\.0\.0\.1"):
        response.read(1000)


def test_a_busy_host_is_asked_again_after_the_time_it_names(server: Server, http: Http, naps: Naps) -> None:
    server.answers = [saying(429, Retry_After="7"), saying(503), saying(502), saying(200, b"at last")]
    with http.request("GET", server.url) as response:
        assert response.read(100) == b"at last"
    assert naps.slept[0] == 7
    assert all(0 < nap < 2 for nap in naps.slept[1:])
    assert len(server.seen) == 4


def test_a_host_that_stays_busy_is_believed_in_the_end(server: Server, http: Http, naps: Naps) -> None:
    server.answers = [saying(503)]
    with http.request("GET", server.url) as response:
        assert response.status == 503
    assert len(server.seen) == 5
    server.answers = [saying(429, Retry_After=str(int(LONGEST_WAIT_S) + 1))]
    naps.slept.clear()
    with http.request("GET", server.url) as response:
        assert response.status == 429
    assert naps.slept == []


def test_what_may_have_been_done_is_not_done_twice(server: Server, http: Http) -> None:
    server.answers = [saying(503)]
    with http.request("POST", server.url, body=b"order") as response:
        assert response.status == 503
    with http.request("PUT", server.url, body=iter([b"once"]), size=4) as response:
        assert response.status == 503
    assert [(seen.method, seen.body) for seen in server.seen] == [("POST", b"order"), ("PUT", b"once")]
    with http.request("POST", server.url, body=b"start", idempotent=True) as response:
        assert response.status == 503
    assert len(server.seen) == 7


def test_credentials_stay_with_their_host(server: Server, http: Http) -> None:
    with running() as other:
        server.answers = [saying(307, Location="/same"), saying(302, Location=f"{other.url}/other")]
        other.answers = [saying(200, b"here")]
        secret = {"authorization": "Bearer secret", "X-Kept": "yes"}
        with http.request("GET", f"{server.url}/first", headers=secret) as response:
            assert response.read(10) == b"here"
            assert response.url == f"{other.url}/other"
        assert server.seen[1].headers["authorization"] == "Bearer secret"
        assert "authorization" not in {name.lower() for name in other.seen[0].headers}
        assert other.seen[0].headers["X-Kept"] == "yes"


def test_a_password_in_the_address_is_sent_and_never_shown(server: Server, http: Http) -> None:
    server.answers = [saying(200)]
    with http.request("GET", server.url.replace("//", "//me:s%20cret@")) as response:
        assert response.url == server.url
    assert server.seen[0].headers["Authorization"] == "Basic bWU6cyBjcmV0"
    with pytest.raises(UnreachableError) as caught, http.request("GET", "http://me:hidden@127.0.0.1:1/?token=hidden"):
        pass
    assert caught.value.message == "cannot reach 127.0.0.1:1: connection refused"


def test_a_circle_of_redirects_ends(server: Server, http: Http) -> None:
    server.answers = [saying(302, Location="/again")]
    with pytest.raises(UnreachableError, match="redirects more than 5 times"), http.request("GET", server.url):
        pass
    assert len(server.seen) == 6
    with http.request("GET", server.url, redirects=False) as response:
        assert response.status == 302


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/", "http://[broken/"])
def test_a_redirect_to_no_http_address_is_not_followed(server: Server, http: Http, location: str) -> None:
    server.answers = [saying(302, Location=location)]
    with pytest.raises(UnreachableError, match="no http or https"), http.request("GET", server.url):
        pass


def test_a_post_is_sent_again_only_where_307_says_so(server: Server, http: Http) -> None:
    server.answers = [saying(307, Location="/b"), saying(201)]
    with http.request("POST", f"{server.url}/a", body=b"x") as response:
        assert response.status == 201
    server.answers = [saying(302, Location="/b")]
    with http.request("POST", f"{server.url}/a", body=b"x") as response:
        assert response.status == 302
    assert [seen.path for seen in server.seen] == ["/a", "/b", "/a"]


def test_a_proxy_is_asked_unless_the_host_is_exempt(
    server: Server, naps: Naps, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers = [saying(200, b"by proxy")]
    place = server.url.partition("//")[2]
    with (
        Http(proxies={"http": f"http://me:pw@{place}"}, no_proxy="direct.example,10.0.0.0/8", retries=0) as http,
        http.request("GET", "http://mirror.example/x") as response,
    ):
        assert response.read(100) == b"by proxy"
        assert not any(http._direct(parts) for parts in map(_split, ["http://a.example/", "http://192.0.2.1/"]))
        assert all(
            http._direct(parts)
            for parts in map(
                _split, ["http://a.direct.example/", "http://10.1.2.3/", "http://[::1]:80/", "http://localhost/"]
            )
        )
    assert server.seen[0].path == "http://mirror.example/x"
    assert server.seen[0].headers["proxy-authorization"] == "Basic bWU6cHc="
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.setenv("no_proxy", "*")
    with Http(retries=0) as http:
        assert http._direct(_split("http://mirror.example/"))


def _split(url: str):  # type: ignore[no-untyped-def]  # noqa: ANN202
    from urllib.parse import urlsplit

    return urlsplit(url)


@pytest.mark.parametrize("url", ["mirror.example/x", "ftp://mirror.example/", "http://", "http://a.example:port/"])
def test_an_address_that_cannot_be_asked_is_a_usage_error(http: Http, url: str) -> None:
    with pytest.raises(UsageError), http.request("GET", url):
        pass


def test_a_header_cannot_smuggle_another(server: Server, http: Http) -> None:
    server.answers = [saying(200)]
    with pytest.raises(UsageError), http.request("GET", server.url, headers={"X-A": "a\r\nX-B: b"}):
        pass
    assert server.seen == []


def test_silence_has_a_limit(naps: Naps) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        with (
            Http(proxies={}, timeout_s=0.05, retries=1, sleep=naps) as http,
            pytest.raises(UnreachableError, match="in time"),
            http.request("GET", f"http://127.0.0.1:{deaf.getsockname()[1]}/"),
        ):
            pass
    assert len(naps.slept) == 1


def test_odd_retry_after_values_are_no_wait() -> None:
    assert [_retry_after(text) for text in ("", "soon", "-4", "٣", "Thu, 01 Jan 1970 00:00:00 GMT")] == [0.0] * 5


def test_importing_the_engine_stays_cheap() -> None:
    code = "import sys, sallyport.engine; sys.exit('urllib3' in sys.modules or 'ssl' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


logging.getLogger("urllib3").setLevel(logging.ERROR)
