"""The feed that crosses: back exactly, readable by others, and refused when one byte is another."""

from __future__ import annotations

import importlib
import io
import json
import random
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sallyport.advisories import Advisory, Asked, Evidence, Feed, Severity, export_feed, read_feed
from sallyport.advisories.model import tidy
from sallyport.advisories.osv import OsvSource
from sallyport.errors import MalformedError, SallyportError, StorageError

SHARED = Path(__file__).parents[2].parent / "shared" / "advisories"
AS_OF = datetime(2026, 11, 21, 0, 53, 2, tzinfo=UTC)


def advisory(number: int = 1001, **fields: object) -> Advisory:
    values: dict[str, object] = {
        "id": f"CVE-2026-{number}",
        "aliases": ("DSA-1-1",),
        "ecosystem": "Debian:12",
        "package": "openssl",
        "introduced": "0",
        "fixed": "3.0.22-1~deb12u2",
        "severity": Severity.HIGH,
        "evidence": (Evidence("changelog", "openssl 3.0.22-1~deb12u2", "CVE-2026-1001: é\n…"),),
    }
    return Advisory(**{**values, **fields})  # type: ignore[arg-type]


FEEDS = (
    Feed("changelog", AS_OF, tidy([advisory(), advisory(1002, fixed=None)]), (Asked("Debian:12", "openssl", "3"),)),
    Feed("osv", AS_OF - timedelta(days=3, microseconds=7), tidy([advisory(severity=Severity.UNKNOWN)]), (), ("x: y",)),
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
ADVISORY = st.builds(
    Advisory,
    id=st.text("CVE-2026/:.%_a1", min_size=1, max_size=12),
    aliases=st.lists(TEXT, max_size=2).map(tuple),
    ecosystem=TEXT,
    package=TEXT,
    introduced=st.sampled_from(["0", "", "1"]) | TEXT,
    fixed=st.none() | TEXT,
    severity=st.sampled_from(Severity),
    evidence=st.lists(st.builds(Evidence, TEXT, TEXT, TEXT), max_size=2).map(tuple),
    last_affected=st.none() | TEXT,
    versions=st.lists(TEXT, max_size=2).map(tuple),
)
FEED = st.builds(
    Feed,
    source=TEXT,
    as_of=st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - hypothesis wants it bare
    advisories=st.lists(ADVISORY, max_size=4).map(tidy),
    asked=st.lists(st.builds(Asked, TEXT, TEXT, TEXT), max_size=3).map(lambda found: tuple(sorted(set(found)))),
    problems=st.lists(TEXT, max_size=2).map(tuple),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(FEED, max_size=3).map(tuple))
def test_what_is_read_is_what_was_exported(feeds: tuple[Feed, ...]) -> None:
    raw = export_feed(feeds)
    assert read_feed(raw) == feeds
    assert export_feed(read_feed(raw)) == raw


def test_it_is_read_from_a_file_too(tmp_path: Path) -> None:
    path = tmp_path / "feed.zip"
    path.write_bytes(export_feed(FEEDS))
    assert read_feed(path) == FEEDS
    with pytest.raises(StorageError):
        read_feed(tmp_path / "missing.zip")


def test_other_readers_find_osv_records(tmp_path: Path) -> None:
    path = tmp_path / "feed.zip"
    path.write_bytes(export_feed(FEEDS))
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["feed-metadata", "CVE-2026-1001.json", "CVE-2026-1002.json"]
        value = json.loads(archive.read("CVE-2026-1001.json"))
    assert value["id"] == "x_sallyport-CVE-2026-1001"
    assert value["upstream"] == ["CVE-2026-1001"]
    assert [item["ranges"][0]["events"] for item in value["affected"]] == [
        [{"introduced": "0"}, {"fixed": "3.0.22-1~deb12u2"}]
    ] * 2
    from sallyport.catalog import Bill, Distribution, Package
    from sallyport.oci import Digest, Platform

    layer = Digest.of(b"")
    package = Package("deb", "libssl3", "1", "amd64", "openssl", "1", layer, "status")
    bill = Bill(layer, Platform("linux", "amd64"), Distribution("debian", "12", "bookworm", ""), (package,))
    feed = OsvSource(path).feed((bill,))
    assert {item.id for item in feed.advisories} == {"CVE-2026-1001", "CVE-2026-1002"}
    assert feed.problems == ()


def test_its_records_are_valid_by_osv_s_own_schema() -> None:
    if not (SHARED / "osv-schema.json").is_file():
        pytest.skip(f"OSV's schema is not at {SHARED}")
    jsonschema: Any = importlib.import_module("jsonschema")  # it brings no types

    validator = jsonschema.Draft202012Validator(json.loads((SHARED / "osv-schema.json").read_text()))
    many = tidy(
        [
            advisory(),
            advisory(1002, fixed=None, last_affected="3"),
            advisory(1003, introduced="", fixed=None, versions=("1", "2")),
            advisory(1004, aliases=(), evidence=()),
        ]
    )
    with zipfile.ZipFile(io.BytesIO(export_feed((Feed("osv", AS_OF, many),)))) as archive:
        for name in archive.namelist()[1:]:
            validator.validate(json.loads(archive.read(name)))


def rewritten(change: dict[str, bytes | None], *, first: str = "") -> bytes:
    """The feed with members replaced, added or (None) left out."""
    sink = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(export_feed(FEEDS))) as old, zipfile.ZipFile(sink, "w") as new:
        members: dict[str, bytes | None] = {**{name: old.read(name) for name in old.namelist()}, **change}
        for name in sorted(members, key=lambda name: (name != first, name != "feed-metadata", name)):
            content = members[name]
            if content is not None:
                new.writestr(name, content)
    return sink.getvalue()


