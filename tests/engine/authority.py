"""A certificate authority, servers that speak TLS by it, and a forward proxy: all real, all on loopback.

``authority = Authority(folder)``; ``authority.file`` is its certificate, ``authority.issue("registry.example")``
gives a :class:`Pair` of PEM files, ``authority.serve(pair, client_authority=True)`` a server's context.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import select
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_FROM = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
_UNTIL = dt.datetime(2100, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, as files."""

    certificate: Path
    key: Path


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


class Authority:
    """Issues certificates."""

    def __init__(self, folder: Path, name: str = "test authority") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = self._builder(self._name, self._key).add_extension(x509.BasicConstraints(True, 0), critical=True)
        usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
        self._certificate = made.add_extension(usage, critical=True).sign(self._key, hashes.SHA256())
        self.file = folder / "ca.crt"
        self.file.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def _builder(self, name: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(self._name).public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number())
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        return builder.not_valid_before(_FROM).not_valid_after(_UNTIL).add_extension(identifier, critical=False)

    def issue(self, *names: str) -> Pair:
        """For hosts and addresses, or a client of that name."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        found: list[x509.GeneralName] = []
        for name in names:
            try:
                found.append(x509.IPAddress(ipaddress.ip_address(name)))
            except ValueError:
                found.append(x509.DNSName(name))
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        made = self._builder(subject, key).add_extension(x509.SubjectAlternativeName(found), critical=False)
        made = made.add_extension(x509.BasicConstraints(False, None), critical=True)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        made = made.add_extension(usage, critical=False).add_extension(issuer, critical=False)
        certificate = made.sign(self._key, hashes.SHA256())
        pair = Pair(self.folder / f"{names[0]}.cert", self.folder / f"{names[0]}.key")
        pair.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        pair.key.write_bytes(_pem(key))
        return pair

    def locked(self, pair: Pair) -> Path:
        """The pair's key again, with a passphrase."""
        key = serialization.load_pem_private_key(pair.key.read_bytes(), None)
        path = pair.key.with_suffix(".locked")
        how = serialization.BestAvailableEncryption(b"passphrase")
        path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how))
        return path

    def context(self, pair: Pair, *, clients: bool = False) -> ssl.SSLContext:
        """For a server; with ``clients`` only clients with a certificate of this authority get in."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
        if clients:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.file)
        return context


@contextlib.contextmanager
def tunnel(context: ssl.SSLContext, target: tuple[str, int]) -> Iterator[int]:
    """A port that speaks TLS and hands what it hears to ``target`` in the clear."""
    with _accepting(lambda connection: _terminate(connection, context, target)) as port:
        yield port


@dataclass
class Proxy:
    """What a forward proxy was asked for."""

    port: int = 0
    asked: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextlib.contextmanager
def forward_proxy(names: Mapping[str, int]) -> Iterator[Proxy]:
    """A proxy that knows hosts by name, all on loopback: CONNECT for https, whole addresses for http."""
    seen = Proxy()

    class Handler(BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            seen.asked.append(f"CONNECT {self.path}")
            port = names.get(self.path)
            if port is None:
                self.send_error(502)
                return
            with socket.create_connection(("127.0.0.1", port)) as there:
                self.send_response(200)
                self.end_headers()
                self.wfile.flush()
                _pump(self.connection, there)
            self.close_connection = True

        def do_GET(self) -> None:
            import http.client
            from urllib.parse import urlsplit

            parts = urlsplit(self.path)
            seen.asked.append(f"{self.command} {self.path}")
            port = names.get(parts.netloc)
            if port is None:
                self.send_error(502)
                return
            there = http.client.HTTPConnection("127.0.0.1", port)
            headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
            there.request(self.command, f"{parts.path}?{parts.query}".rstrip("?"), headers=headers)
            answer = there.getresponse()
            body = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("transfer-encoding", "connection", "date", "server"):
                    self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)
            there.close()

        do_HEAD = do_GET  # noqa: N815 - the library's name

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    seen.port = server.server_address[1]
    try:
        yield seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def _accepting(work):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.05)
        stop = threading.Event()

        def accept() -> None:
            while not stop.is_set():
                try:
                    connection, _ = listening.accept()
                except TimeoutError:
                    continue
                threading.Thread(target=work, args=(connection,), daemon=True).start()

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            stop.set()
            thread.join()


def _terminate(connection: socket.socket, context: ssl.SSLContext, target: tuple[str, int]) -> None:
    connection.setblocking(True)
    with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as inside:
        with socket.create_connection(target) as there:
            _pump(inside, there)
        return
    connection.close()


def _pump(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            pending = isinstance(one, ssl.SSLSocket) and one.pending()
            ready = [one] if pending else select.select([one, other], [], [], 20)[0]
            if not ready:
                return
            for source in ready:
                data = source.recv(65536)
                if not data:
                    return
                (other if source is one else one).sendall(data)
