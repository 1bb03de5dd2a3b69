"""The archive's own word: the newer package's changelog, fetched once, read for the whole fleet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

import pytest

from sallyport.advisories import Asked, Evidence, Feed, make_source
from sallyport.advisories.changelog import ChangelogSource, as_of, serves
from sallyport.archives import Archive, Release
from sallyport.catalog import Bill, Distribution
from sallyport.engine import Threads
from sallyport.errors import UsageError

if TYPE_CHECKING:
    from tests.advisories.conftest import Shelf

Writer = Callable[..., str]
Billing = Callable[..., Bill]


def ask(shelf: Shelf, *bills: Bill) -> Feed:
    return ChangelogSource(cast("Archive", shelf), executor=Threads(2)).feed(bills)


@pytest.fixture
def brotli(shelf: Shelf, write_changelog: Writer) -> Shelf:
    text = write_changelog(
        "brotli", ("1.0.9-2+deb12u1", ["* CVE-2026-111497: bound it."]), ("1.0.9-2", ["* CVE-2020-8927"])
    )
    shelf.add("libbrotli1", "1.0.9-2+deb12u1", text, source="brotli")
    return shelf


def test_a_rebuilt_package_is_asked_about_by_its_source_s_version(brotli: Shelf, bill: Billing) -> None:
    feed = ask(brotli, bill("libbrotli1=1.0.9-2+b6<brotli=1.0.9-2"))
    (advisory,) = feed.advisories
    assert (advisory.id, advisory.ecosystem, advisory.package) == ("CVE-2026-111497", "Debian:12", "brotli")
    assert (advisory.introduced, advisory.fixed) == ("0", "1.0.9-2+deb12u1")
    assert advisory.evidence == (Evidence("changelog", "brotli 1.0.9-2+deb12u1", "CVE-2026-111497: bound it."),)
    assert feed.asked == (Asked("Debian:12", "brotli", "1.0.9-2"),)
    assert feed.problems == ()


def test_the_feed_is_as_fresh_as_the_security_suite(brotli: Shelf, bill: Billing) -> None:
    assert ask(brotli, bill("libbrotli1=1.0.9-2")).as_of == datetime(2026, 11, 21, tzinfo=UTC)
    assert as_of(brotli.releases[:1]) == datetime(2026, 7, 11, tzinfo=UTC)


def test_nothing_is_fetched_where_nothing_is_newer(brotli: Shelf, bill: Billing) -> None:
    feed = ask(brotli, bill("libbrotli1=1.0.9-2+deb12u1<brotli=1.0.9-2+deb12u1"))
    assert (feed.advisories, brotli.fetched) == ((), [])
    assert feed.asked == (Asked("Debian:12", "brotli", "1.0.9-2+deb12u1"),)


def test_two_images_with_two_versions_are_answered_by_one_package_from_the_lowest_on(
    brotli: Shelf, bill: Billing
) -> None:
    old, new = bill("libbrotli1=1.0.9-1<brotli=1.0.9-1"), bill("libbrotli1=1.0.9-2<brotli=1.0.9-2")
    feed = ask(brotli, new, old)
    assert brotli.fetched == ["libbrotli1"]
    assert [advisory.id for advisory in feed.advisories] == ["CVE-2020-8927", "CVE-2026-111497"]
    assert feed.advisories == ask(brotli, old, new).advisories


def test_the_smallest_package_of_a_source_is_fetched(shelf: Shelf, bill: Billing, write_changelog: Writer) -> None:
    text = write_changelog("openssl", ("2", ["* CVE-2026-1001"]), ("1", ["* New."]))
    shelf.add("libssl3", "2", text, source="openssl", ballast=300_000)
    shelf.add("openssl", "2", text)
    feed = ask(shelf, bill("libssl3=1<openssl=1", "openssl=1"))
    assert shelf.fetched == ["openssl"]
    assert len(feed.advisories) == 1


def test_where_documentation_is_a_link_another_package_of_the_source_is_read(
    shelf: Shelf, bill: Billing, write_changelog: Writer
) -> None:
    text = write_changelog("nginx", ("2", ["* CVE-2026-1001"]), ("1", ["* New."]))
    shelf.add("nginx-light", "2", None, source="nginx", link="nginx")
    shelf.add("nginx-doc", "1", text, source="nginx")  # of another version
    shelf.add("nginx", "2", text, ballast=5000)
    feed = ask(shelf, bill("nginx-light=1<nginx=1"))
    assert shelf.fetched == ["nginx-light", "nginx"]
    assert [advisory.id for advisory in feed.advisories] == ["CVE-2026-1001"]


def test_a_source_whose_changelog_is_nowhere_was_not_asked_about(shelf: Shelf, bill: Billing) -> None:
    shelf.add("x1", "2", None)
    feed = ask(shelf, bill("x1=1"))
    assert (feed.advisories, feed.asked) == ((), ())
    assert feed.problems == ("no package of x1 2 holds its changelog",)


def test_a_changelog_that_is_no_text_is_a_problem_of_its_source_alone(brotli: Shelf, bill: Billing) -> None:
    brotli.add("x1", "2", "\0\udcff")
    feed = ask(brotli, bill("libbrotli1=1.0.9-2<brotli=1.0.9-2", "x1=1"))
    assert [item.package for item in feed.asked] == ["brotli"]
    assert len(feed.advisories) == 1
    assert "the changelog of x1 2" in feed.problems[0]


def test_a_package_that_the_archive_does_not_have_was_not_asked_about(brotli: Shelf, bill: Billing) -> None:
    feed = ask(brotli, bill("libbrotli1=1.0.9-2<brotli=1.0.9-2", "vendor-agent=1"))
    assert [item.package for item in feed.asked] == ["brotli"]
    assert feed.problems == ("the archive has no package of the source vendor-agent",)


def test_a_shortened_changelog_answers_only_from_where_it_begins(
    shelf: Shelf, bill: Billing, write_changelog: Writer
) -> None:
    text = write_changelog("x1", ("9", ["* CVE-2026-1001"]), ("7", ["* CVE-2024-1001"]))
    shelf.add("x1", "9", f"{text}\n# Older entries have been removed from this changelog.\n")
    feed = ask(shelf, bill("x1=5"))
    assert feed.asked == (Asked("Debian:12", "x1", "7"),)
    assert [advisory.id for advisory in feed.advisories] == ["CVE-2024-1001", "CVE-2026-1001"]


def test_both_architectures_are_one_question(shelf: Shelf, bill: Billing, write_changelog: Writer) -> None:
    text = write_changelog("x1", ("2", ["* CVE-2026-1001"]), ("1", ["* New."]))
    shelf.add("x1", "2", text, architectures=("amd64", "arm64"))
    feed = ask(shelf, bill("x1=1"), bill("x1=1", architecture="arm64"))
    assert len(shelf.fetched) == 1
    assert len(feed.advisories) == 1


def test_an_architecture_that_the_archive_lacks_is_a_problem_and_no_silence(brotli: Shelf, bill: Billing) -> None:
    feed = ask(brotli, bill("libbrotli1=1", architecture="riscv64"))
    assert feed.asked == ()
    assert "riscv64" in feed.problems[0]


@pytest.mark.parametrize(
    ("distribution", "served"),
    [
        (Distribution("debian", "12", "bookworm", ""), True),
        (Distribution("debian", "12", "", ""), True),
        (Distribution("debian", "13", "trixie", ""), False),
        (Distribution("debian", "", "", ""), False),
        (Distribution("ubuntu", "12", "bookworm", ""), False),
        (None, False),
    ],
)
def test_only_images_of_the_archive_s_own_release_are_asked_about(
    brotli: Shelf, bill: Billing, distribution: Distribution | None, *, served: bool
) -> None:
    releases: tuple[Release, ...] = brotli.releases
    assert serves(releases, distribution) is served
    feed = ask(brotli, bill("libbrotli1=1.0.9-2<brotli=1.0.9-2", distribution=distribution))
    assert bool(feed.advisories) is served
    assert bool(feed.asked) is served


def test_a_fleet_of_two_releases_asks_two_archives(
    brotli: Shelf, bill: Billing, tmp_path_factory: pytest.TempPathFactory, write_changelog: Writer
) -> None:
    trixie = replace(
        brotli,
        stanzas={},
        fetched=[],
        releases=tuple(
            replace(item, codename=item.codename.replace("bookworm", "trixie"), version="13", date=date)
            for item, date in zip(
                brotli.releases, (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 11, 20, tzinfo=UTC)), strict=True
            )
        ),
    )
    trixie.add("x1", "3", write_changelog("x1", ("3", ["* CVE-2026-3"]), ("2", ["* New. CVE-2026-1003"])))
    source = ChangelogSource(cast("Archive", brotli), cast("Archive", trixie))
    feed = source.feed(
        (
            bill("libbrotli1=1.0.9-2<brotli=1.0.9-2"),
            bill("x1=1", distribution=Distribution("debian", "13", "trixie", "")),
        )
    )
    assert [(item.ecosystem, item.id) for item in feed.advisories] == [
        ("Debian:12", "CVE-2026-111497"),
        ("Debian:13", "CVE-2026-1003"),
    ]
    assert feed.as_of == datetime(2026, 11, 20, tzinfo=UTC)


def test_without_an_archive_the_source_says_where_it_belongs() -> None:
    with pytest.raises(UsageError, match="needs a signed package archive"):
        make_source("changelog")