def member(name: str) -> bytes:
    with zipfile.ZipFile(io.BytesIO(export_feed(FEEDS))) as archive:
        return archive.read(name)


def test_a_feed_that_lost_gained_or_changed_a_member_is_refused() -> None:
    one = member("CVE-2026-1001.json")
    for raw, told in (
        (rewritten({"CVE-2026-1002.json": None}), "1 records, not as many"),
        (rewritten({"CVE-2026-1003.json": one.replace(b"2026-1001", b"2026-1003")}), "3 records, not as many"),
        (rewritten({"CVE-2026-1002.json": one}), "is about 'CVE-2026-1001'"),
        (rewritten({"CVE-2026-1001.json": one.replace(b'"source":1', b'"source":2')}), "unknown source"),
        (rewritten({"CVE-2026-1001.json": one.replace(b'"source":1', b'"source":-1')}), "unknown source"),
        (rewritten({"CVE-2026-1001.json": one.replace(b'"high"', b'"awful"')}), "CVE-2026-1001"),
        (rewritten({"CVE-2026-1001.json": b"{"}), "CVE-2026-1001"),
        (rewritten({}, first="CVE-2026-1001.json"), "does not begin"),
        (rewritten({"feed-metadata": member("feed-metadata").replace(b"feed/1", b"feed/9")}), "format"),
        (rewritten({"feed-metadata": b"{}"}), "feed-metadata"),
        (b"", "no zip"),
    ):
        with pytest.raises(MalformedError, match=told):
            read_feed(raw)


def test_a_member_that_stands_twice_is_refused() -> None:
    sink = io.BytesIO(export_feed(FEEDS))
    with zipfile.ZipFile(sink, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("CVE-2026-1001.json", b"{}")
    with pytest.raises(MalformedError, match="twice"):
        read_feed(sink.getvalue())


def test_a_flipped_bit_never_gives_another_feed() -> None:
    raw = export_feed(FEEDS)
    dice = random.Random(3)
    for _ in range(600):
        broken = bytearray(raw)
        broken[dice.randrange(len(raw))] ^= 1 << dice.randrange(8)
        try:
            # Flips in dates and attributes that nobody reads change nothing.
            assert read_feed(bytes(broken)) == FEEDS
        except SallyportError:
            continue
