"""The status page, over a real socket-free client of the real routes."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette

from sallyport.advisories import Severity
from sallyport.catalog import Package
from sallyport.engine import FixedClock
from sallyport.gate import Refused
from sallyport.match import Finding, Scan, SourceDate
from sallyport.oci import Descriptor, Digest, Platform, build_manifest, encode, media_types
from sallyport.store import Store, open_store
from sallyport.web import status_routes

NOW = datetime(2026, 7, 11, 9, 30, tzinfo=UTC)


@dataclass
class Answer:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def text(self) -> str:
        return self.body.decode()


def ask(store: Store, path: str, *, method: str = "GET", title: str = "ship-7") -> Answer:
    """One request to the application, as its server would make it."""
    app = Starlette(routes=status_routes(store, title, clock=FixedClock(NOW)))
    answer = Answer()
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"ship.example")],
        "server": ("ship.example", 80),
        "client": ("127.0.0.1", 1),
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            answer.body += message.get("body", b"")

    asyncio.run(app(scope, receive, send))
    return answer


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path, clock=FixedClock(NOW - timedelta(hours=1))) as store:
        config = b"{}"
        store.blobs.put(Digest.of(config), 2, [config])
        manifest = build_manifest(Descriptor(media_types.OCI_CONFIG, 2, Digest.of(config)), [])
        store.blobs.put(manifest.digest, len(manifest.raw), [manifest.raw])
        store.state.set_tag("web", "12-20260711.1", manifest.descriptor, immutable=True)
        package = Package("deb", "openssl", "1", "amd64", "openssl", "1", Digest.of(b""), "status")
        findings = tuple(
            Finding(f"CVE-{number}", package, "2" if number else None, severity, ())
            for number, severity in enumerate((Severity.HIGH, Severity.HIGH, Severity.LOW))
        )
        source = SourceDate('a "feed"\\\n', NOW - timedelta(days=2))
        scan = Scan(manifest.digest, Platform("linux", "amd64"), 3, findings, (source,), NOW, "inside")
        store.state.put_fact("scan", str(manifest.digest), encode(scan))
        store.state.put_fact("verdict", f"web@{manifest.digest}", encode(Refused(("2 fixable",))))
        store.state.append("received", "ship-7-1.42", {"<b>": "<script>"})
        yield store


def test_the_page_shows_images_and_events(store: Store) -> None:
    answer = ask(store, "/", title="<ship> & 7")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    for words in ("&lt;ship&gt; &amp; 7", "<b>web</b>", "12-20260711.1", "refused", "received", "journal intact"):
        assert words in answer.text
    assert "<script" not in answer.text


@pytest.mark.parametrize("path", ["/", "/healthz", "/metrics"])
def test_every_answer_carries_the_security_headers(store: Store, path: str) -> None:
    headers = ask(store, path).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert policy.endswith("frame-ancestors 'none'")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"


def test_a_sign_of_life(store: Store) -> None:
    answer = ask(store, "/healthz")
    assert (answer.status, answer.text) == (200, "ok\n")


def test_figures_for_monitoring(store: Store) -> None:
    answer = ask(store, "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = answer.text.splitlines()
    for line in (
        'sallyport_images{verdict="refused"} 1',
        'sallyport_images{verdict="passed"} 0',
        'sallyport_vulnerabilities{severity="high"} 2',
        'sallyport_vulnerabilities{severity="critical"} 0',
        "sallyport_vulnerabilities_fixable 2",
        'sallyport_feed_age_seconds{source="a \\"feed\\"\\\\\\n"} 172800',
        "sallyport_journal_intact 1",
        f"sallyport_last_event_timestamp_seconds {int((NOW - timedelta(hours=1)).timestamp())}",
    ):
        assert line in lines, line


def test_the_figures_follow_the_text_format(store: Store) -> None:
    sample = re.compile(r'[a-z_]+(\{[a-z]+="(?:[^"\\\n]|\\["\\n])*"\})? -?[0-9.e+]+')
    helped: set[str] = set()
    for line in ask(store, "/metrics").text.splitlines():
        if line.startswith("# "):
            helped.add(line.split()[2])
        else:
            assert sample.fullmatch(line), line
            assert re.split(r"[{ ]", line)[0] in helped


def test_a_broken_journal_shows_in_page_and_figures(store: Store) -> None:
    with closing(sqlite3.connect(store.root / "state.db")) as connection:
        connection.execute("DROP TRIGGER events_refuse_update")
        connection.execute("UPDATE events SET verb = 'x'")
        connection.commit()
    assert "tampered" in ask(store, "/").text
    assert "sallyport_journal_intact 0" in ask(store, "/metrics").text.splitlines()


@pytest.mark.parametrize("path", ["/", "/healthz", "/metrics"])
def test_a_store_that_cannot_be_read_says_so_and_no_more(store: Store, path: str) -> None:
    with closing(sqlite3.connect(store.root / "state.db")) as connection:
        connection.execute("DROP TABLE facts")
        connection.commit()
    answer = ask(store, path)
    assert (answer.status, answer.text) == (503, "the store cannot be read\n")


def test_only_reading_is_offered(store: Store) -> None:
    assert ask(store, "/", method="POST").status == 405
    assert ask(store, "/", method="HEAD").status == 200
    assert ask(store, "/other").status == 404


def test_a_crowd_is_served_from_one_report(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from sallyport.audit import look as real

    looks: list[int] = []

    def counted(*args: Any, **options: Any) -> Any:
        looks.append(1)
        return real(*args, **options)

    monkeypatch.setattr("sallyport.web.routes.look", counted)
    routes = status_routes(store, "x")
    request: Any = None
    for route in routes:
        if route.path in {"/", "/metrics"}:
            for _ in range(3):
                route.endpoint(request)
    assert len(looks) == 1
