"""The report says what happened, loudly where something is wrong, and carries nothing that runs."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest

from sallyport.audit import look, render, write_report
from sallyport.errors import StorageError
from sallyport.gate import Passed, Refused
from sallyport.oci import Digest, encode
from sallyport.store import Store, open_store

NOW = datetime(2026, 7, 11, 9, 30, tzinfo=UTC)
VOID = {"meta", "br", "path", "link", "img", "input", "hr"}


class Page(HTMLParser):
    """Reads a page as strictly as a person would: every element closed, in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def written(store: Store, tmp_path: Path) -> tuple[str, Page]:
    write_report(store, tmp_path / "out" / "report.html", title="ship-7", now=NOW)
    html = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    return html, Page(html)


def test_the_fleet_is_read_from_facts_tags_and_journal(fleet: Store) -> None:
    report = look(fleet, title="ship-7", now=NOW)

    images = {image.name: image for image in report.images}
    assert list(images) == [
        "apps/ledger-reconciliation:4.2",
        "distroless/static:nonroot-20260711.1",
        "library/other:1",
        "library/web:12-slim-20260711.1",
    ]
    web = images["library/web:12-slim-20260711.1"]
    assert (web.state, web.channels, web.newer) == ("released", ("stable",), "")
    assert web.upstream.startswith("registry.example/library/web:12-slim@sha256:")
    assert isinstance(web.verdict, Passed)
    assert [platform.platform for platform in web.platforms] == ["linux/amd64", "linux/arm64"]
    assert all(platform.before is not None for platform in web.platforms)
    assert isinstance(images["apps/ledger-reconciliation:4.2"].verdict, Refused)
    assert images["library/other:1"].state == "mirrored"
    assert not images["library/other:1"].scanned
    assert [(image.name, image.newer) for image in report.superseded] == [
        ("library/web:12-slim-20260701.1", "12-slim-20260711.1")
    ]
    assert [str(receipt.position) for receipt in report.receipts] == ["1.42", "1.41"]
    assert [(source.source, source.days) for source in report.sources] == [("changelog", 9), ("osv", 0)]
    assert report.journal.whole
    assert report.journal.lines == len(report.journal.recent) == 11
    assert report.journal.recent[0].verb == "promoted"
    assert report.problems == ()


def test_an_older_release_that_a_channel_names_stays_in_sight(fleet: Store) -> None:
    old = fleet.state.tag("library/web", "12-slim-20260701.1")
    assert old is not None
    fleet.state.set_tag("library/web", "ring-9", old.descriptor)

    report = look(fleet, title="ship-7", now=NOW)

    held_back = next(image for image in report.images if image.tag == "12-slim-20260701.1")
    assert (held_back.channels, held_back.newer) == (("ring-9",), "12-slim-20260711.1")
    assert report.superseded == ()


