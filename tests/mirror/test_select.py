"""Which tags a pattern means."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sallyport.errors import UsageError
from sallyport.mirror import is_literal, make_selector, select_tags
from sallyport.mirror.select import read_version

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
FIELDS = st.sampled_from(["", "-rc", "-rc.1", "-rc.2", "-rc.10", "-1", "-alpha"])
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


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=40), st.lists(st.text(alphabet="0123456789.-+vxabc", max_size=12), max_size=6))
def test_any_pattern_is_understood_or_refused(pattern: str, tags: list[str]) -> None:
    for text in (pattern, f"semver:{pattern}", f"!{pattern}"):
        try:
            found = select_tags([text], tags)
        except UsageError:
            continue
        assert set(found) <= set(tags)
