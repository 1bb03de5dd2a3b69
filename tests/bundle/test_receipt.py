"""Receipts: signed, of one destination, and the newest counts."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sallyport.bundle import ForeignReceiptError, Position, Receipt, newest_receipt, sign_receipt, verify_receipt
from sallyport.errors import MalformedError, SallyportError, UnsignedError, WrongSignatureError
from sallyport.oci import Digest, render_json


def receipt(outside: Any, sequence: int = 1, **changes: Any) -> Receipt:
    fields = {
        "format": 1,
        "destination": "plant-7",
        "position": Position(1, sequence),
        "received_at": outside.now,
        "holds": (Digest.of(b"1"), Digest.of(b"2")),
        "imported": ("team/app:1@sha256:00",),
        "refused": (),
        **changes,
    }
    return Receipt(**fields)


def check(outside: Any, raw: bytes, destination: str = "plant-7") -> Receipt:
    return verify_receipt(raw, outside.keys["receipt"].public, destination=destination)


def test_a_receipt_comes_back_as_it_was(outside: Any) -> None:
    one = receipt(outside)
    raw = sign_receipt(one, outside.keys["receipt"])

    assert check(outside, raw) == one
    assert sign_receipt(one, outside.keys["receipt"]) == raw


def test_a_receipt_by_another_key_or_of_another_place_does_not_count(outside: Any) -> None:
    with pytest.raises(WrongSignatureError):
        check(outside, sign_receipt(receipt(outside), outside.keys["stranger"]))
    with pytest.raises(ForeignReceiptError):
        check(outside, sign_receipt(receipt(outside), outside.keys["receipt"]), "ship-3")
    with pytest.raises(MalformedError, match="format 2"):
        check(outside, sign_receipt(receipt(outside, format=2), outside.keys["receipt"]))


def test_an_unsigned_receipt_and_another_kind_of_statement_do_not_count(outside: Any) -> None:
    value = json.loads(sign_receipt(receipt(outside), outside.keys["receipt"]))
    with pytest.raises(UnsignedError):
        check(outside, render_json({**value, "signatures": []}))
    with pytest.raises(MalformedError, match="not a receipt"):
        check(outside, render_json({**value, "payloadType": "application/vnd.in-toto+json"}))


def test_the_signature_is_dsse(outside: Any) -> None:
    value = json.loads(sign_receipt(receipt(outside), outside.keys["receipt"]))
    payload = base64.b64decode(value["payload"])
    kind = value["payloadType"].encode()
    signed = b" ".join([b"DSSEv1", str(len(kind)).encode(), kind, str(len(payload)).encode(), payload])

    outside.keys["receipt"].public.verify(base64.b64decode(value["signatures"][0]["sig"]), signed)


def test_the_newest_that_verifies_counts(outside: Any) -> None:
    key = outside.keys["receipt"]
    later = receipt(outside, 9, received_at=outside.now + timedelta(hours=1), holds=())
    raws = [
        ("a", sign_receipt(receipt(outside, 9), key)),
        ("b", sign_receipt(later, key)),
        ("c", sign_receipt(receipt(outside, 2), key)),
        ("d", sign_receipt(receipt(outside, 10), outside.keys["stranger"])),
        ("e", b"no receipt"),
    ]

    newest, wrong = newest_receipt(raws, key.public, destination="plant-7")

    assert newest == later
    assert [error.message.split()[0] for error in wrong] == ["d", "e"]
    assert newest_receipt([], key.public, destination="plant-7") == (None, ())


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_flipped_bit_is_refused(outside: Any, data: st.DataObject) -> None:
    raw = bytearray(sign_receipt(receipt(outside), outside.keys["receipt"]))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))

    with pytest.raises(SallyportError):
        check(outside, bytes(raw))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=st.binary(max_size=300))
def test_nonsense_is_refused(outside: Any, raw: bytes) -> None:
    with pytest.raises(SallyportError):
        check(outside, raw)
