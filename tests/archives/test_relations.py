from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sallyport.archives import Relation, parse_relations, satisfied
from sallyport.errors import MalformedError


def test_depends_is_a_list_of_alternatives() -> None:
    text = "libc6 (>= 2.34), debconf (>= 0.5) | debconf-2.0, perl:any,\n zlib1g(=1:1.2.13.dfsg-1)"
    assert parse_relations(text) == (
        (Relation("libc6", ">=", "2.34"),),
        (Relation("debconf", ">=", "0.5"), Relation("debconf-2.0")),
        (Relation("perl", qualifier="any"),),
        (Relation("zlib1g", "=", "1:1.2.13.dfsg-1"),),
    )


def test_nothing_depends_on_nothing() -> None:
    assert parse_relations("") == ()
    assert parse_relations(" , ") == ()


def test_the_old_single_signs_mean_or_equal() -> None:
    assert parse_relations("a (< 2), b (> 2)") == ((Relation("a", "<=", "2"),), (Relation("b", ">=", "2"),))


@pytest.mark.parametrize(
    "text", ["a (>> )", "a b", "a (2)", "a | ", "(>= 1)", "a (>= 1", "a [amd64]", "a;b", "x" * 300_000]
)
def test_what_is_no_relation_is_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        parse_relations(text)


@pytest.mark.parametrize(
    ("sign", "fits"), [("<<", "100"), ("<=", "110"), ("=", "010"), (">=", "011"), (">>", "001"), ("", "111")]
)
def test_a_sign_compares_in_debian_order(sign: str, fits: str) -> None:
    relation = Relation("x", sign, "2.36-9" if sign else "")
    answers = [satisfied(relation, version) for version in ("2.36-9~1", "2.36-9", "2.36-10")]
    assert answers == [digit == "1" for digit in fits]


def test_a_name_provided_without_a_version_fits_no_versioned_relation() -> None:
    assert satisfied(Relation("mail-transport-agent"), None)
    assert not satisfied(Relation("mail-transport-agent", ">=", "1"), None)


NAMES = st.from_regex(r"[a-z0-9][a-z0-9+.-]{1,6}", fullmatch=True)
RELATIONS = st.one_of(
    st.builds(Relation, NAMES, qualifier=st.sampled_from(["", "any", "amd64"])),
    st.builds(
        Relation,
        NAMES,
        st.sampled_from(["<<", "<=", "=", ">=", ">>"]),
        st.from_regex(r"[0-9][a-z0-9.~+]{0,5}", fullmatch=True),
    ),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(RELATIONS, min_size=1, max_size=3).map(tuple), max_size=4).map(tuple))
def test_what_is_written_is_read_back(groups: tuple[tuple[Relation, ...], ...]) -> None:
    text = ", ".join(" | ".join(str(relation) for relation in group) for group in groups)
    assert parse_relations(text) == groups
