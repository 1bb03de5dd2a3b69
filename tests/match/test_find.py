"""Bills against feeds: who is vulnerable, what closes it, and who said so."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sallyport.advisories import Advisory, Asked, Evidence, Feed, Severity, export_feed, read_feed
from sallyport.advisories.model import tidy
from sallyport.advisories.osv import OsvSource
from sallyport.archives import debian_key
from sallyport.catalog import Bill, Distribution, Package
from sallyport.catalog.dpkg import parse_status
from sallyport.errors import MalformedError
from sallyport.match import Known, Scan, SourceDate, find, scan
from sallyport.oci import Digest, Platform, decode, encode

NOW = datetime(2026, 11, 24, tzinfo=UTC)
LAYER = Digest.of(b"layer")
SHARED = Path(__file__).parents[2].parent / "shared" / "advisories"
BOOKWORM = Distribution("debian", "12", "bookworm", "")


def package(name: str, version: str, source: str = "", source_version: str = "", kind: str = "deb") -> Package:
    return Package(kind, name, version, "amd64", source or name, source_version or version, LAYER, "status")


def bill(*packages: Package, distribution: Distribution | None = BOOKWORM) -> Bill:
    return Bill(LAYER, Platform("linux", "amd64"), distribution, tuple(sorted(packages, key=lambda item: item.key)))


def advisory(
    identifier: str = "CVE-2026-1001",
    fixed: str | None = "2",
    *,
    source: str = "osv",
    introduced: str = "0",
    severity: Severity = Severity.UNKNOWN,
    ecosystem: str = "Debian:12",
    **more: object,
) -> Advisory:
    why = (Evidence(source, f"{source}-{identifier}-{fixed}", "because"),)
    return Advisory(identifier, (), ecosystem, "openssl", introduced, fixed, severity, why, **more)  # type: ignore[arg-type]


def feed(
    *advisories: Advisory, source: str = "osv", since: str = "0", packages: tuple[str, ...] = ("openssl",)
) -> Feed:
    asked = tuple(sorted(Asked("Debian:12", name, since) for name in packages))
    return Feed(source, NOW - timedelta(days=1), tidy(advisories), asked)


OLD = package("libssl3", "1:1+b1", "openssl", "1")


def test_a_package_is_matched_by_its_source_and_the_source_s_version() -> None:
    (finding,) = find(bill(OLD, package("zlib1g", "1")), [feed(advisory())])
    assert (finding.id, finding.package, finding.fixed, finding.fixable) == ("CVE-2026-1001", OLD, "2", True)


@pytest.mark.parametrize(
    ("version", "hit"),
    [("0.9", False), ("1", True), ("2~rc1", True), ("2", False), ("2+deb12u1", False), ("1:0", False)],
)
def test_from_the_introduction_until_the_fix_it_is_vulnerable(version: str, *, hit: bool) -> None:
    found = find(bill(package("openssl", version)), [feed(advisory(introduced="1"))])
    assert bool(found) is hit


def test_a_last_affected_version_is_still_affected_and_names_no_fix() -> None:
    told = [feed(advisory(fixed=None, last_affected="2"))]
    assert [bool(find(bill(package("openssl", version)), told)) for version in ("2", "2+1")] == [True, False]
    assert find(bill(OLD), told)[0].fixed is None


def test_a_listed_version_is_affected_whatever_its_place() -> None:
    told = [feed(advisory(fixed=None, introduced="", versions=("1",)))]
    assert [bool(find(bill(package("openssl", version)), told)) for version in ("0", "1", "2")] == [False, True, False]


def test_sources_that_agree_make_one_finding_with_the_evidence_of_both() -> None:
    changelog = feed(advisory(source="changelog"), source="changelog")
    (finding,) = find(bill(OLD), [changelog, feed(advisory(severity=Severity.HIGH))])
    assert [item.source for item in finding.evidence] == ["changelog", "osv"]
    assert finding.severity is Severity.HIGH


def test_where_sources_disagree_the_higher_fix_and_both_reasons_are_kept() -> None:
    one, other = feed(advisory(fixed="1.5")), feed(advisory(fixed="3", source="changelog"), source="changelog")
    (finding,) = find(bill(OLD), [one, other])
    assert finding.fixed == "3"
    assert len(finding.evidence) == 2
    # Past the first fix the second source still calls it vulnerable, and the first one's reason stays to be read.
    (finding,) = find(bill(package("openssl", "2")), [one, other])
    assert finding.fixed == "3"
    assert [item.source for item in finding.evidence] == ["changelog", "osv"]


def test_a_source_that_knows_a_fix_overrules_one_that_knows_none() -> None:
    (finding,) = find(bill(OLD), [feed(advisory(fixed=None)), feed(advisory(source="changelog"), source="changelog")])
    assert finding.fixed == "2"


def test_the_fix_of_another_branch_is_not_this_version_s() -> None:
    branches = feed(advisory(fixed="1.5"), advisory(introduced="2", fixed="2.5"))
    assert find(bill(OLD), [branches])[0].fixed == "1.5"
    assert find(bill(package("openssl", "2.1")), [branches])[0].fixed == "2.5"
    assert find(bill(package("openssl", "1.7")), [branches]) == ()


def test_findings_are_sorted_and_one_for_each_binary_package() -> None:
    found = find(bill(OLD, package("openssl", "1")), [feed(advisory("CVE-2026-2001"), advisory("CVE-2026-1001"))])
    assert [(item.id, item.package.name) for item in found] == [
        ("CVE-2026-1001", "libssl3"),
        ("CVE-2026-1001", "openssl"),
        ("CVE-2026-2001", "libssl3"),
        ("CVE-2026-2001", "openssl"),
    ]


@pytest.mark.parametrize(
    ("distribution", "count"),
    [
        (BOOKWORM, 2),
        (Distribution("debian", "13", "trixie", ""), 1),
        (Distribution("alpine", "3.20", "", ""), 0),
        (None, 0),
    ],
)
def test_each_release_hears_what_is_said_about_it(distribution: Distribution | None, count: int) -> None:
    told = feed(advisory(), advisory("CVE-2026-2001", ecosystem="Debian"))
    assert len(find(bill(OLD, distribution=distribution), [told])) == count


def test_a_bound_that_is_no_version_is_an_error_and_not_a_miss() -> None:
    with pytest.raises(MalformedError):
        find(bill(OLD), [feed(advisory(fixed="no version"))])


# --- scans: who was asked ---------------------------------------------------------------------


def scanned(subject: Bill, *feeds: Feed) -> Scan:
    return scan(subject, feeds, now=NOW, side="outside")


def test_a_scan_says_who_was_asked_and_as_of_when() -> None:
    found = scanned(bill(OLD), feed(advisory()))
    assert (found.packages, found.side, found.scanned_at) == (1, "outside", NOW)
    assert found.sources == (SourceDate("osv", NOW - timedelta(days=1)),)
    assert found.gaps == ()
    assert found.vulnerabilities == frozenset({"CVE-2026-1001"})


def test_a_source_that_was_not_asked_about_every_package_did_not_answer() -> None:
    found = scanned(bill(OLD, package("nginx", "1"), package("curl", "2")), feed(advisory()))
    assert found.sources == ()
    assert found.gaps == ("osv was not asked about curl 2, nginx 1 in Debian:12",)
    assert found.packages == 1
    assert len(found.findings) == 1


def test_a_source_that_was_asked_from_a_later_version_on_did_not_answer() -> None:
    assert scanned(bill(OLD), feed(since="1")).gaps == ()
    assert scanned(bill(OLD), feed(since="1.1")).gaps == ("osv was not asked about openssl 1 in Debian:12",)


def test_many_gaps_are_counted() -> None:
    names = [package(f"p{number}", "1") for number in range(9)]
    assert scanned(bill(*names), feed()).gaps[0].endswith("p4 1 and 4 more in Debian:12")


@pytest.mark.parametrize("distribution", [None, Distribution("alpine", "3.20", "", "")])
def test_a_distribution_that_nobody_knows_is_not_clean(distribution: Distribution | None) -> None:
    found = scanned(bill(OLD, distribution=distribution), feed(advisory()))
    assert (found.packages, found.sources) == (0, ())
    assert "nothing is known here about the distribution" in found.gaps[0]


def test_an_empty_bill_has_nothing_to_look_at() -> None:
    assert (scanned(bill(), feed()).packages, scanned(bill(), feed()).sources) == (0, ())


def test_a_scan_survives_being_written_down() -> None:
    found = scanned(bill(OLD), feed(advisory(severity=Severity.LOW)))
    assert decode(encode(found), Scan, what="scan") == found


def test_the_index_is_made_once_for_many_bills() -> None:
    known = Known([feed(advisory())])
    assert find(bill(OLD), known) == find(bill(OLD), known.feeds)
    assert scan(bill(OLD), known, now=NOW, side="x") == scan(bill(OLD), known.feeds, now=NOW, side="x")


VERSION = st.builds("{}.{}".format, st.integers(0, 3), st.integers(0, 3))


@settings(max_examples=100, deadline=None)
@given(VERSION, VERSION, VERSION)
def test_installing_the_fix_closes_the_finding(installed: str, one: str, other: str) -> None:
    feeds = [feed(advisory(fixed=one)), feed(advisory(fixed=other, source="changelog"), source="changelog")]
    found = find(bill(package("openssl", installed)), feeds)
    assert bool(found) == (debian_key(installed) < max(debian_key(one), debian_key(other)))
    for finding in found:
        assert finding.fixed is not None
        assert find(bill(package("openssl", finding.fixed)), feeds) == ()


# --- the published example --------------------------------------------------------------------


def example(name: str) -> Bill:
    raw = gzip.decompress((SHARED / "example" / f"dpkg-status-{name}.gz").read_bytes())
    return bill(*parse_status(raw, layer=LAYER, location="var/lib/dpkg/status"))


def test_the_published_example_gives_exactly_the_published_findings() -> None:
    export = SHARED / "osv" / "Debian:12" / "all.zip"
    if not export.is_file():
        pytest.skip(f"the example data is not at {SHARED}")
    before, after = example("main"), example("security")
    told = OsvSource(export).feed((before, after))
    expected = json.loads((SHARED / "example" / "bookworm-web-expected.json").read_text())
    assert len(before.packages) == expected["packages"]
    wanted = {
        (cve, source, fixed)
        for source, item in expected["findings_by_source"].items()
        for cve, fixed in item["cves"].items()
    }
    found = scanned(before, told)
    assert {(item.id, item.package.source, item.fixed) for item in found.findings} == wanted
    assert len(found.vulnerabilities) == len(wanted) == 49
    assert found.gaps == ()
    assert scanned(after, told).findings == ()
    # What crosses gives the inside the same answer.
    carried = read_feed(export_feed([told]))
    assert scanned(before, *carried) == found


def test_the_original_records_name_what_has_no_fix_and_what_is_unimportant() -> None:
    export = SHARED / "osv-original" / "Debian" / "all.zip"
    if not export.is_file():
        pytest.skip(f"the example data is not at {SHARED}")
    subject = example("main")
    told = OsvSource(export).feed((subject,))
    found = find(subject, [told])
    assert told.problems == ()
    assert {item.fixable for item in found} == {False}
    assert any(item.severity is Severity.NEGLIGIBLE for item in found)
