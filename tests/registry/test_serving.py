"""The server starts at once, is ready when it says so, and ends."""

from __future__ import annotations

import resource
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sallyport.errors import ConfigError, UsageError
from sallyport.oci import Digest
from sallyport.registry import RegistryClient, Serving, make_app, serve
from sallyport.store import open_store


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_it_is_ready_before_it_is_returned_and_gone_after_stop(http: Any) -> None:
    before = threading.active_count()
    for _ in range(5):
        with serve(hello) as serving:
            assert serving.url == f"http://127.0.0.1:{serving.port}"
            with http.request("GET", serving.url) as response:
                assert response.read(10) == b"hello"
        assert not listens(serving.port)
        serving.stop()
    assert threading.active_count() == before


def test_a_port_belongs_to_one_server() -> None:
    with serve(hello) as serving, pytest.raises(UsageError, match="cannot listen"):
        serve(hello, port=serving.port)
    with serve(hello, port=serving.port) as again:
        assert listens(again.port)
    with pytest.raises(UsageError):
        serve(hello, host="192.0.2.1")


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "bad.pem").write_text("no certificate")
    with pytest.raises(ConfigError, match="no certificate"):
        serve(hello, certificate=tmp_path / "bad.pem", key=tmp_path / "bad.pem")
    with pytest.raises(ConfigError, match="belong together"):
        serve(hello, certificate=tmp_path / "bad.pem")


def test_waiting_ends_when_it_is_stopped() -> None:
    serving = serve(hello)
    threading.Timer(0.05, serving.stop).start()
    serving.wait()
    assert not listens(serving.port)


def test_it_ends_with_its_process(tmp_path: Path) -> None:
    code = (
        "import sys, time\n"
        "from sallyport.registry import make_app, serve\n"
        "from sallyport.store import open_store\n"
        f"serving = serve(make_app(open_store(__import__('pathlib').Path({str(tmp_path)!r}))))\n"
        "print(serving.port, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        assert listens(port)
        process.kill()
    assert not listens(port)


def test_memory_stays_flat_for_a_big_blob(site: Any) -> None:
    """Up, down and a part: 192 MB pass, and the peak rises by a fraction of that."""
    piece = bytes(1 << 20)
    count = 192
    import hashlib

    hasher = hashlib.sha256()
    for _ in range(count):
        hasher.update(piece)
    digest = Digest("sha256", hasher.hexdigest())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    site.client.push_blob("big", digest, count << 20, lambda: (piece for _ in range(count)))
    assert sum(map(len, site.client.blob("big", digest))) == count << 20
    assert sum(map(len, site.client.blob("big", digest, offset=1 << 20))) == (count - 1) << 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024  # KiB


def test_a_broken_upload_goes_on_behind_what_arrived(site: Any, http: Any) -> None:
    """A line that breaks in the middle of a PATCH, for real."""
    data = bytes(range(256)) * 4096
    with http.request("POST", f"{site.url}app/blobs/uploads/", body=b"") as response:
        place = response.headers["location"]
    with socket.create_connection(("127.0.0.1", site.serving.port)) as line:
        line.sendall(f"PATCH {place} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n".encode())
        line.sendall(data[:700_000])
        time.sleep(0.1)
    until = time.monotonic() + 5
    there = 0
    while there != 700_000 and time.monotonic() < until:
        with http.request("GET", site.serving.url + place) as response:
            there = int(response.headers["range"].removeprefix("0-")) + 1
    assert there == 700_000
    headers = {"Content-Range": f"{there}-{len(data) - 1}"}
    with http.request("PATCH", site.serving.url + place, body=data[there:], headers=headers) as response:
        assert response.status == 202
    digest = Digest.of(data)
    with http.request("PUT", f"{site.serving.url}{place}?digest={digest}", body=b"") as response:
        assert response.status == 201
    assert b"".join(site.store.blobs.chunks(digest)) == data


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with open_store(tmp_path_factory.mktemp("fuzzed")) as store, serve(make_app(store)) as serving:
        yield serving


_ODD = f"sha256:{'0' * 64} sha512:0 latest <b> {'a' * 300} ?n=9999999999999 ?digest=x ?last=%00 é .. %00 %2f %ff"
_WORDS = st.sampled_from(
    ["", "v2", "app", "manifests", "blobs", "uploads", "tags", "list", "referrers", "_catalog", *_ODD.split()]
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(_WORDS, max_size=7),
    st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]),
    st.sampled_from([b"", b"{}", b"\xff" * 40]),
    st.sampled_from(["", "bytes=0-0", "0-1", "9" * 30, "\xff"]),
)
def test_no_request_makes_it_stumble(running: Serving, words: list[str], method: str, body: bytes, ranges: str) -> None:
    path = "/v2/" + "/".join(words)
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nRange: {ranges}\r\nContent-Range: {ranges}\r\n"
    with socket.create_connection(("127.0.0.1", running.port), timeout=5) as line:
        line.sendall(head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = b""
        while piece := line.recv(65536):
            answer += piece
    status = int(answer.split(b" ", 2)[1])
    assert 200 <= status < 500, answer
    assert b"Traceback" not in answer
    assert b"<b>" not in answer.partition(b"\r\n\r\n")[2]


def test_tls_with_an_authority_of_our_own(tmp_path: Path) -> None:
    from sallyport.engine import Http

    certificate, key = make_certificate(tmp_path)
    with (
        open_store(tmp_path / "store") as store,
        serve(make_app(store), certificate=certificate, key=key) as serving,
        Http(proxies={}, ca=certificate, retries=0) as http,
    ):
        assert serving.url.startswith("https://")
        RegistryClient(http, serving.registry, plain_http=False).ping()
        with Http(proxies={}, retries=0) as stranger:
            from sallyport.errors import UnreachableError

            with pytest.raises(UnreachableError, match="TLS"):
                RegistryClient(stranger, serving.registry, plain_http=False).ping()


def test_a_redirect_from_https_to_plain_http_is_not_followed(tmp_path: Path) -> None:
    from sallyport.engine import Http
    from sallyport.errors import UnreachableError

    with serve(hello) as plain:

        async def away(scope: Any, receive: Any, send: Any) -> None:
            headers = [(b"location", plain.url.encode()), (b"content-length", b"0")]
            await send({"type": "http.response.start", "status": 302, "headers": headers})
            await send({"type": "http.response.body", "body": b""})

        certificate, key = make_certificate(tmp_path)
        with (
            serve(away, certificate=certificate, key=key) as serving,
            Http(proxies={}, ca=certificate, retries=0) as http,
            pytest.raises(UnreachableError, match="from https to plain http"),
            http.request("GET", serving.url),
        ):
            pass


def test_an_authority_that_is_none_is_a_configuration_error(tmp_path: Path) -> None:
    from sallyport.engine import Http

    with (
        Http(proxies={}, ca=tmp_path / "missing.pem") as http,
        pytest.raises(ConfigError, match="certificates"),
        http.request("GET", "https://127.0.0.1:1/"),
    ):
        pass


def make_certificate(folder: Path) -> tuple[Path, Path]:
    import datetime as dt
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "cert.pem", folder / "key.pem"
