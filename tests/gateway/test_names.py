"""What requests name, and which rule lets them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sallyport.errors import UsageError
from sallyport.gateway import allow_for, make_allow, our_repository, parse_asked
from sallyport.oci import Reference


@pytest.mark.parametrize(
    ("path", "query", "upstream"),
    [
        ("/v2/team/app/manifests/1", "ns=r.example", "r.example/team/app"),
        ("/v2/team/app/manifests/1", "ns=r.example:5000", "r.example:5000/team/app"),
        ("/v2/r.example/team/app/manifests/1", "", "r.example/team/app"),
        ("/v2/r.example_5000/team/app/blobs/x", "", "r.example:5000/team/app"),
        ("/v2/localhost_5000/app/tags/list", "", "localhost:5000/app"),
        ("/v2/team/app/manifests/1", "", "default.example/team/app"),
    ],
)
def test_three_ways_to_name_an_upstream(path: str, query: str, upstream: str) -> None:
    asked = parse_asked(path, query, "default.example")
    assert asked is not None
    assert str(asked.upstream) == upstream


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/v2/incoming/r.example/app/manifests/1", "ns=incoming"),
        ("/v2/../manifests/1", "ns=r.example"),
        ("/v2/App/manifests/1", "ns=r.example"),
        ("/v2/app/manifests/1", "ns=user@r.example"),
        ("/v2/app/manifests/1", "ns=r.example/other"),
        ("/v2/app/manifests/1", ""),
        ("/v2/app/manifests/a/b", "ns=r.example"),
    ],
)
def test_what_names_no_upstream_is_nothing(path: str, query: str) -> None:
    asked = parse_asked(path, query)
    assert asked is None or allow_for([make_allow("r.example/*")], asked) is None


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60), st.text(max_size=40))
def test_no_request_breaks_the_reader(path: str, query: str) -> None:
    parse_asked(f"/v2/{path}/manifests/1", query)
    parse_asked(path, f"ns={query}")


@pytest.mark.parametrize("images", ["*/*", "*.example/app", "app", "r.example", ""])
def test_a_rule_spells_its_registry_out(images: str) -> None:
    with pytest.raises(UsageError):
        make_allow(images)


def test_tags_are_held_against_the_patterns_and_the_first_rule_wins() -> None:
    rules = [make_allow("r.example/app", ["1.*", "!*-rc*"]), make_allow("r.example/lib/*", prefer="upstream")]
    for last, allowed in (("1.2", True), ("2.0", False), ("1.3-rc1", False), ("sha256:" + "0" * 64, True)):
        asked = parse_asked(f"/v2/r.example/app/manifests/{last}", "")
        assert asked is not None
        assert (allow_for(rules, asked) is rules[0]) is allowed


def test_ports_make_names_of_their_own() -> None:
    assert our_repository(Reference("r.example:5000", "app")) == "r.example_5000/app"
