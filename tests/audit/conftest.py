"""A made-up fleet: what the pipeline would have left in a store."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sallyport.advisories import Evidence, Severity
from sallyport.bundle import Position, Receipt, Released
from sallyport.catalog import Bill, Distribution, Package
from sallyport.gate import Passed, Refused, Undecided
from sallyport.match import Finding, Scan, SourceDate
from sallyport.oci import Descriptor, Digest, Index, Platform, build_index, build_manifest, encode, media_types
from sallyport.store import Store, open_store

NOW = datetime(2026, 7, 11, 9, 30, tzinfo=UTC)
PLATFORMS = (Platform("linux", "amd64"), Platform("linux", "arm64"))
ORDER = list(Severity)
CHANGELOG = """\
openssl (3.0.17-1~deb12u2) bookworm-security; urgency=medium

  * CVE-2025-9230 (out-of-bounds read & write in RFC 3211 KEK unwrap)

 -- Somebody <somebody@debian.example>  Mon, 29 Sep 2025 20:31:12 +0200"""


@dataclass
class Watch:
    """A clock that goes on by itself, so that the journal looks lived in."""

    at: datetime

    def now(self) -> datetime:
        self.at += timedelta(minutes=7)
        return self.at


def package(name: str, version: str = "3.0.11-1~deb12u2") -> Package:
    return Package("deb", name, version, "amd64", name, version, Digest.of(b"layer"), "var/lib/dpkg/status")


def finding(number: int, name: str, severity: Severity, fixed: str | None) -> Finding:
    evidence = (
        Evidence("changelog", f"{name} {fixed or '3.0.11-1~deb12u2'}", CHANGELOG.replace("openssl", name)),
        Evidence("osv", f"DSA-60{number:02}-1", f"{name} - security update, with <b>marks</b> & signs"),
    )
    return Finding(f"CVE-2025-{9000 + number}", package(name), fixed, severity, evidence[: 1 + number % 2])


def findings(count: int, *, fixed: str | None, start: int = 0) -> tuple[Finding, ...]:
    names = ("openssl", "curl", "zlib", "libxml2", "glibc", "nginx", "perl-base")
    return tuple(
        finding(number, names[number % len(names)], ORDER[5 - (number * 7 + number // 3) % 6], fixed)
        for number in range(start, start + count)
    )


class Fleet:
    def __init__(self, store: Store) -> None:
        self.store = store

    def put(self, data: bytes, media_type: str) -> Descriptor:
        digest = Digest.of(data)
        self.store.blobs.put(digest, len(data), [data])
        return Descriptor(media_type, len(data), digest)

    def index(self, words: str) -> Index:
        children: list[Descriptor] = []
        for platform in PLATFORMS:
            config = self.put(
                b'{"os":"linux","architecture":"%s","rootfs":{"type":"layers","diff_ids":["%s"]}}'
                % (platform.architecture.encode(), str(Digest.of(words.encode())).encode()),
                media_types.OCI_CONFIG,
            )
            layer = self.put(f"{words} {platform}".encode(), media_types.OCI_LAYER)
            manifest = build_manifest(config, [layer])
            self.put(manifest.raw, manifest.media_type)
            children.append(replace(manifest.descriptor, platform=platform))
        index = build_index(children)
        self.put(index.raw, index.media_type)
        return index

    def scan(self, index: Index, left: tuple[Finding, ...], closed: tuple[Finding, ...] = (), days: int = 1) -> None:
        state = self.store.state
        for number, child in enumerate(index.manifests):
            platform = PLATFORMS[number]
            ours = left if number == 0 else left[1:]
            scan = Scan(
                child.digest,
                platform,
                127,
                tuple(sorted(ours, key=lambda f: f.id)),
                (SourceDate("changelog", NOW - timedelta(days=days)), SourceDate("osv", NOW - timedelta(hours=5))),
                NOW - timedelta(hours=3),
                "outside",
                ("osv: 2 records could not be read",) if days > 5 else (),
            )
            state.put_fact("scan", str(child.digest), encode(scan))
            bill = Bill(
                child.digest,
                platform,
                Distribution("debian", "12", "bookworm", "Debian GNU/Linux 12 (bookworm)"),
                tuple(package(f"package{n}") for n in range(127)),
            )
            state.put_fact("bill", str(child.digest), encode(bill))
            if closed:
                before = replace(scan, image=Digest.of(b"before"), findings=(*ours, *closed))
                state.put_fact("scan.before", str(child.digest), encode(before))

    def release(self, repository: str, tag: str, index: Index, verdict: Passed | Refused | Undecided) -> None:
        state = self.store.state
        name = f"{repository}:{tag}@{index.digest}"
        upstream = f"registry.example/{repository}:{tag.rpartition('-')[0]}@{Digest.of(repository.encode())}"
        state.append("judged", name, {"verdict": type(verdict).__name__.lower(), "because": "; ".join(verdict.because)})
        state.put_fact("verdict", f"{repository}@{index.digest}", encode(verdict))
        state.set_tag(repository, tag, index.descriptor, immutable=True)
        released = Released(repository, tag, index.descriptor, upstream)
        state.put_fact("release", f"{repository}:{tag}", encode(released))
        state.append("released", name, {"upstream": upstream})

    def fill(self) -> None:
        state = self.store.state
        state.append(
            "mirrored", "registry.example/library/web:12-slim", {"as": "library/web:12-slim", "bytes": "31457280"}
        )
        old, web = self.index("old web"), self.index("web")
        self.scan(old, findings(20, fixed=None))
        self.release("library/web", "12-slim-20260701.1", old, Passed(("20 findings, none with a known fix",)))
        state.append(
            "patched", f"library/web:12-slim@{web.digest}", {"packages": "openssl 3.0.17-1~deb12u2", "closes": "46"}
        )
        self.scan(web, findings(9, fixed=None), findings(46, fixed="3.0.17-1~deb12u2", start=9))
        self.release(
            "library/web", "12-slim-20260711.1", web, Passed(("no finding with a known fix", "advisories 1 day old"))
        )
        state.set_tag("library/web", "stable", web.descriptor)
        state.set_tag("library/web", "12-slim", self.index("web upstream").descriptor)
        minimal = self.index("minimal")
        self.scan(minimal, (), findings(3, fixed="1.2.13.dfsg-1+deb12u1"))
        self.release("distroless/static", "nonroot-20260711.1", minimal, Passed(("no findings",)))
        state.set_tag("distroless/static", "stable", minimal.descriptor)
        state.set_tag("distroless/static", "ring-0", minimal.descriptor)
        legacy = self.index("legacy")
        self.scan(legacy, (*findings(14, fixed="2.0-1"), *findings(8, fixed=None, start=14)), days=9)
        refused = Refused(
            (
                "14 findings with a known fix; the policy allows 0",
                "CVE-2025-9005 is critical; the policy allows at most high",
            )
        )
        state.put_fact("verdict", f"apps/ledger-reconciliation@{legacy.digest}", encode(refused))
        candidate = {
            "upstream": {
                "repository": "apps/ledger-reconciliation",
                "tag": "4.2",
                "reference": f"registry.example/apps/ledger-reconciliation:4.2@{legacy.digest}",
                "descriptor": {},
            },
            "descriptor": {
                "media_type": legacy.media_type,
                "size": len(legacy.raw),
                "digest": str(legacy.digest),
                "platform": None,
                "artifact_type": "",
                "annotations": {},
            },
            "patched": [],
        }
        state.put_fact("candidate", "apps/ledger-reconciliation:4.2", encode(candidate))
        state.append("judged", f"apps/ledger-reconciliation:4.2@{legacy.digest}", {"verdict": "refused"})
        other = self.index("other")
        state.set_tag("library/other", "1", other.descriptor)
        for sequence, refused_names in (
            (41, ()),
            (42, (f"library/old:1@{Digest.of(b'x')}: the signature does not verify",)),
        ):
            receipt = Receipt(
                1,
                "ship-7",
                Position(1, sequence),
                NOW - timedelta(days=43 - sequence),
                tuple(Digest.of(b"%d" % number) for number in range(212)),
                (f"library/web:12-slim-20260711.1@{web.digest}",),
                refused_names,
            )
            state.put_fact("receipt", f"ship-7/1.{sequence}", encode(receipt))
        state.append("bundled", "ship-7-1.42", {"bytes": "48211034", "images": "2", "left out": "1.1 GiB"})
        state.append("promoted", f"library/web:12-slim-20260711.1@{web.digest}", {"channel": "stable"})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "store", clock=Watch(NOW - timedelta(hours=4))) as opened:
        yield opened


@pytest.fixture
def fleet(store: Store) -> Store:
    """A store with releases, a refused candidate, receipts and a journal."""
    Fleet(store).fill()
    return store


@pytest.fixture
def tamper() -> Callable[[Store], None]:
    def change(store: Store) -> None:
        with closing(sqlite3.connect(store.root / "state.db")) as connection:
            connection.execute("DROP TRIGGER events_refuse_update")
            connection.execute("UPDATE events SET subject = 'something/else:1' WHERE sequence = 3")
            connection.commit()

    return change
