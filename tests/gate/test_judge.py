"""The gate's rules, one by one: passed, refused, or undecided, which never crosses."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sallyport.advisories import Severity
from sallyport.catalog import Package
from sallyport.gate import Passed, Policy, Refused, Undecided, Waiver, judge
from sallyport.match import Finding, Scan, SourceDate
from sallyport.oci import Digest, Platform

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
DIGEST = Digest.of(b"x")
FIXABLE = Policy(fixable=0)


def finding(identifier: str = "CVE-2026-1001", fixed: str | None = "2", severity: Severity = Severity.HIGH) -> Finding:
    package = Package("deb", "libssl3", "1+b1", "amd64", "openssl", "1", DIGEST, "var/lib/dpkg/status")
    return Finding(identifier, package, fixed, severity, ())


def scan(
    *findings: Finding,
    sources: tuple[SourceDate, ...] | None = None,
    packages: int = 127,
    platform: str = "linux/amd64",
    gaps: tuple[str, ...] = (),
    side: str = "outside",
) -> Scan:
    asked = (SourceDate("changelog", NOW - timedelta(days=3)),) if sources is None else sources
    return Scan(DIGEST, Platform.parse(platform), packages, findings, asked, NOW, side, gaps)


def told(*scans: Scan, policy: Policy = FIXABLE, repository: str = "web", now: datetime = NOW) -> object:
    return judge(scans, policy, repository=repository, now=now)


# 1


@pytest.mark.parametrize("policy", [Policy(), Policy(sources=("osv",), max_age=timedelta(days=9))])
def test_1_a_policy_without_a_limit_refuses_even_a_clean_image(policy: Policy) -> None:
    verdict = told(scan(), policy=policy)
    assert isinstance(verdict, Refused)
    assert "empty policy" in verdict.because[0]
    assert isinstance(judge(None, policy, repository="web", now=NOW), Refused)


# 2, 3


@pytest.mark.parametrize("scans", [None, ()])
def test_2_no_scan_no_verdict(scans: tuple[Scan, ...] | None) -> None:
    assert isinstance(judge(scans, FIXABLE, repository="web", now=NOW), Undecided)


def test_2_the_other_side_s_scan_is_none() -> None:
    verdict = judge([scan(side="outside")], FIXABLE, repository="web", now=NOW, side="inside")
    assert verdict == Undecided(("there is no scan by the inside, so nothing is known about it",))
    assert isinstance(judge([scan(side="inside")], FIXABLE, repository="web", now=NOW, side="inside"), Passed)


def test_3_nothing_to_look_at_is_not_clean() -> None:
    verdict = told(scan(), scan(packages=0, platform="linux/arm64"))
    assert isinstance(verdict, Undecided)
    assert verdict.because == ("linux/arm64: no package was looked at, and nothing to look at is not clean",)


def test_3_a_scan_that_nobody_answered_is_none_and_says_why() -> None:
    verdict = told(scan(sources=(), gaps=("osv was not asked about nginx 1 in Debian:12",)))
    assert isinstance(verdict, Undecided)
    assert verdict.because == (
        "linux/amd64: no source was asked about every package",
        "linux/amd64: osv was not asked about nginx 1 in Debian:12",
    )


# 4, 5


def test_4_a_required_source_that_did_not_answer_leaves_it_undecided() -> None:
    gap = "osv was not asked about nginx 1 in Debian:12"
    verdict = told(scan(gaps=(gap,)), policy=Policy(fixable=0, sources=("changelog", "osv")))
    assert verdict == Undecided(
        ("linux/amd64: the required source osv did not answer for every package", f"linux/amd64: {gap}")
    )


@pytest.mark.parametrize(
    ("name", "answered"), [("osv", True), ("osv:Debian:12", True), ("os", False), ("osv:D", False)]
)
def test_4_a_source_is_required_by_its_name_or_the_part_before_a_colon(name: str, *, answered: bool) -> None:
    subject = scan(sources=(SourceDate("osv:Debian:12", NOW),))
    assert isinstance(told(subject, policy=Policy(fixable=0, sources=(name,))), Passed if answered else Undecided)


def test_5_a_stale_source_leaves_it_undecided_whatever_it_found() -> None:
    policy = Policy(fixable=0, max_age=timedelta(hours=48))
    verdict = told(scan(finding()), policy=policy)
    assert isinstance(verdict, Undecided)
    assert verdict.because == (
        "linux/amd64: changelog is as of 2026-11-21 12:00 UTC, 3 days old; the policy allows 2 days",
    )
    assert isinstance(told(scan(), policy=Policy(fixable=0, max_age=timedelta(days=3))), Passed)


def test_5_only_required_sources_must_be_fresh_where_some_are_required() -> None:
    sources = (SourceDate("changelog", NOW - timedelta(days=300)), SourceDate("osv", NOW))
    age = timedelta(days=2)
    assert isinstance(told(scan(sources=sources), policy=Policy(fixable=0, max_age=age)), Undecided)
    assert isinstance(told(scan(sources=sources), policy=Policy(fixable=0, max_age=age, sources=("osv",))), Passed)


def test_5_a_source_from_the_future_is_no_fresh_one() -> None:
    policy = Policy(fixable=0, max_age=timedelta(days=9))
    later = scan(sources=(SourceDate("osv", NOW + timedelta(days=2)),))
    assert isinstance(told(later, policy=policy), Undecided)
    assert isinstance(told(scan(sources=(SourceDate("osv", NOW + timedelta(hours=3)),)), policy=policy), Passed)


# 6


def waiver(**fields: object) -> Waiver:
    values: dict[str, object] = {
        "id": "CVE-2026-1001",
        "images": "web*",
        "owner": "alice",
        "reason": "not reachable",
        "expires": date(2026, 11, 24),
    }
    return Waiver(**{**values, **fields})  # type: ignore[arg-type]


def test_6_a_waiver_holds_until_its_last_day_and_stands_in_the_verdict() -> None:
    policy = Policy(fixable=0, waivers=(waiver(),))
    verdict = told(scan(finding()), policy=policy)
    assert isinstance(verdict, Passed)
    assert verdict.because[-1] == "CVE-2026-1001 is accepted by alice until 2026-11-24: not reachable"
    after = told(scan(finding(), sources=(SourceDate("osv", NOW),)), policy=policy, now=NOW + timedelta(hours=12))
    assert isinstance(after, Refused)
    assert after.because[-1] == "the waiver of alice for CVE-2026-1001 expired on 2026-11-24: not reachable"


@pytest.mark.parametrize(
    "fields", [{"images": "db*"}, {"id": "CVE-2026-2001"}, {"owner": " "}, {"reason": ""}, {"images": "WEB"}]
)
def test_6_a_waiver_for_something_else_or_by_nobody_does_not_hold(fields: dict[str, object]) -> None:
    assert isinstance(told(scan(finding()), policy=Policy(fixable=0, waivers=(waiver(**fields),))), Refused)


def test_6_one_of_two_waivers_is_enough_and_both_are_named() -> None:
    policy = Policy(fixable=0, waivers=(waiver(expires=date(2026, 1, 1)), waiver(owner="bob")))
    verdict = told(scan(finding()), policy=policy)
    assert isinstance(verdict, Passed)
    assert "alice" in verdict.because[-2]
    assert "bob" in verdict.because[-1]


# 7


def test_7_what_is_unimportant_is_named_and_not_counted() -> None:
    policy = Policy(fixable=0, findings=0, severity=Severity.NEGLIGIBLE)
    verdict = told(scan(finding(severity=Severity.NEGLIGIBLE)), policy=policy)
    assert isinstance(verdict, Passed)
    assert "linux/amd64: 1 finding unimportant, not counted" in verdict.because


# 8


def test_8_a_broken_limit_refuses_with_a_sentence_that_says_all() -> None:
    verdict = told(scan(finding()))
    assert verdict == Refused(
        (
            "linux/amd64: 1 finding has a fix; the policy allows 0",
            "CVE-2026-1001 in libssl3 1+b1 (source openssl 1) is fixed in 2, high",
        )
    )


@pytest.mark.parametrize(
    ("policy", "passes"),
    [
        (Policy(fixable=1), True),
        (Policy(fixable=0), False),
        (Policy(findings=2), True),
        (Policy(findings=1), False),
        (Policy(severity=Severity.HIGH), True),
        (Policy(severity=Severity.MEDIUM), False),
        (Policy(severity=Severity.HIGH, findings=1), False),
    ],
)
def test_8_each_limit_by_itself(policy: Policy, *, passes: bool) -> None:
    subject = scan(finding(), finding("CVE-2026-2001", None, Severity.LOW))
    assert isinstance(told(subject, policy=policy), Passed if passes else Refused)


@pytest.mark.parametrize(("as_", "passes"), [(Severity.LOW, True), (Severity.CRITICAL, False)])
def test_8_what_nobody_rates_counts_as_the_policy_says(as_: Severity, *, passes: bool) -> None:
    policy = Policy(severity=Severity.MEDIUM, unknown_as=as_)
    verdict = told(scan(finding(severity=Severity.UNKNOWN)), policy=policy)
    assert isinstance(verdict, Passed if passes else Refused)


def test_8_one_bad_platform_refuses_the_image_and_equal_findings_are_told_once() -> None:
    verdict = told(scan(), scan(finding(), platform="linux/arm64"), scan(finding(), platform="linux/arm"))
    assert isinstance(verdict, Refused)
    assert len(verdict.because) == 3


def test_a_long_list_is_cut_and_counted() -> None:
    verdict = told(scan(*(finding(f"CVE-2026-{1000 + number}") for number in range(500))))
    assert isinstance(verdict, Refused)
    assert len(verdict.because) < 60
    assert any(text.startswith("and ") for text in verdict.because)


def test_a_passed_verdict_says_what_was_looked_at() -> None:
    verdict = told(scan(finding("CVE-2026-2001", None)))
    assert verdict == Passed(
        ("linux/amd64: 127 packages looked at, 1 finding counts, 0 with a fix (changelog as of 2026-11-21)",)
    )


FINDINGS = st.lists(
    st.builds(finding, st.sampled_from(["CVE-1", "CVE-2"]), st.sampled_from(["2", None]), st.sampled_from(Severity)),
    max_size=4,
)


@settings(max_examples=100, deadline=None)
@given(FINDINGS, FINDINGS, st.integers(0, 3), st.integers(0, 3), st.sampled_from(Severity))
def test_more_findings_never_turn_a_no_into_a_yes(
    some: list[Finding], more: list[Finding], fixable: int, findings: int, severity: Severity
) -> None:
    policy = Policy(fixable=fixable, findings=findings, severity=severity)
    if isinstance(told(scan(*some, *more), policy=policy), Passed):
        assert isinstance(told(scan(*some), policy=policy), Passed)
