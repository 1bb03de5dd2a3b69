"""Bills, packages and a shelf that stands for a signed archive: real .debs and a real index, no network."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sallyport.archives import BinaryPackage, Deb, PackageIndex, Release, Suite
from sallyport.archives.packages import Index
from sallyport.catalog import Bill, Distribution, Package
from sallyport.engine import Progress
from sallyport.errors import UsageError
from sallyport.oci import Digest, Entry, Kind, Platform, TarWriter
from sallyport.store import DirectoryStore

BOOKWORM = Distribution("debian", "12", "bookworm", "Debian GNU/Linux 12 (bookworm)")
LAYER = Digest.of(b"layer")


def make_bill(*packages: str, distribution: Distribution | None = BOOKWORM, architecture: str = "amd64") -> Bill:
    """Each as ``name=version`` or ``name=version<source=source version``."""
    found = []
    for text in packages:
        binary, _, origin = text.partition("<")
        name, _, version = binary.partition("=")
        source, _, source_version = origin.partition("=")
        found.append(
            Package(
                "deb",
                name,
                version,
                architecture,
                source or name,
                source_version or version,
                LAYER,
                "var/lib/dpkg/status",
            )
        )
    return Bill(
        Digest.of(repr(found).encode()),
        Platform("linux", architecture),
        distribution,
        tuple(sorted(found, key=lambda package: package.key)),
    )


def changelog(source: str, *entries: tuple[str, Iterable[str]]) -> str:
    """Entries, the newest first, each with its bullets."""
    return "\n".join(
        f"{source} ({version}) bookworm-security; urgency=high\n\n"
        + "".join(f"  {bullet}\n" for bullet in bullets)
        + "\n -- Jane Doe <jane@debian.example>  Thu, 19 Nov 2026 21:02:23 +0000\n"
        for version, bullets in entries
    )


def _ar(members: Mapping[str, bytes]) -> bytes:
    parts = [b"!<arch>\n"]
    for name, content in members.items():
        parts.append(f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode())
        parts.append(content + b"\n" * (len(content) % 2))
    return b"".join(parts)


def _tar(files: Mapping[str, bytes | str]) -> bytes:
    sink = io.BytesIO()
    writer = TarWriter(sink.write)
    for path, content in files.items():
        if isinstance(content, str):
            writer.add(Entry(path, Kind.SYMLINK, link=content))
        else:
            writer.add(Entry(path, Kind.FILE, size=len(content)), [content])
    writer.close()
    return gzip.compress(sink.getvalue())


@dataclass
class Shelf:
    """What :class:`Archive` offers to the changelog source, without the signatures that it has proven by then."""

    cache: DirectoryStore
    releases: tuple[Release, ...]
    stanzas: dict[str, list[str]] = field(default_factory=dict)
    fetched: list[str] = field(default_factory=list)

    def add(
        self,
        name: str,
        version: str,
        text: str | None,
        *,
        source: str = "",
        link: str = "",
        architectures: Iterable[str] = ("amd64",),
        ballast: int = 0,
    ) -> None:
        """Put a package on the shelf; ``text`` is its changelog, ``link`` where its documentation stands instead."""
        head = f"Package: {name}\nVersion: {version}\n" + (f"Source: {source}\n" if source else "")
        folder = f"usr/share/doc/{name}"
        files: dict[str, bytes | str] = {folder: link} if link else {}
        if text is not None:
            files[f"{folder}/changelog.Debian.gz"] = gzip.compress(text.encode("utf-8", "surrogateescape"))
        files["usr/share/ballast"] = bytes(ballast)
        for architecture in architectures:
            control = f"{head}Architecture: {architecture}\n"
            raw = _ar(
                {
                    "debian-binary": b"2.0\n",
                    "control.tar.gz": _tar({"control": control.encode()}),
                    "data.tar.gz": _tar(files),
                }
            )
            digest = Digest.of(raw)
            self.cache.put(digest, len(raw), [raw])
            stanza = f"{control}Filename: pool/{name}.deb\nSize: {len(raw)}\nSHA256: {digest.hex}\n"
            self.stanzas.setdefault(architecture, []).append(stanza)

    def packages(self, architecture: str, *, progress: Progress | None = None) -> PackageIndex:
        if architecture not in self.stanzas:
            raise UsageError(f"bookworm has no packages for {architecture}", "use another")
        text = "\n".join((*self.stanzas[architecture], *self.stanzas.get("all", ()))).encode()
        return PackageIndex(architecture, [Index(self.releases[0].suite, text)])

    def fetch(self, package: BinaryPackage, *, progress: Progress | None = None) -> Deb:
        self.fetched.append(package.name)
        return Deb(self.cache, package.digest, package.size)


def release(name: str, date: datetime, version: str = "12.15") -> Release:
    return Release(Suite("http://mirror.example/debian", name), name, version, date, Digest.of(name.encode()), ("AB",))


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(
        DirectoryStore(tmp_path / "cache", durable=False),
        (
            release("bookworm", datetime(2026, 7, 11, tzinfo=UTC)),
            release("bookworm-security", datetime(2026, 11, 21, tzinfo=UTC), "12"),
        ),
    )


@pytest.fixture
def bill() -> Callable[..., Bill]:
    return make_bill


@pytest.fixture
def write_changelog() -> Callable[..., str]:
    return changelog


@pytest.fixture
def bookworm() -> Distribution:
    return BOOKWORM
