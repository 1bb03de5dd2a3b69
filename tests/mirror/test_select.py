"""Which tags a pattern means."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sallyport.errors import UsageError
from sallyport.mirror import is_literal, make_selector, select_tags
from sallyport.mirror.select import newest, read_version, series

TAGS = ("latest", "1", "1.2", "1.2.3", "v1.2.4", "1.3.0", "1.3.0-rc.1", "1.10.0", "2.0.0-rc1", "2.0.0", "2.1.0+build")


@pytest.mark.parametrize(
    ("pattern", "meant"),
    [
        ("latest", "latest"),
        ("1.*", "1.2 1.2.3 1.3.0 1.3.0-rc.1 1.10.0"),
        ("?", "1"),
        ("[12]", "1"),
        ("re:v?1[.]2[.][0-9]+", "1.2.3 v1.2.4"),
        ("semver:1.2.3", "1.2.3"),
        ("semver:1.2", "1.2 1.2.3 v1.2.4"),
        ("semver:1.x", "1 1.2 1.2.3 v1.2.4 1.3.0 1.10.0"),
        ("semver:>=1.2.4 <2", "v1.2.4 1.3.0 1.10.0"),
        ("semver:>1.2 <=1.10", "1.3.0 1.10.0"),
        ("semver:> 1.2.3, < 1.3.0", "v1.2.4"),
        ("semver:^1.3", "1.3.0 1.10.0"),
        ("semver:~1.2.3", "1.2.3 v1.2.4"),
        ("semver:>=1.3.0-rc.1 <2", "1.3.0 1.3.0-rc.1 1.10.0"),
        ("semver:>=2.0.0-rc1", "2.0.0-rc1 2.0.0 2.1.0+build"),
        ("semver:<=1.2.3", "1 1.2 1.2.3"),
        ("semver:*", "1 1.2 1.2.3 v1.2.4 1.3.0 1.10.0 2.0.0 2.1.0+build"),
    ],
)
def test_a_pattern_means_these(pattern: str, meant: str) -> None:
    assert select_tags([pattern], TAGS) == tuple(meant.split())


def test_exclusions_come_last_and_order_is_the_lists() -> None:
    assert select_tags(["!*rc*", "1.3*", "latest"], TAGS) == ("latest", "1.3.0")
    assert select_tags(["1"], ["1", "1", "2"]) == ("1",)


def test_the_caret_keeps_the_leftmost_number_that_is_not_zero() -> None:
    tags = ["0.0.3", "0.0.4", "0.2.3", "0.2.9", "0.3.0", "1.0.0"]
    assert select_tags(["semver:^0.2.3"], tags) == ("0.2.3", "0.2.9")
    assert select_tags(["semver:^0.0.3"], tags) == ("0.0.3",)
    assert select_tags(["semver:^0"], tags) == ("0.0.3", "0.0.4", "0.2.3", "0.2.9", "0.3.0")


@pytest.mark.parametrize(
    "pattern", ["", "a b", "re:(", "semver:", "semver:one", "semver:=>1", "!", "../x", "*" * 300, "!re:["]
)
def test_what_cannot_mean_anything_is_said_so(pattern: str) -> None:
    with pytest.raises(UsageError):
        make_selector("registry.example/app", [pattern])


def test_a_selector_is_proven_when_it_is_made() -> None:
    assert make_selector("registry.example/team/app", ["1"]).repository == "team/app"
    assert make_selector("debian", ["12"], to="base/debian").repository == "base/debian"
    for source, tags, to in (("a.example/x:1", ["1"], ""), ("a.example/x", [], ""), ("a.example/x", ["1"], "UPPER")):
        with pytest.raises(UsageError):
            make_selector(source, tags, to=to)


def test_literal_is_what_can_be_a_tag() -> None:
    assert is_literal("12-slim")
    assert not any(map(is_literal, ("12.*", "re:12", "semver:1", "!x")))


NUMBERS = st.integers(0, 12)
FIELDS = st.sampled_from(["", "-rc", "-rc.1", "-rc2", "-rc.10", "-beta-1", "-alpha"])
VERSIONS = st.builds(lambda a, b, c, f: f"{a}.{b}.{c}{f}", NUMBERS, NUMBERS, NUMBERS, FIELDS)


@settings(max_examples=100, deadline=None)
@given(VERSIONS, VERSIONS)
def test_comparisons_agree_with_each_other(one: str, two: str) -> None:
    """Exactly one of <, = and > is true, and <= and >= are what they say."""
    less, same, more = (bool(select_tags([f"semver:{sign}{two}"], [one])) for sign in ("<", "=", ">"))
    if "-" in one and one.partition("-")[0] != two.partition("-")[0]:
        assert (less, same, more) == (False, False, False), "a pre-release of another version is not offered"
    elif "-" in one and "-" not in two:
        assert (less, same, more) == (False, False, False), "nor one where no pre-release is asked for"
    else:
        first, second = read_version(one), read_version(two)
        assert first is not None
        assert second is not None
        assert (less, same, more) == (first < second, first == second, first > second)
        assert bool(select_tags([f"semver:<={two}"], [one])) == (less or same)
        assert bool(select_tags([f"semver:>={two}"], [one])) == (more or same)


VARIANTS = st.sampled_from(["", "-slim", "-alpine", "-alpine3.20", "-r1", "_arm64"])


@settings(max_examples=100, deadline=None)
@given(VERSIONS, VARIANTS, VERSIONS, VARIANTS, st.sampled_from(["<", "<=", "=", ">=", ">"]))
def test_a_variant_is_meant_only_where_it_is_named_and_changes_no_order(
    one: str, variant: str, two: str, named: str, sign: str
) -> None:
    plain = bool(select_tags([f"semver:{sign}{two}"], [one]))
    for pattern in (f"semver:{sign}{two}{named}", f"semver:{sign}{two} {named}"):
        assert bool(select_tags([pattern], [one + variant])) == (plain and variant == named)


@pytest.mark.parametrize(
    ("pattern", "meant"),
    [
        ("semver:>=1.2", "1.25.3 1.26.0"),
        ("semver:>=1.2 -slim", "1.25.3-slim 1.26.0-slim"),
        ("semver:^1.25-slim", "1.25.3-slim 1.26.0-slim"),
        ("semver:1.x -alpine*", "1.25.3-alpine 1.25.3-alpine3.20"),
        ("semver:1.x -alpine -slim", "1.25.3-slim 1.25.3-alpine 1.26.0-slim"),
        ("semver:>=1.26.0-rc.9 -slim", "1.26.0-slim 1.26.0-rc10-slim"),
        ("semver:1.x -*", "1.25.3-slim 1.25.3-alpine 1.25.3-alpine3.20 1.25.3-1 1.26.0-slim"),
        ("semver:1.27.0b2", "1.27.0b2"),
    ],
)
def test_variants_and_pre_releases_are_told_apart(pattern: str, meant: str) -> None:
    tags = "1.25.3 1.25.3-slim 1.25.3-alpine 1.25.3-alpine3.20 1.25.3-1 1.26.0 1.26.0-slim 1.26.0-rc10-slim 1.27.0b2"
    assert select_tags([pattern], tags.split()) == tuple(meant.split())


CALENDAR = (
    "latest 2025.12 2026.01 2026.1.3 2026-01-15 202602 20260115 20260115.2 2026-02-01-slim 26.04 2027 1.2 20261301"
)


@pytest.mark.parametrize(
    ("pattern", "meant"),
    [
        ("calendar:>=2026.01 <2027", "2026.01 2026.1.3 2026-01-15 202602 20260115 20260115.2 26.04"),
        ("calendar:2026.01", "2026.01 2026.1.3 2026-01-15 20260115 20260115.2"),
        ("calendar:2026-01-15", "2026-01-15 20260115 20260115.2"),
        ("calendar:>20260115", "202602 26.04 2027"),
        ("calendar:>2026-01 <=2026", "202602 26.04"),
        ("calendar:>=26.02, <2027 -slim", "2026-02-01-slim"),
        ("calendar:<2026", "2025.12"),
    ],
)
def test_dates_are_read_in_every_writing(pattern: str, meant: str) -> None:
    assert select_tags([pattern], CALENDAR.split()) == tuple(meant.split())


@settings(max_examples=100, deadline=None)
@given(st.dates(min_value=date(1990, 1, 1), max_value=date(2199, 1, 1)), st.dates(min_value=date(1990, 1, 1)))
def test_days_compare_as_days(one: date, two: date) -> None:
    if two.year >= 2200:
        return
    for form in ("%Y%m%d", "%Y-%m-%d", "%Y.%m.%d"):
        tag = one.strftime(form)
        found = [bool(select_tags([f"calendar:{sign}{two:%Y-%m-%d}"], [tag])) for sign in ("<", "=", ">")]
        assert found == [one < two, one == two, one > two]


@pytest.mark.parametrize(
    "pattern", ["calendar:", "calendar:12", "calendar:^2026", "calendar:~2026.01", "calendar:-slim"]
)
def test_what_is_no_date_is_said_so(pattern: str) -> None:
    with pytest.raises(UsageError):
        select_tags([pattern], [])


def test_a_series_is_two_numbers_and_a_variant() -> None:
    assert series("1.25.3-slim") == series("v1.25.4-rc1-slim") == ("1.25", "-slim")
    assert series("1.25.3-alpine3.20") == ("1.25", "-alpine3.20")
    assert series("20260115") == series("2026-01-15") == series("2026.1") == ("2026.1", "")
    assert series("latest") is None


def test_the_newest_of_each_series_stay() -> None:
    tags = ["latest", "1.25.9", "1.25.10", "1.25.10-slim", "1.26.0-rc9", "1.26.0-rc10", "20260115", "20260131"]
    assert newest(tags, 1) == ("latest", "1.25.10", "1.25.10-slim", "1.26.0-rc10", "20260131")
    assert newest([*tags, "1.26.0"], 1)[-1] == "1.26.0"


@settings(max_examples=100, deadline=None)
@given(st.lists(st.builds("{}{}".format, VERSIONS, VARIANTS), max_size=12), st.integers(1, 3))
def test_newest_leaves_nothing_out_that_is_higher_than_what_stays(tags: list[str], count: int) -> None:
    kept = newest(tags, count)
    assert newest(kept, count) == kept
    for tag in tags:
        line = [other for other in kept if series(other) == series(tag)]
        assert len(line) == min(count, len({other for other in tags if series(other) == series(tag)}))
        if tag not in kept:
            version = read_version(tag)
            assert version is not None
            assert all((read_version(other) or version) >= version for other in line)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=40), st.lists(st.text(alphabet="0123456789.-+vxabc", max_size=12), max_size=6))
def test_any_pattern_is_understood_or_refused(pattern: str, tags: list[str]) -> None:
    for text in (pattern, f"semver:{pattern}", f"calendar:{pattern}", f"!{pattern}"):
        try:
            found = select_tags([text], tags)
        except UsageError:
            continue
        assert set(found) <= set(tags)
