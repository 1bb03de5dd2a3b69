"""Chains of certificates: who may stand where in them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import Certificate
from cryptography.x509.oid import ExtendedKeyUsageOID
from tests.vouch.notation_kit import COSE, JWS, NOW, certify, envelope, headers, make_signing, new_key

from sallyport.errors import MalformedError, OversizeError, WrongSignatureError
from sallyport.vouch.chain import check_chain
from sallyport.vouch.envelope import parse_envelope

START = NOW - timedelta(days=30)
KEYS: dict[str, Any] = {name: new_key("ES256") for name in ("root", "middle", "low", "signer")}


def made(name: str, by: str, **options: Any) -> Certificate:
    return certify(KEYS[name], name, KEYS[by], by, start=START, days=365, **options)


ROOT = made("root", "root", authority=True)  # with at most one authority below it
MIDDLE = made("middle", "root", authority=True)
LOW = made("low", "middle", authority=True)


def check(*chain: Certificate, root: Certificate = ROOT) -> None:
    check_chain([one.public_bytes(Encoding.DER) for one in chain], (root,), [NOW])


def test_an_authority_between_root_and_signer_is_followed() -> None:
    check(made("signer", "middle"), MIDDLE, ROOT)
    # Whoever names the one in the middle trusts what is below it.
    check(made("signer", "middle"), MIDDLE, ROOT, root=MIDDLE)


def test_a_signer_that_is_trusted_itself_needs_nobody_above_it() -> None:
    alone = made("signer", "signer")
    check(alone, root=alone)


@pytest.mark.parametrize(
    ("chain", "reason"),
    [
        ((made("signer", "low"), LOW, MIDDLE, ROOT), "may not have so many authorities"),
        ((MIDDLE, ROOT), "an authority's certificate"),
        ((made("signer", "middle"), ROOT), "not issued by the next"),
        ((made("signer", "middle"), MIDDLE), "not issued by the next"),
        ((made("low", "signer"), made("signer", "root"), ROOT), "is no authority"),
        ((made("signer", "root", purpose=ExtendedKeyUsageOID.TIME_STAMPING), ROOT), "not for signing code"),
    ],
)
def test_chains_that_may_not_are_refused(chain: tuple[Certificate, ...], reason: str) -> None:
    with pytest.raises(WrongSignatureError, match=reason):
        check(*chain)


def test_what_is_no_certificate_is_named() -> None:
    with pytest.raises(MalformedError, match="one of its certificates is broken"):
        check_chain([b"no"], (ROOT,), [NOW])


@pytest.mark.parametrize("media", [JWS, COSE])
def test_envelopes_are_bounded(media: str) -> None:
    signing = make_signing()
    with pytest.raises(OversizeError):
        parse_envelope(media, envelope(media, signing, b"x" * (300 << 10)))
    with pytest.raises(MalformedError, match="neither JWS nor COSE"):
        parse_envelope("text/plain", envelope(media, signing, b"x"))


@pytest.mark.parametrize("media", [JWS, COSE])
@pytest.mark.parametrize("name", ["signingScheme", "signingTime", "expiry"])
def test_headers_of_a_wrong_kind_are_refused(media: str, name: str) -> None:
    assert name in {*headers(), "expiry"}
    with pytest.raises(MalformedError):
        parse_envelope(media, envelope(media, make_signing(), b"x", **{name: 7}))
