"""Certificates of our own, authorities, real proxies, and so many requests at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from sallyport.engine import ClientCertificate, Http
from sallyport.engine.slots import Slots
from sallyport.errors import ConfigError, UnreachableError


class Plain(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    location = ""


class Hello(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        assert isinstance(self.server, Plain)
        if self.path == "/away":
            self.send_response(307)
            self.send_header("Location", self.server.location)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Silent."""


@pytest.fixture
def plain() -> Iterator[Plain]:
    server = Plain(("127.0.0.1", 0), Hello)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def authority(authorities: Any, tmp_path: Path) -> Any:
    return authorities.Authority(tmp_path / "authority")


def test_a_host_that_asks_for_our_certificate_gets_it_and_no_other_does(
    authorities: Any, authority: Any, plain: Plain
) -> None:
    where = plain.server_address[0], plain.server_address[1]
    strict = authority.context(authority.issue("127.0.0.1"), clients=True)
    me = authority.issue("client.example")
    with authorities.tunnel(strict, where) as first, authorities.tunnel(strict, where) as second:
        ours = {f"127.0.0.1:{first}": ClientCertificate(me.certificate, me.key)}
        with Http(proxies={}, ca=authority.file, certificates=ours, retries=0, timeout_s=5) as http:
            with http.request("GET", f"https://127.0.0.1:{first}/") as response:
                assert response.read(10) == b"hello"
            with pytest.raises(UnreachableError), http.request("GET", f"https://127.0.0.1:{second}/") as response:
                response.read(10)
            plain.location = f"https://127.0.0.1:{second}/"
            with pytest.raises(UnreachableError), http.request("GET", f"https://127.0.0.1:{first}/away") as response:
                response.read(10)


def test_several_authorities_are_trusted_and_strangers_are_not(
    authorities: Any, authority: Any, plain: Plain, tmp_path: Path
) -> None:
    other = authorities.Authority(tmp_path / "other", "another authority")
    context = authority.context(authority.issue("127.0.0.1"))
    where = plain.server_address[0], plain.server_address[1]
    with authorities.tunnel(context, where) as port:
        url = f"https://127.0.0.1:{port}/"
        with Http(proxies={}, ca=[other.file, authority.file], retries=0) as http, http.request("GET", url) as response:
            assert response.read(10) == b"hello"
        with (
            Http(proxies={}, ca=[other.file], retries=0) as http,
            pytest.raises(UnreachableError) as caught,
            http.request("GET", url),
        ):
            pass
        assert "TLS" in caught.value.message
        assert "ca" in caught.value.mend


def test_files_that_are_no_certificates_are_named(authority: Any, tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("no certificate")
    me = authority.issue("client.example")
    other = authority.issue("other.example")
    locked = authority.locked(me)
    for options in (
        {"ca": text},
        {"ca": tmp_path / "missing"},
        {"certificates": {"a.example": ClientCertificate(text, me.key)}},
        {"certificates": {"a.example": ClientCertificate(me.certificate, other.key)}},
        {"certificates": {"a.example": ClientCertificate(me.certificate, tmp_path / "missing")}},
        {"certificates": {"a.example": ClientCertificate(me.certificate, locked)}},
    ):
        with (
            Http(proxies={}, retries=0, **options) as http,
            pytest.raises(ConfigError) as caught,
            http.request("GET", "https://a.example/"),
        ):
            pass
        assert str(tmp_path) in caught.value.message


def test_https_goes_through_a_proxy_in_a_tunnel_and_http_by_its_whole_address(
    authorities: Any, authority: Any, plain: Plain
) -> None:
    where = plain.server_address[0], plain.server_address[1]
    context = authority.context(authority.issue("mirror.example"), clients=True)
    me = authority.issue("client.example")
    with authorities.tunnel(context, where) as tls:
        names = {"mirror.example:443": tls, "plain.example": plain.server_address[1]}
        with authorities.forward_proxy(names) as proxy:
            ours = {"mirror.example": ClientCertificate(me.certificate, me.key)}
            proxies = {"http": proxy.url, "https": proxy.url}
            with Http(
                proxies=proxies, no_proxy="near.example", ca=authority.file, certificates=ours, retries=0
            ) as http:
                for url in ("https://mirror.example/", "http://plain.example/x"):
                    with http.request("GET", url) as response:
                        assert response.read(10) == b"hello"
                with pytest.raises(UnreachableError, match="proxy"), http.request("GET", "https://unknown.example/"):
                    pass
                assert http._direct(urlsplit("https://near.example/"))
            assert proxy.asked == [
                "CONNECT mirror.example:443",
                "GET http://plain.example/x",
                "CONNECT unknown.example:443",
            ]


def test_no_more_than_so_many_are_at_a_host_at_a_time() -> None:
    slots = Slots(2)
    inside, most, lock = 0, 0, threading.Lock()

    def work(host: str) -> None:
        nonlocal inside, most
        with slots.take(host):
            with lock:
                inside += 1
                most = max(most, inside)
            time.sleep(0.01)
            with lock:
                inside -= 1

    threads = [threading.Thread(target=work, args=("a.example",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 2


def test_a_thread_that_reads_while_it_sends_does_not_wait_for_itself() -> None:
    slots = Slots(1)
    with slots.take("a.example"), slots.take("a.example"), slots.take("b.example"):
        pass
    done = threading.Thread(target=lambda: slots.take("a.example").__enter__(), daemon=True)
    done.start()
    done.join(5)
    assert not done.is_alive()
