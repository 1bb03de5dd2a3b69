"""A tiny signed Debian archive, built by the test and served on loopback.

Any room's tests may have one: ask for the fixture ``archive_builder`` (tests/conftest.py)::

    def test_a_fix_is_found(archive_builder):
        old = archive_builder.deb("openssl", "3.0.11-1", files={"usr/bin/openssl": b"old"})
        new = archive_builder.deb("openssl", "3.0.15-1", files={"usr/bin/openssl": b"new"}, changelog=TEXT)
        archive_builder.publish("bookworm", [old])
        archive_builder.publish("bookworm-security", [new])
        archive = archive_builder.open("bookworm", "bookworm-security")
        assert archive.packages("amd64").newest("openssl").version == "3.0.15-1"

Names that end in ``-security`` live under ``/debian-security``, all others under ``/debian``, as on real mirrors.
``requests`` lists what was asked for; ``faults`` makes the next answers for a path wrong in a named way,
``statuses`` gives every answer for a path another status.
"""

from __future__ import annotations

import gzip
import hashlib
import http.server
import lzma
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pysequoia

from sallyport.archives import Archive, Keyring, Suite, render_stanza
from sallyport.engine import Http
from sallyport.oci import Entry, Kind, TarWriter
from sallyport.store import DirectoryStore

NOW = datetime(2026, 7, 20, 12, 0, tzinfo=UTC)
_MTIME = 1_700_000_000
Files = Mapping[str, bytes | Entry]


@dataclass(frozen=True)
class BuiltDeb:
    """A package's bytes and its control fields."""

    fields: Mapping[str, str]
    raw: bytes = field(repr=False)

    @property
    def filename(self) -> str:
        name = self.fields["Package"]
        version = self.fields["Version"].rpartition(":")[2]
        return f"pool/main/{name[0]}/{name}/{name}_{version}_{self.fields['Architecture']}.deb"


def tar(entries: Iterable[tuple[Entry, bytes]]) -> bytes:
    """A tar archive of these members."""
    parts: list[bytes] = []
    writer = TarWriter(parts.append)
    for entry, content in entries:
        writer.add(entry, [content] if content else [])
    writer.close()
    return b"".join(parts)


