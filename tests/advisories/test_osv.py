"""OSV records: what they say about a version, and what becomes of broken ones."""

from __future__ import annotations

import io
import json
import random
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sallyport.advisories import Advisory, Asked, Feed, Severity, Stretch, make_source, order_of
from sallyport.advisories.osv import OsvSource
from sallyport.advisories.osv_record import advisories_of, parse_record
from sallyport.archives import debian_key
from sallyport.catalog import Bill
from sallyport.engine import Http
from sallyport.errors import (
    DeniedError,
    DuplicateKeyError,
    MalformedError,
    NotFoundError,
    SallyportError,
    UnreachableError,
    UsageError,
)

Billing = Callable[..., Bill]
WANTED: Mapping[str, set[str]] = {"Debian:12": {"openssl"}}


def record(identifier: str = "DEBIAN-CVE-2026-1001", **fields: Any) -> dict[str, Any]:
    return {"id": identifier, "modified": "2026-11-19T21:02:23.123456789Z", "summary": "Bad.", **fields}


def affected(*events: Mapping[str, str], package: str = "openssl", ecosystem: str = "Debian:12", **more: Any) -> Any:
    ranges = [{"type": "ECOSYSTEM", "events": list(events)}] if events else []
    return {"package": {"ecosystem": ecosystem, "name": package}, "ranges": ranges, **more}


ALWAYS = {"introduced": "0"}


def told(value: Mapping[str, Any], wanted: Mapping[str, set[str]] = WANTED) -> list[Advisory]:
    return list(advisories_of(parse_record(json.dumps(value).encode(), what="x.json"), wanted))


def bounds(value: Mapping[str, Any]) -> list[tuple[str, str | None, str | None, tuple[str, ...]]]:
    return [(item.introduced, item.fixed, item.last_affected, item.versions) for item in told(value)]


def test_a_distribution_s_record_speaks_about_the_cve_of_its_name() -> None:
    (advisory,) = told(record(affected=[affected(ALWAYS, {"fixed": "3.0.22-1"})]))
    assert (advisory.id, advisory.aliases) == ("CVE-2026-1001", ("DEBIAN-CVE-2026-1001",))
    assert (advisory.package, advisory.introduced, advisory.fixed) == ("openssl", "0", "3.0.22-1")
    assert [(item.source, item.reference, item.text) for item in advisory.evidence] == [
        ("osv", "DEBIAN-CVE-2026-1001", "Bad.")
    ]


def test_an_advisory_about_several_vulnerabilities_is_one_finding_for_each() -> None:
    value = record(
        "DSA-6015-1",
        upstream=["CVE-2025-9230", "CVE-2025-9232", "DEBIAN-CVE-2025-9230"],
        affected=[affected(ALWAYS, {"fixed": "3"})],
    )
    assert [(item.id, item.aliases) for item in told(value)] == [
        ("CVE-2025-9230", ("DEBIAN-CVE-2025-9230", "DSA-6015-1")),
        ("CVE-2025-9232", ("DEBIAN-CVE-2025-9230", "DSA-6015-1")),
    ]


def test_without_a_cve_the_record_keeps_its_own_name() -> None:
    (advisory,) = told(record("DSA-6113-1", aliases=None, affected=[affected(ALWAYS, {"fixed": "3"})]))
    assert (advisory.id, advisory.aliases) == ("DSA-6113-1", ("DSA-6113-1",)[:0])


@pytest.mark.parametrize(
    ("ecosystem", "hit"),
    [("Debian:12", True), ("Debian", True), ("Debian:1", False), ("Debian:13", False), ("Ubuntu:12", False)],
)
def test_only_the_bill_s_release_or_all_of_its_releases_count(ecosystem: str, *, hit: bool) -> None:
    assert bool(told(record(affected=[affected(ALWAYS, ecosystem=ecosystem)]))) is hit


