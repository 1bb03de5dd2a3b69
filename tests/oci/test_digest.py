"""A digest names bytes; a stream proves itself against it."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sallyport.errors import DigestMismatchError, MalformedError, OversizeError, SallyportError, TruncatedError
from sallyport.oci import Digest, Hasher, verified


@given(st.binary(max_size=100))
def test_text_and_value_are_the_same(data: bytes) -> None:
    digest = Digest.of(data)
    assert Digest.parse(str(digest)) == digest
    assert pickle.loads(pickle.dumps(digest)) == digest
    assert digest.hex == hashlib.sha256(data).hexdigest()
    assert digest.hex.startswith(digest.short)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256",
        "sha256:",
        "sha256:" + "a" * 63,
        "sha256:" + "a" * 65,
        "sha256:" + "A" * 64,
        "sha256:" + "g" * 64,
        "sha256:" + "a" * 64 + "\n",
        "sha256:" + "a" * 63 + "\n",
        "sha512:" + "a" * 64,
        "md5:" + "a" * 32,
        "../../../etc/passwd",
        "sha256:" + "../" * 21 + "a",
        " sha256:" + "a" * 64,
    ],
)
def test_what_is_no_digest_is_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        Digest.parse(text)


def test_algorithms_are_kept_apart() -> None:
    long = Digest.parse("sha512:" + "a" * 128)
    assert long != Digest.parse("sha256:" + "a" * 64)
    assert sorted([long, Digest.of(b"")]) == [Digest.of(b""), long]
    assert Digest.of(b"") != str(Digest.of(b""))


def test_a_digest_does_not_change() -> None:
    with pytest.raises(AttributeError):
        Digest.of(b"").hex = "a" * 64


@given(st.lists(st.binary(max_size=50), max_size=6), st.sampled_from(["sha256", "sha512"]))
def test_the_right_bytes_pass_however_they_are_cut(parts: list[bytes], algorithm: str) -> None:
    whole = b"".join(parts)
    hasher = Hasher(algorithm)
    for part in parts:
        hasher.update(part)
    assert hasher.size == len(whole)
    assert b"".join(verified(parts, hasher.digest(), len(whole))) == whole


@given(st.binary(min_size=1, max_size=80), st.integers(0), st.integers(0, 7))
@settings(max_examples=100)
def test_one_flipped_bit_anywhere_is_refused(data: bytes, at: int, bit: int) -> None:
    broken = bytearray(data)
    broken[at % len(data)] ^= 1 << bit
    with pytest.raises(DigestMismatchError):
        list(verified([bytes(broken)], Digest.of(data), len(data)))


@given(st.binary(max_size=80), st.integers(-80, 80).filter(bool))
def test_another_length_is_refused(data: bytes, more: int) -> None:
    kind = OversizeError if more < 0 else TruncatedError
    size = max(0, len(data) + more)
    if size == len(data):
        return
    with pytest.raises(kind):
        list(verified([data], Digest.of(data), size))


def test_an_endless_stream_is_left_as_soon_as_it_is_too_long() -> None:
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 10
            yield bytes(10)

    with pytest.raises(OversizeError):
        list(verified(endless(), Digest.of(b""), 25, what="the layer"))
    assert taken == 30


def test_errors_survive_the_way_between_processes() -> None:
    with pytest.raises(SallyportError) as refused:
        list(verified([b"x"], Digest.of(b"y"), 1))
    again = pickle.loads(pickle.dumps(refused.value))
    assert (type(again), again.message, again.mend) == (DigestMismatchError, refused.value.message, refused.value.mend)
