"""Counting: identifiers once for each image, the worst severity, the rest by subtraction."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from sallyport.advisories import Severity
from sallyport.audit import ImageReport, JournalReport, PlatformReport, Report, rows_of, summarise
from sallyport.catalog import Package
from sallyport.gate import Passed
from sallyport.match import Finding, Scan
from sallyport.oci import Digest, Platform

NOW = datetime(2026, 7, 11, tzinfo=UTC)
AMD64, ARM64 = Platform("linux", "amd64"), Platform("linux", "arm64")


def finding(
    name: str,
    severity: Severity = Severity.HIGH,
    *,
    package: str = "openssl",
    fixed: str | None = None,
) -> Finding:
    layer = Digest.of(b"layer")
    return Finding(name, Package("deb", package, "1", "amd64", package, "1", layer, "status"), fixed, severity, ())


def scan(platform: Platform, *findings: Finding) -> Scan:
    return Scan(Digest.of(str(platform).encode()), platform, 10, findings, (), NOW, "outside")


def image(*platforms: tuple[Scan | None, Scan | None]) -> ImageReport:
    parts = tuple(
        PlatformReport("p", Digest.of(b"%d" % number), 10, now, before, None)
        for number, (now, before) in enumerate(platforms)
    )
    digest = Digest.of(b"index")
    return ImageReport("web", "1", digest, "released", NOW, "", (), "", Passed(("ok",)), parts)


def report(*images: ImageReport) -> Report:
    return Report("x", NOW, images, (), (), (), JournalReport(0, whole=True, problem="", head=None, recent=()), ())


def test_a_vulnerability_in_many_packages_and_platforms_counts_once() -> None:
    a, b = finding("CVE-1", fixed="2"), finding("CVE-1", Severity.CRITICAL, package="curl", fixed="3")
    summary = summarise(report(image((scan(AMD64, a, b), None), (scan(ARM64, a), None))))

    (only,) = summary.images
    assert (summary.after, summary.before, summary.fixable) == (1, 1, 1)
    assert only.before is None
    assert {severity: count for severity, count in only.after_by.items() if count} == {Severity.CRITICAL: 1}
    assert [(row.package, row.platforms) for row in only.rows] == [
        ("curl", ("linux/amd64",)),
        ("openssl", ("linux/amd64", "linux/arm64")),
    ]


def test_closed_is_what_was_there_and_is_not_any_more() -> None:
    one, two = finding("CVE-1", fixed="2"), finding("CVE-2")
    summary = summarise(report(image((scan(AMD64, two), scan(AMD64, one, two)))))

    (only,) = summary.images
    assert (only.before, only.after, only.fixable) == (2, 1, 0)
    assert [row.id for row in only.closed] == ["CVE-1"]
    assert summary.closed == 1


def test_what_one_platform_still_has_is_not_closed() -> None:
    one = finding("CVE-1", fixed="2")
    (only,) = summarise(report(image((scan(AMD64), scan(AMD64, one)), (scan(ARM64, one), None)))).images
    assert (only.before, only.after, only.closed) == (1, 1, ())


def test_an_image_that_was_not_scanned_is_not_called_clean() -> None:
    summary = summarise(report(image((scan(AMD64), None), (None, None)), image()))
    assert [item.after for item in summary.images] == [None, None]
    assert summary.unscanned == 2
    assert (summary.before, summary.after) == (0, 0)


def test_what_needs_an_eye_comes_first() -> None:
    passed = image((scan(AMD64), None))
    unjudged = replace(passed, repository="zz", verdict=None)
    assert [item.image.repository for item in summarise(report(passed, unjudged)).images] == ["zz", "web"]


findings = st.lists(
    st.builds(
        finding,
        st.sampled_from([f"CVE-{n}" for n in range(6)]),
        st.sampled_from(list(Severity)),
        package=st.sampled_from(["a", "b"]),
        fixed=st.sampled_from([None, "2"]),
    ),
    max_size=8,
)


@settings(max_examples=100, deadline=None)
@given(now=findings, before=findings)
def test_the_figures_add_up(now: list[Finding], before: list[Finding]) -> None:
    (only,) = summarise(report(image((scan(AMD64, *now), scan(AMD64, *before))))).images
    ids, had = {f.id for f in now}, {f.id for f in before}
    assert only.after == len(ids) == sum(only.after_by.values())
    assert only.before == len(had) == sum(only.before_by.values())
    assert {row.id for row in only.closed} == had - ids
    assert only.fixable == len({f.id for f in now if f.fixed})
    ranks = [row.severity.rank for row in rows_of([scan(AMD64, *now)])]
    assert ranks == sorted(ranks, reverse=True)