def test_withdrawn_records_and_other_packages_say_nothing() -> None:
    assert told(record(withdrawn="2026-01-01T00:00:00Z", affected=[affected(ALWAYS)])) == []
    assert told(record(affected=[affected(ALWAYS, package="curl")])) == []
    assert told(record(affected=None)) == []


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([ALWAYS], [("0", None, None, ())]),
        ([ALWAYS, {"last_affected": "2"}], [("0", None, "2", ())]),
        ([{"fixed": "2"}, ALWAYS], [("0", "2", None, ())]),
        (
            [{"introduced": "10"}, {"fixed": "11"}, ALWAYS, {"fixed": "9"}],
            [("0", "9", None, ()), ("10", "11", None, ())],
        ),
        ([ALWAYS, {"fixed": "2"}, {"introduced": "2"}, {"fixed": "3"}], [("0", "2", None, ()), ("2", "3", None, ())]),
        ([ALWAYS, {"fixed": "2"}, {"fixed": "3"}], [("0", "2", None, ())]),
        ([ALWAYS, {"fixed": "0"}], []),
        ([{"introduced": "2"}, {"fixed": "2"}], []),
        ([{"introduced": "2"}, {"last_affected": "2"}], [("2", None, "2", ())]),
        ([ALWAYS, {"limit": "9"}], [("0", None, None, ())]),
    ],
)
def test_events_become_stretches(events: list[dict[str, str]], expected: list[object]) -> None:
    assert bounds(record(affected=[affected(*events)])) == expected


def test_listed_versions_count_where_no_range_says_them_already() -> None:
    value = record(affected=[affected(ALWAYS, {"fixed": "3"}, versions=["1", "2", "5", "5", "no version"])])
    assert bounds(value) == [("0", "3", None, ()), ("", None, None, ("5",))]
    assert bounds(record(affected=[affected(versions=["5"])])) == [("", None, None, ("5",))]


def test_git_ranges_are_passed_over() -> None:
    value = affected(ALWAYS, {"fixed": "3"})
    value["ranges"].append({"type": "GIT", "repo": "https://x.example", "events": [{"introduced": "0"}]})
    assert bounds(record(affected=[value])) == [("0", "3", None, ())]


V31 = {"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}


@pytest.mark.parametrize(
    ("fields", "own", "expected"),
    [
        ({}, {}, Severity.UNKNOWN),
        ({"severity": [V31]}, {}, Severity.CRITICAL),
        ({"severity": [V31]}, {"ecosystem_specific": {"urgency": "unimportant"}}, Severity.NEGLIGIBLE),
        ({"severity": [V31]}, {"ecosystem_specific": {"urgency": "not yet assigned"}}, Severity.CRITICAL),
        ({"severity": [V31]}, {"ecosystem_specific": {"urgency": 3}}, Severity.CRITICAL),
        ({"database_specific": {"severity": "MODERATE"}}, {}, Severity.MEDIUM),
        ({"severity": [{"type": "CVSS_V4", "score": "CVSS:4.0/x"}]}, {}, Severity.UNKNOWN),
        (
            {"severity": [V31]},
            {"severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:H/PR:N/UI:R/S:U/C:L/I:N/A:N"}]},
            Severity.LOW,
        ),
        ({}, {"database_specific": {"upload_urgency": "high"}}, Severity.UNKNOWN),
    ],
)
def test_the_nearest_rating_counts(fields: dict[str, Any], own: dict[str, Any], expected: Severity) -> None:
    (advisory,) = told(record(**fields, affected=[affected(ALWAYS, **own)]))
    assert advisory.severity is expected


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"{}",
        b'{"id": "x"}',
        b'{"id": 3, "modified": "2026-01-01T00:00:00Z"}',
        b'{"id": "x", "modified": "yesterday"}',
        b'{"id": "x", "modified": "2026-01-01T00:00:00"}',
        b'{"id": "x y", "modified": "2026-01-01T00:00:00Z"}',
        b'{"id": "x\\ud800", "modified": "2026-01-01T00:00:00Z"}',
        b'{"id": "x", "modified": "2026-01-01T00:00:00Z", "affected": [{"package": "y"}]}',
        b'{"id": "x", "modified": "2026-01-01T00:00:00Z", "aliases": "CVE-2026-1"}',
    ],
)
def test_what_is_no_record_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_record(raw, what="x.json")


