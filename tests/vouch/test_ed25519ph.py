"""Verification of Ed25519 over a digest, against the library's Ed25519 over the whole and a published vector."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from sallyport.vouch.ed25519ph import _verifies, verifies_prehashed

# Source: RFC 8032, 7.3, "TEST abc".
PUBLIC = bytes.fromhex("ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf")
SIGNATURE = bytes.fromhex(
    "98a70222f0b8121aa9d30f813d683f809e462b469c7ff87639499bb94e6dae41"
    "31f85042463c2a355a2003d062adf5aaa10b8c61e636062aaad11c2a26083406"
)
ORDER = 2**252 + 27742317777372353535851937790883648493
KEY = Ed25519PrivateKey.generate()


def test_the_published_vector_holds_and_nothing_beside_it() -> None:
    assert verifies_prehashed(PUBLIC, SIGNATURE, b"abc")
    assert not verifies_prehashed(PUBLIC, SIGNATURE, b"abd")
    assert not verifies_prehashed(KEY.public_key().public_bytes_raw(), SIGNATURE, b"abc")
    assert not verifies_prehashed(PUBLIC, SIGNATURE[:-1], b"abc")


def test_a_signature_has_one_form() -> None:
    scalar = int.from_bytes(SIGNATURE[32:], "little") + ORDER
    assert not verifies_prehashed(PUBLIC, SIGNATURE[:32] + scalar.to_bytes(32, "little"), b"abc")


def test_keys_by_which_anybody_signs_are_refused() -> None:
    neutral = (1).to_bytes(32, "little")
    # With the neutral point as the key, the neutral point and zero are a signature of everything.
    assert not verifies_prehashed(neutral, neutral + bytes(32), b"abc")


@settings(max_examples=40, deadline=None)
@given(data=st.binary(max_size=100), position=st.integers(0, 511))
def test_the_arithmetic_is_the_librarys(data: bytes, position: int) -> None:
    public, signature = KEY.public_key().public_bytes_raw(), KEY.sign(data)
    assert _verifies(public, signature, data, b"")
    broken = bytearray(signature)
    broken[position // 8] ^= 1 << (position % 8)
    assert not _verifies(public, bytes(broken), data, b"")


@settings(max_examples=60, deadline=None)
@given(public=st.binary(min_size=32, max_size=32), signature=st.binary(min_size=64, max_size=64))
def test_garbage_is_refused(public: bytes, signature: bytes) -> None:
    assert not verifies_prehashed(public, signature, b"abc")
