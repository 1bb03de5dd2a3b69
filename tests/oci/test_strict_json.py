"""JSON that two readers cannot read as two things."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sallyport.errors import DuplicateKeyError, MalformedError, OversizeError, SallyportError
from sallyport.oci import parse_json, render_json

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)


@given(values)
@settings(max_examples=100, deadline=None)
def test_what_was_rendered_is_parsed_and_rendered_the_same(value: Any) -> None:
    raw = render_json(value)
    assert parse_json(raw, what="x") == value
    assert render_json(parse_json(raw, what="x")) == raw


def test_the_order_of_keys_does_not_show() -> None:
    assert render_json({"b": 1, "a": [2]}) == render_json({"a": [2], "b": 1}) == b'{"a":[2],"b":1}'


@pytest.mark.parametrize(
    "raw",
    [b'{"a":1,"a":2}', b'{"a":1,"\\u0061":1}', b'[{"x":{"a":1,"b":2,"a":1}}]', b'{"":1,"":1}'],
)
def test_a_key_that_stands_twice_is_refused(raw: bytes) -> None:
    with pytest.raises(DuplicateKeyError, match="the bill"):
        parse_json(raw, what="the bill")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" ",
        b"{",
        b"{} {}",
        b"{}x",
        b"nan",
        b"NaN",
        b"[Infinity]",
        b"-Infinity",
        b"1e999",
        b"-1e999",
        b"{'a':1}",
        b'{"a":01}',
        b'{"a":1,}',
        b"[1,]",
        b"// no\n1",
        b'"\xff"',
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
        b'"\\ud800"',
        b'{"\\uDc00":1}',
        b'"a\nb"',
        b'"\\x41"',
        b"1" * 5000,
    ],
)
def test_what_is_not_strictly_json_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedError, match="the bill"):
        parse_json(raw, what="the bill")


def test_a_whole_pair_of_surrogates_is_one_sign() -> None:
    assert parse_json(b'"\\ud83d\\ude00"', what="x") == "\U0001f600"


def test_size_and_depth_are_bounded() -> None:
    assert parse_json(b"[" * 60 + b"]" * 60, what="x")
    for raw in (b"[" * 66 + b"]" * 66, b"[" * 200_000, b'{"a":' * 70 + b"1" + b"}" * 70):
        with pytest.raises((OversizeError, MalformedError)):
            parse_json(raw, what="x")
    with pytest.raises(OversizeError):
        parse_json(b"[" * 100_000 + b"]" * 100_000, what="x")
    with pytest.raises(OversizeError, match="limit is 3"):
        parse_json(b"1234", what="x", limit=3)


def test_what_has_no_json_form_is_a_typed_error() -> None:
    for value in (float("nan"), float("inf"), "\ud800", {"a": ["\udcff"]}):
        with pytest.raises(MalformedError):
            render_json(value)


@given(st.binary(max_size=60) | st.text('[]{}":,0123456789eE+-.\\u dDnulltruefalse', max_size=60).map(str.encode))
@settings(max_examples=100, deadline=None)
def test_whatever_is_accepted_is_what_the_standard_library_reads(raw: bytes) -> None:
    try:
        value = parse_json(raw, what="x")
    except SallyportError:
        return
    assert value == json.loads(raw)
    render_json(value)