def test_a_key_that_stands_twice_is_refused() -> None:
    with pytest.raises(DuplicateKeyError):
        parse_record(b'{"id": "x", "id": "y", "modified": "2026-01-01T00:00:00Z"}', what="x.json")


@pytest.mark.parametrize("event", [{"fixed": "not a version"}, {"fixed": ""}, {"introduced": "1 2"}])
def test_a_bound_that_is_no_version_is_refused(event: dict[str, str]) -> None:
    with pytest.raises(MalformedError):
        told(record(affected=[affected(ALWAYS, event)]))
    with pytest.raises(MalformedError):
        told(record(affected=[affected({"fixed": "2"})]))


VERSION = st.builds("{}.{}".format, st.integers(1, 4), st.integers(0, 3))
KIND = st.sampled_from(["introduced", "fixed", "last_affected"])


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(VERSION, KIND, max_size=6), VERSION, st.randoms())
def test_stretches_say_what_the_specification_s_evaluation_says(
    events: dict[str, str], version: str, dice: random.Random
) -> None:
    shuffled = [ALWAYS, *({kind: at} for at, kind in events.items())]
    dice.shuffle(shuffled)
    # OSV schema, "Evaluation", word for word.
    vulnerable = True
    for at in sorted(events, key=debian_key):
        mine, its = debian_key(version), debian_key(at)
        if mine > its or (mine == its and events[at] != "last_affected"):
            vulnerable = events[at] == "introduced"
    order = order_of("Debian:12")
    assert order is not None
    found = told(record(affected=[affected(*shuffled)]))
    assert any(Stretch(order, a.introduced, a.fixed, a.last_affected).holds(order.key(version)) for a in found) == (
        vulnerable
    )


# --- folders, zips, addresses ----------------------------------------------------------------


