"""Every frozen value of ours survives the way to JSON and back."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sallyport.errors import DamagedError, DuplicateKeyError, MalformedError, OversizeError, SallyportError
from sallyport.oci import (
    Descriptor,
    Digest,
    Entry,
    Kind,
    Listing,
    Platform,
    decode,
    encode,
    parse_manifest,
    to_builtins,
)


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, slots=True)
class Inner:
    digest: Digest
    number: int = 0


@dataclass(frozen=True, slots=True)
class Outer:
    name: str
    inner: Inner
    others: tuple[Inner, ...] = ()
    pair: tuple[int, str] = (0, "")
    maybe: Inner | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    by_number: Mapping[int, str] = field(default_factory=dict)
    at: datetime | None = None
    raw: bytes = b""
    ratio: float = 0.0
    names: frozenset[str] = frozenset()
    colour: Colour = Colour.RED


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
digests = st.binary(max_size=3).map(Digest.of)
inners = st.builds(Inner, digests, st.integers(-(1 << 60), 1 << 60))
times = st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))]))
outers = st.builds(
    Outer,
    texts,
    inners,
    st.lists(inners, max_size=3).map(tuple),
    st.tuples(st.integers(0, 9), texts),
    st.none() | inners,
    st.dictionaries(texts, texts, max_size=3),
    st.dictionaries(st.integers(0, 9), texts, max_size=3),
    st.none() | times,
    st.binary(max_size=10),
    st.floats(allow_nan=False, allow_infinity=False),
    st.frozensets(texts, max_size=3),
    st.sampled_from(Colour),
)


@given(outers)
@settings(max_examples=100, deadline=None)
def test_a_value_comes_back_equal_and_its_bytes_are_stable(value: Outer) -> None:
    raw = encode(value)
    assert decode(raw, Outer, what="x") == value
    assert encode(decode(raw, Outer, what="x")) == raw
    assert pickle.loads(pickle.dumps(value)) == value


def test_equal_values_give_equal_bytes_whatever_their_order() -> None:
    inner = Inner(Digest.of(b""))
    one = Outer("x", inner, labels={"a": "1", "b": "2"}, names=frozenset("abcdefgh"))
    other = Outer("x", inner, labels={"b": "2", "a": "1"}, names=frozenset("hgfedcba"))
    assert encode(one) == encode(other)


def test_the_nouns_of_this_room_survive() -> None:
    digest = Digest.of(b"x")
    descriptor = Descriptor("a/b", 3, digest, Platform("linux", "arm64", "v8"), "c/d", {"k": "v"})
    entry = Entry("usr/bin/x", Kind.FILE, 0o4755, 1, 2, 3, 4, "", (0, 0), {"user.a": b"\0\xff"})
    listing = Listing(digest, (entry, Entry("l", Kind.SYMLINK, link="x")), {"usr/bin/x": b"\x7fELF"})
    for value in (digest, descriptor, Descriptor("a/b", 3, digest), entry, listing):
        assert decode(encode(value), type(value), what="x") == value
        assert pickle.loads(pickle.dumps(value)) == value


def test_what_was_read_from_a_manifest_can_be_written_and_pickled() -> None:
    raw = (
        b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":'
        b'"application/vnd.oci.image.manifest.v1+json","size":1,"digest":"' + str(Digest.of(b"")).encode() + b'"}]}'
    )
    index = parse_manifest(raw)
    assert decode(encode(index), type(index), what="x") == index
    assert pickle.loads(pickle.dumps(index)) == index


@dataclass(frozen=True)
class ByDigest:
    inner: tuple[Mapping[str, Mapping[Digest, int]], ...]


def test_a_mapping_by_digests_is_refused_rather_than_read_as_one_by_strings() -> None:
    with pytest.raises(SallyportError, match="keys"):
        decode(encode(ByDigest(({"a": {Digest.of(b""): 1}},))), ByDigest, what="x")


def test_values_are_dictionaries_and_strings_for_rendering() -> None:
    digest = Digest.of(b"")
    assert to_builtins(Inner(digest, 1)) == {"digest": str(digest), "number": 1}


GOOD = encode(Outer("x", Inner(Digest.of(b""))))


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"", MalformedError),
        (b"[]", MalformedError),
        (b'{"name":"x"}', MalformedError),
        (GOOD.replace(b'"number":0', b'"number":"0"'), MalformedError),
        (GOOD.replace(b'"number":0', b'"number":0.5'), MalformedError),
        (GOOD.replace(b'"number":0', b'"number":true'), MalformedError),
        (GOOD.replace(b"sha256:", b"md5:"), MalformedError),
        (GOOD.replace(b'"digest":"sha256:', b'"digest":1,"x":"'), MalformedError),
        (GOOD.replace(b'"red"', b'"green"'), MalformedError),
        (GOOD.replace(b'"at":null', b'"at":"yesterday"'), MalformedError),
        (GOOD.replace(b'"raw":""', b'"raw":"*"'), MalformedError),
        (GOOD.replace(b'"name":"x"', b'"name":"x","name":"y"'), DuplicateKeyError),
    ],
)
def test_what_does_not_fit_is_a_typed_error_that_says_where(raw: bytes, error: type[SallyportError]) -> None:
    with pytest.raises(error, match="the stored scan"):
        decode(raw, Outer, what="the stored scan")


def test_input_is_bounded() -> None:
    with pytest.raises(OversizeError):
        decode(GOOD, Outer, what="x", limit=len(GOOD) - 1)


def test_what_has_no_json_form_is_a_typed_error() -> None:
    value: Any
    for value in (object(), Outer("\ud800", Inner(Digest.of(b""))), float("nan")):
        with pytest.raises(SallyportError):
            encode(value)


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255))
@settings(max_examples=100, deadline=None)
def test_bytes_gone_wrong_only_ever_give_a_typed_error(at: int, byte: int) -> None:
    raw = bytearray(GOOD)
    raw[at] = byte
    try:
        decode(bytes(raw), Outer, what="x")
    except SallyportError as error:
        assert isinstance(error, DamagedError)  # noqa: PT017 - it may also be read