def test_the_page_is_one_file_that_loads_and_runs_nothing(fleet: Store, tmp_path: Path) -> None:
    html, page = written(fleet, tmp_path)

    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "link", "img", "iframe", "object", "form", "base", "embed", "audio", "video"}
    for tag, attributes in page.tags:
        assert not any(name.startswith("on") or name in {"style", "src", "srcset"} for name in attributes), tag
    assert "http://" not in html
    assert "https://" not in html
    assert "url(" not in html
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    policy = next(a["content"] for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def test_it_shows_what_an_auditor_asks_for(fleet: Store, tmp_path: Path) -> None:
    _, page = written(fleet, tmp_path)
    text = page.text

    head = look(fleet, title="x", now=NOW).journal.head
    for words in (
        "80 → 31",  # before and after
        "49 closed by patching",
        "14 findings with a known fix; the policy allows 0",  # why it was refused
        "What is left: 22 findings",
        "What patching closed: 46 vulnerabilities",
        "openssl 3.0.17-1~deb12u2",  # the evidence
        "12-slim-20260701.1",  # superseded
        "ship-7 1.42",  # receipts
        "the signature does not verify",
        "chain verified",
        str(head),
        "osv: 2 records could not be read",  # gaps
        "1 not scanned",
    ):
        assert words in text, words


def test_strangers_words_stay_words(fleet: Store, tmp_path: Path) -> None:
    html, page = written(fleet, tmp_path)
    assert "<b>marks</b> & signs" in page.text
    assert "<b>marks</b>" not in html

    fleet.state.append("mirrored", "</code><script>alert(1)</script>", {"<img src=x>": "\u202egnp.exe\u0007"})
    html, page = written(fleet, tmp_path)
    assert "<script>alert(1)</script>" in page.text
    assert "\u202e" not in html
    assert "\u0007" not in html


def test_a_broken_journal_is_the_headline(fleet: Store, tmp_path: Path, tamper: Callable[[Store], None]) -> None:
    tamper(fleet)
    html, page = written(fleet, tmp_path)

    assert "journal broken" in page.text
    assert "The journal has been tampered with or damaged Line 3 of the journal was changed." in page.text
    assert "chain verified" not in page.text
    assert html.index("tampered") < html.index("Vulnerabilities")


def test_a_fact_that_cannot_be_read_is_named_and_hides_nothing_else(fleet: Store, tmp_path: Path) -> None:
    web = fleet.state.tag("library/web", "stable")
    assert web is not None
    fleet.state.put_fact("verdict", f"library/web@{web.descriptor.digest}", b'{"type":"maybe"}')
    fleet.state.put_fact("release", "x/y:1", b"{")
    fleet.state.put_fact("receipt", "ship-7/1.43", encode({"format": 1}))

    report = write_report(fleet, tmp_path / "report.html", title="ship-7", now=NOW)

    assert len(report.problems) == 3
    page = Page((tmp_path / "report.html").read_text())
    assert "3 facts could not be read" in page.text
    assert "library/web : 12-slim-20260711.1" in page.text
    assert next(image for image in report.images if image.repository == "library/web").verdict is None


def test_an_image_whose_bytes_are_gone_is_a_problem_of_the_report(fleet: Store, tmp_path: Path) -> None:
    web = fleet.state.tag("library/web", "stable")
    assert web is not None
    fleet.blobs.delete(web.descriptor.digest)
    report = write_report(fleet, tmp_path / "report.html", title="ship-7", now=NOW)
    assert any(web.descriptor.digest.short in problem for problem in report.problems)


def test_an_index_that_was_mirrored_in_part_shows_what_is_here(fleet: Store) -> None:
    report = look(fleet, title="ship-7", now=NOW)
    other = next(image for image in report.images if image.repository == "library/other")
    fleet.blobs.delete(other.platforms[1].digest)
    report = look(fleet, title="ship-7", now=NOW)
    other = next(image for image in report.images if image.repository == "library/other")
    assert [platform.platform for platform in other.platforms] == ["linux/amd64"]
    assert report.problems == ()


def test_an_empty_store_has_a_report_too(store: Store, tmp_path: Path) -> None:
    _, page = written(store, tmp_path)
    for words in ("There is no image in this store yet", "No receipt has come back yet", "Nothing has happened yet"):
        assert words in page.text


def test_the_inside_sees_what_it_imported(tmp_path: Path, fleet: Store) -> None:
    """No release facts there: immutable tags and scans of its own."""
    web = fleet.state.tag("library/web", "stable")
    assert web is not None
    with open_store(tmp_path / "inside") as inside:
        for digest in fleet.blobs.digests():
            inside.blobs.put(digest, fleet.blobs.size(digest), fleet.blobs.chunks(digest))
        inside.state.set_tag("library/web", "12-slim-20260711.1", web.descriptor, immutable=True)
        inside.state.set_tag("library/web", "stable", web.descriptor)
        inside.state.set_tag("library/web", f"sha256-{web.descriptor.digest.hex}.sig", web.descriptor)

        (image,) = look(inside, title="inside", now=NOW).images

    assert (image.state, image.channels, image.upstream) == ("imported", ("stable",), "")


def test_only_the_newest_lines_are_shown_but_all_are_verified(store: Store, tmp_path: Path) -> None:
    for number in range(300):
        store.state.append("mirrored", f"image{number}", {})
    report = look(store, title="x", now=NOW)
    assert (report.journal.lines, len(report.journal.recent)) == (300, 200)
    assert report.journal.recent[0].subject == "image299"
    assert "The newest 200 of 300 lines" in Page(render(report)).text
    assert look(store, title="x", now=NOW, lines=0).journal.recent == ()


def test_the_same_store_gives_the_same_bytes(fleet: Store, tmp_path: Path) -> None:
    first, _ = written(fleet, tmp_path)
    second, _ = written(fleet, tmp_path)
    assert first == second


def test_a_report_is_json_too(fleet: Store) -> None:
    assert str(Digest.of(b"web"))[:6] == "sha256"
    assert b'"library/web"' in encode(look(fleet, title="ship-7", now=NOW))


def test_a_path_that_cannot_be_written_is_a_typed_error(fleet: Store, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError):
        write_report(fleet, tmp_path / "file" / "report.html", title="x", now=NOW)