def packed(members: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", method) as archive:
        for name, raw in members.items():
            archive.writestr(name, raw)
    return sink.getvalue()


def good(number: int, **fields: Any) -> bytes:
    value = record(f"DEBIAN-CVE-2026-{number}", affected=[affected(ALWAYS, {"fixed": "3.0.22-1"})], **fields)
    return json.dumps(value).encode()


def ask(location: Path | str, *bills: Bill, **means: Any) -> Feed:
    return OsvSource(location, **means).feed(bills)


@pytest.fixture
def openssl(bill: Billing) -> Bill:
    return bill("libssl3=3.0.20-1<openssl=3.0.20-1")


def test_a_folder_with_records_and_exports_is_one_source(tmp_path: Path, openssl: Bill) -> None:
    (tmp_path / "own.json").write_bytes(good(1001))
    (tmp_path / "Debian").mkdir()
    (tmp_path / "Debian" / "all.zip").write_bytes(packed({"a:b.json": good(1002), "readme.txt": b"x", "d/": b""}))
    (tmp_path / "notes.txt").write_text("not a record")
    feed = ask(tmp_path, openssl)
    assert [advisory.id for advisory in feed.advisories] == ["CVE-2026-1001", "CVE-2026-1002"]
    assert feed.asked == (Asked("Debian:12", "openssl"),)
    assert feed.problems == ()


def test_a_feed_is_as_of_its_newest_record(tmp_path: Path, openssl: Bill) -> None:
    (tmp_path / "1.json").write_bytes(good(1001, published="2030-01-01T00:00:00Z"))
    (tmp_path / "2.json").write_bytes(good(1002).replace(b"2026-11-19T21:02:23.123456789Z", b"2026-11-01T00:00:00Z"))
    assert ask(tmp_path, openssl).as_of == datetime(2026, 11, 19, 21, 2, 23, 123456, tzinfo=UTC)


def test_bad_records_are_named_and_lose_nothing_else(tmp_path: Path, openssl: Bill) -> None:
    members = {
        "ok.json": good(1001),
        "broken.json": b"{",
        "twice.json": b'{"id": "a", "id": "b", "modified": "2026-01-01T00:00:00Z"}',
        "bound.json": json.dumps(record(affected=[affected(ALWAYS, {"fixed": "not a version"})])).encode(),
        "ok:2.json": good(1002),
    }
    path = tmp_path / "all.zip"
    path.write_bytes(packed(members))
    feed = ask(path, openssl)
    assert [advisory.id for advisory in feed.advisories] == ["CVE-2026-1001", "CVE-2026-1002"]
    assert len(feed.problems) == 3
    assert [name for name in ("broken.json", "twice.json", "bound.json") if name in " ".join(feed.problems)] == [
        "broken.json",
        "twice.json",
        "bound.json",
    ]


def test_very_many_bad_records_are_counted(tmp_path: Path, openssl: Bill) -> None:
    path = tmp_path / "all.zip"
    path.write_bytes(packed({"ok.json": good(1001), **{f"{number}.json": b"{" for number in range(150)}}))
    feed = ask(path, openssl)
    assert len(feed.problems) == 100
    assert feed.problems[-1] == "and 51 more records that cannot be read"


def test_an_export_of_another_ecosystem_was_not_asked_about_this_one(tmp_path: Path, openssl: Bill) -> None:
    (tmp_path / "1.json").write_bytes(json.dumps(record(affected=[affected(ALWAYS, ecosystem="npm")])).encode())
    feed = ask(tmp_path, openssl)
    assert (feed.advisories, feed.asked) == ((), ())


def test_a_damaged_member_is_named_and_an_encrypted_one_too(tmp_path: Path, openssl: Bill) -> None:
    raw = bytearray(packed({"first.json": good(1001), "second.json": good(1002)}, zipfile.ZIP_STORED))
    raw[raw.index(b"CVE-2026-1001")] ^= 1  # the checksum no longer fits
    path = tmp_path / "all.zip"
    path.write_bytes(raw)
    feed = ask(path, openssl)
    assert [advisory.id for advisory in feed.advisories] == ["CVE-2026-1002"]
    assert "first.json" in feed.problems[0]
    at = raw.index(b"PK\x01\x02") + 8
    raw[at] |= 1  # "encrypted" in the directory's entry of the first
    path.write_bytes(raw)
    assert "encrypted" in ask(path, openssl).problems[0]


def test_a_member_that_inflates_without_end_is_cut_off(tmp_path: Path, openssl: Bill) -> None:
    path = tmp_path / "all.zip"
    path.write_bytes(packed({"bomb.json": b" " * (17 * 1024 * 1024), "ok.json": good(1001)}))
    feed = ask(path, openssl)
    assert [advisory.id for advisory in feed.advisories] == ["CVE-2026-1001"]
    assert "limit" in feed.problems[0]


@pytest.mark.parametrize("raw", [b"", b"PK\x05\x06", b"no zip at all", b"PK\x05\x06" + b"\xff" * 18])
def test_what_is_no_zip_is_refused(tmp_path: Path, openssl: Bill, raw: bytes) -> None:
    path = tmp_path / "all.zip"
    path.write_bytes(raw)
    with pytest.raises(SallyportError):
        ask(path, openssl)


def test_a_directory_that_claims_gigabytes_is_refused_before_it_is_read(tmp_path: Path, openssl: Bill) -> None:
    raw = bytearray(packed({"ok.json": good(1001)}))
    raw[-10:-6] = (1 << 30).to_bytes(4, "little")
    path = tmp_path / "all.zip"
    path.write_bytes(raw)
    with pytest.raises(SallyportError, match="directory of 1073741824 bytes"):
        ask(path, openssl)


@pytest.mark.parametrize("place", ["", "missing", "empty.zip"])
def test_a_source_without_a_record_is_an_error_and_not_a_clean_bill(tmp_path: Path, openssl: Bill, place: str) -> None:
    (tmp_path / "empty.zip").write_bytes(packed({}))
    folder = tmp_path / place
    if not place:
        folder = tmp_path / "folder"
        folder.mkdir()
    with pytest.raises(SallyportError, match="no OSV record"):
        ask(folder, openssl)


def test_mutations_of_an_export_give_a_feed_or_a_typed_error(tmp_path: Path, openssl: Bill) -> None:
    raw = packed({f"{number}.json": good(number) for number in range(1001, 1004)})
    path = tmp_path / "all.zip"
    dice = random.Random(11)
    for _ in range(400):
        broken = bytearray(raw)
        for _ in range(dice.randint(1, 3)):
            at = dice.randrange(len(broken))
            if dice.random() < 0.7:
                broken[at] = dice.randrange(256)
            else:
                del broken[at : at + dice.randint(1, 20)]
        path.write_bytes(broken)
        try:
            ask(path, openssl)
        except SallyportError:
            continue


def test_mutations_of_a_record_give_advisories_or_a_typed_error() -> None:
    raw = json.dumps(
        record(
            upstream=["CVE-2026-1001"],
            severity=[V31],
            affected=[affected(ALWAYS, {"fixed": "3"}, versions=["1", "9"], database_specific={"severity": "LOW"})],
        )
    )
    dice = random.Random(12)
    for _ in range(1500):
        at, end = sorted(dice.randrange(len(raw)) for _ in range(2))
        part = dice.choice(['"', "{}", "[]", "null", "1e999", "\\ud800", ",", "-1", "true", raw[at : at + 12]])
        broken = raw[:at] + part + raw[end if dice.random() < 0.3 else at + dice.randint(0, 4) :]
        try:
            list(advisories_of(parse_record(broken.encode("utf-8", "replace"), what="x"), WANTED))
        except SallyportError:
            continue


class Export(BaseHTTPRequestHandler):
    body = b""
    etag = '"1"'
    seen: list[str | None]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        known = self.headers.get("If-None-Match")
        self.seen.append(known)
        if self.path != "/all.zip":
            status = {"/secret.zip": 403, "/broken.zip": 500}.get(self.path, 404)
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if known == self.etag:
            self.send_response(304)
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("ETag", self.etag)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def export() -> Iterator[tuple[str, type[Export]]]:
    class Mine(Export):
        seen: list[str | None] = []  # noqa: RUF012 - one for each server

    server = ThreadingHTTPServer(("127.0.0.1", 0), Mine)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", Mine
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_an_export_is_fetched_once_until_it_changes(
    export: tuple[str, type[Export]], tmp_path: Path, openssl: Bill
) -> None:
    address, server = export
    server.body = packed({"1.json": good(1001)})
    with Http(proxies={}, retries=0) as http:
        source = make_source("osv", location=f"{address}/all.zip", http=http, cache=tmp_path / "cache")
        first = source.feed((openssl,))
        assert source.feed((openssl,)) == first
        assert server.seen == [None, '"1"']
        server.body, server.etag = packed({"1.json": good(1001), "2.json": good(1002)}), '"2"'
        assert len(source.feed((openssl,)).advisories) == 2
        assert server.seen[-1] == '"1"'


@pytest.mark.parametrize(
    ("path", "error"),
    [("missing.zip", NotFoundError), ("secret.zip", DeniedError), ("broken.zip", UnreachableError)],
)
def test_an_export_that_cannot_be_had_is_an_error_even_with_an_old_copy(
    export: tuple[str, type[Export]], tmp_path: Path, openssl: Bill, path: str, error: type[SallyportError]
) -> None:
    address, _ = export
    with Http(proxies={}, retries=0) as http, pytest.raises(error):
        ask(f"{address}/{path}", openssl, http=http, cache=tmp_path)


def test_an_unknown_scheme_or_no_location_is_a_usage_error(openssl: Bill) -> None:
    with pytest.raises(UsageError, match="'ftp'"):
        ask("ftp://x.example/all.zip", openssl)
    with pytest.raises(UsageError, match="no location"):
        make_source("osv")
    with pytest.raises(UsageError, match="'nvd'") as caught:
        make_source("nvd")
    assert "changelog, osv" in caught.value.mend