def ar(members: Iterable[tuple[str, bytes]]) -> bytes:
    """An ar archive of these members, as dpkg-deb writes it."""
    parts = [b"!<arch>\n"]
    for name, content in members:
        parts.append(f"{name:<16}{_MTIME:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode())
        parts += (content, b"\n" if len(content) % 2 else b"")
    return b"".join(parts)


def pack(raw: bytes, compression: str) -> bytes:
    """``raw`` compressed as a .deb's member is."""
    if compression == "xz":
        return lzma.compress(raw, preset=0)
    if compression == "gz":
        return gzip.compress(raw, 1, mtime=0)
    if compression == "zst":
        import zstandard

        return zstandard.ZstdCompressor(level=1).compress(raw)
    return raw


def build_deb(
    name: str,
    version: str,
    *,
    architecture: str = "all",
    files: Files | None = None,
    conffiles: Iterable[str] = (),
    scripts: Mapping[str, str] | None = None,
    triggers: str = "",
    changelog: str = "",
    md5sums: bool = True,
    compression: str = "xz",
    parents: bool = True,
    **fields: str,
) -> BuiltDeb:
    """A package. ``files`` maps a relative path to a content, or to an Entry for links, folders and rights.

    Keyword fields become control fields: ``depends="a, b (>= 1)"``, ``multi_arch="same"``, ``source="x (1.0)"``.
    """
    wanted: dict[str, bytes | Entry] = dict(files or {})
    if changelog:
        wanted[f"usr/share/doc/{name}/changelog.Debian.gz"] = gzip.compress(changelog.encode(), mtime=0)
    control = {
        "Package": name,
        "Version": version,
        "Architecture": architecture,
        "Maintainer": "Nobody <nobody@debian.example>",
        "Priority": "optional",
        "Section": "misc",
        "Description": f"{name} of the test\n It does nothing.",
    } | {key.replace("_", "-").title(): value for key, value in fields.items()}
    members: dict[str, tuple[Entry, bytes]] = {"": (Entry("", Kind.DIRECTORY, 0o755, mtime=_MTIME), b"")}
    for path, content in wanted.items():
        folders = path.split("/")[:-1] if parents else []
        for depth in range(1, len(folders) + 1):
            folder = "/".join(folders[:depth])
            members.setdefault(folder, (Entry(folder, Kind.DIRECTORY, 0o755, mtime=_MTIME), b""))
        if isinstance(content, Entry):
            members[path] = (content, b"")
        else:
            members[path] = (Entry(path, Kind.FILE, 0o644, size=len(content), mtime=_MTIME), content)
    info: dict[str, str] = {"control": render_stanza(control)}
    if listed := list(conffiles):
        info["conffiles"] = "".join(f"{path}\n" for path in listed)
    if md5sums:
        info["md5sums"] = "".join(
            f"{hashlib.md5(content, usedforsecurity=False).hexdigest()}  {path}\n"
            for path, content in wanted.items()
            if isinstance(content, bytes) and f"/{path}" not in listed
        )
    info |= scripts or {}
    if triggers:
        info["triggers"] = triggers
    control_tar = tar(
        (
            Entry(key, Kind.FILE, 0o755 if key in (scripts or {}) else 0o644, size=len(text.encode()), mtime=_MTIME),
            text.encode(),
        )
        for key, text in info.items()
    )
    suffix = f".{compression}" if compression else ""
    raw = ar(
        [
            ("debian-binary", b"2.0\n"),
            (f"control.tar{suffix}", pack(control_tar, compression)),
            (f"data.tar{suffix}", pack(tar(members.values()), compression)),
        ]
    )
    return BuiltDeb(control, raw)


class ArchiveBuilder:
    """Makes packages, publishes suites, signs them with a key of its own, and serves them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.www = root / "www"
        self.key = pysequoia.Tsk.generate(user_id="Test Archive <archive@debian.example>")
        self.requests: list[str] = []
        self.faults: dict[str, list[Callable[[bytes], bytes]]] = {}
        self.statuses: dict[str, int] = {}  # path -> the status of every answer for it
        self.etags = True
        self._closers: list[Callable[[], object]] = []
        self._server = _serve(self)
        self.base = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.mirror = f"{self.base}/debian"
        self.security = f"{self.base}/debian-security"

    def close(self) -> None:
        for closer in self._closers:
            closer()
        self._server.shutdown()
        self._server.server_close()

    @property
    def keyring(self) -> Keyring:
        return Keyring((bytes(self.key.extract_certificate()),), "the test's key")

    def deb(self, name: str, version: str = "1.0-1", **options: Any) -> BuiltDeb:
        """See :func:`build_deb`."""
        return build_deb(name, version, **options)

    def publish(
        self,
        suite: str,
        debs: Iterable[BuiltDeb],
        *,
        architectures: Iterable[str] = ("amd64", "arm64"),
        date: datetime = datetime(2026, 7, 11, 10, 0, tzinfo=UTC),
        valid_until: datetime | None = None,
        by_hash: bool = True,
        extra: Mapping[str, str] | None = None,
        signer: pysequoia.Tsk | None = None,
    ) -> None:
        """Write the pool, Packages and the signed InRelease of ``suite``; what was published there before is replaced."""
        top = self.www / ("debian-security" if suite.endswith("-security") else "debian")
        built = list(debs)
        for deb in built:
            _write(top / deb.filename, deb.raw)
        lines: list[str] = []
        names = list(architectures)
        for architecture in names:
            text = "\n".join(
                render_stanza(
                    dict(deb.fields)
                    | {
                        "Filename": deb.filename,
                        "Size": str(len(deb.raw)),
                        "SHA256": hashlib.sha256(deb.raw).hexdigest(),
                    }
                )
                for deb in built
                if deb.fields["Architecture"] in (architecture, "all")
            ).encode()
            folder = f"main/binary-{architecture}"
            for name, content in (("Packages", text), ("Packages.xz", lzma.compress(text, preset=0))):
                digest = hashlib.sha256(content).hexdigest()
                lines.append(f" {digest} {len(content)} {folder}/{name}")
                if name != "Packages":
                    _write(top / "dists" / suite / folder / name, content)
                    if by_hash:
                        _write(top / "dists" / suite / folder / "by-hash" / "SHA256" / digest, content)
        fields = {
            "Origin": "Test",
            "Suite": f"old-{suite}",
            "Codename": suite,
            "Version": "12.7",
            "Date": _date(date),
            **({"Valid-Until": _date(valid_until)} if valid_until else {}),
            **({"Acquire-By-Hash": "yes"} if by_hash else {}),
            "Architectures": " ".join(names),
            "Components": "main",
            **(extra or {}),
            "SHA256": "\n" + "\n".join(lines),
        }
        _write(top / "dists" / suite / "InRelease", self.sign(render_stanza(fields).encode(), signer))

    def sign(self, text: bytes, signer: pysequoia.Tsk | None = None) -> bytes:
        """``text`` clear-signed."""
        return pysequoia.sign((signer or self.key).signer(), text, mode=pysequoia.SignatureMode.CLEAR)

    def suite(self, name: str) -> Suite:
        return Suite(self.security if name.endswith("-security") else self.mirror, name)

    def cache(self) -> DirectoryStore:
        return DirectoryStore(self.root / "cache", durable=False)

    def http(self) -> Http:
        http = Http(proxies={}, retries=1, timeout_s=10, sleep=lambda _: None)
        self._closers.append(http.close)
        return http

    def open(self, *suites: str, **options: Any) -> Archive:
        """The archive, verified, with a cache that stays; ``now`` is a few days after the release unless given."""
        options.setdefault("now", NOW)
        return Archive.open([self.suite(name) for name in suites], self.keyring, self.http(), self.cache(), **options)


def _date(at: datetime) -> str:
    return at.strftime("%a, %d %b %Y %H:%M:%S UTC")


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _serve(builder: ArchiveBuilder) -> http.server.ThreadingHTTPServer:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = builder.www / self.path.lstrip("/")
            builder.requests.append(self.path)
            if not path.is_file() or self.path in builder.statuses:
                self._answer(builder.statuses.get(self.path, 404), b"")
                return
            content = path.read_bytes()
            etag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
            if builder.etags and self.headers.get("If-None-Match") == etag:
                self._answer(304, b"")
                return
            status, headers = 200, {"ETag": etag} if builder.etags else {}
            asked = self.headers.get("Range", "")
            if asked.startswith("bytes="):
                start = int(asked[6:].rstrip("-"))
                headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
                status, content = 206, content[start:]
            if waiting := builder.faults.get(self.path):
                self._answer(status, waiting.pop(0)(content), headers, len(content))
                return
            self._answer(status, content, headers)

        def _answer(
            self, status: int, body: bytes, headers: Mapping[str, str] | None = None, length: int | None = None
        ) -> None:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body) if length is None else length))
            self.end_headers()
            with suppress(BrokenPipeError, ConnectionResetError):
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    return server
