"""Images that the holder of a certificate vouches for, as notation signs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import cbor2
import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.vouch.conftest import Upstream
from tests.vouch.notation_kit import (
    COSE,
    JWS,
    NOTATION,
    NOW,
    Signing,
    envelope,
    make_signing,
    payload_of,
)

from sallyport.errors import SallyportError, UsageError, WrongSignatureError
from sallyport.oci import Descriptor, Digest, media_types
from sallyport.vouch import Need, Rule

OTHER = Descriptor(media_types.OCI_MANIFEST, 2, Digest.of(b"other"))
MEDIA = pytest.mark.parametrize("media", [JWS, COSE])
SIGNING = make_signing()
NAME = "CN=signer,O=Team,ST=Somewhere,C=XX"
SCHEME, EXPIRY, AUTHENTIC = (f"io.cncf.notary.{name}" for name in ("signingScheme", "expiry", "authenticSigningTime"))


def rule(signing: Signing = SIGNING, **changed: Any) -> Rule:
    return Rule(
        **{
            "images": "registry.example/library/*",
            "need": Need.CERTIFICATE,
            "certificates": (signing.root_pem,),
            **changed,
        }
    )


def put(upstream: Upstream, media: str, signing: Signing = SIGNING, payload: bytes | None = None, **named: Any) -> None:
    raw = envelope(media, signing, payload_of(upstream.image) if payload is None else payload, **named)
    upstream.referrer(raw, media, artifact_type=NOTATION)


@MEDIA
@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "ES512", "PS256", "PS384"])
def test_the_holder_of_a_certificate_vouches(media: str, algorithm: str, upstream: Upstream) -> None:
    signing = make_signing(algorithm)
    put(upstream, media, signing)

    assert upstream.check(rule(signing)).signers == (NAME,)


@MEDIA
def test_the_subject_is_compared_by_its_parts(media: str, upstream: Upstream) -> None:
    put(upstream, media)

    assert upstream.check(rule(subjects=("CN=other,O=Team", "O=Team,CN=signer"))).signers
    assert upstream.check(rule(subjects=("C=XX,S=Somewhere,O=Team",))).signers
    with pytest.raises(WrongSignatureError, match="none of the rule's subjects"):
        upstream.check(rule(subjects=("CN=signer,O=Other",)))


@MEDIA
@pytest.mark.parametrize(
    ("made", "reason"),
    [
        ({"purpose": ExtendedKeyUsageOID.SERVER_AUTH}, "not for signing code"),
        ({"signs_certificates": True}, "for other things than signatures"),
        ({"days": 20}, "not in force on 2026-07-02"),
        ({"start": NOW + timedelta(days=1)}, "not in force"),
    ],
)
def test_certificates_that_may_not_are_refused(
    media: str, made: dict[str, Any], reason: str, upstream: Upstream
) -> None:
    signing = make_signing(**made)
    put(upstream, media, signing)

    with pytest.raises(WrongSignatureError, match=reason):
        upstream.check(rule(signing))


@MEDIA
@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"expiry": NOW - timedelta(seconds=1), "crit": [SCHEME, EXPIRY]}, "it expired on 2026-07-01"),
        ({"expiry": NOW + timedelta(days=1)}, "does not say that 'io.cncf.notary.expiry' is critical"),
        ({"crit": [SCHEME, "io.cncf.notary.verificationPlugin"]}, "verificationPlugin' is critical"),
        ({"signingScheme": "notary.other"}, "scheme 'notary.other' is not known"),
        ({"signingScheme": "notary.x509.signingAuthority", "crit": [SCHEME, AUTHENTIC]}, "time of another scheme"),
        ({"cty": "text/plain"}, "signs a 'text/plain'"),
        ({"alg": "ES384"}, "algorithm 'ES384' is not the one"),
        ({"alg": "PS256"}, "algorithm 'PS256' is not the one"),
    ],
)
def test_envelopes_that_say_something_else_are_refused(
    media: str, changed: dict[str, Any], reason: str, upstream: Upstream
) -> None:
    put(upstream, media, **changed)

    with pytest.raises(WrongSignatureError, match=reason):
        upstream.check(rule())


@MEDIA
def test_an_authority_that_signs_for_others_vouches_while_its_certificate_is_in_force(
    media: str, upstream: Upstream
) -> None:
    scheme: dict[str, Any] = {
        "signingScheme": "notary.x509.signingAuthority",
        "signingTime": None,
        "crit": [SCHEME, AUTHENTIC],
    }
    put(upstream, media, authenticSigningTime=NOW - timedelta(days=1), **scheme)
    assert upstream.check(rule()).signers == (NAME,)

    upstream.attachments.clear()
    put(upstream, media, authenticSigningTime=NOW - timedelta(days=60), **scheme)
    with pytest.raises(WrongSignatureError, match="not in force on 2026-05-03"):
        upstream.check(rule())


@MEDIA
def test_signatures_by_others_or_of_other_images_do_not_serve(media: str, upstream: Upstream) -> None:
    put(upstream, media, make_signing())
    with pytest.raises(WrongSignatureError, match="which no certificate of the rule is"):
        upstream.check(rule())

    upstream.attachments.clear()
    put(upstream, media, payload=payload_of(OTHER))
    with pytest.raises(WrongSignatureError, match="for another image"):
        upstream.check(rule())

    upstream.attachments.clear()
    put(upstream, media, payload=payload_of(Descriptor("text/plain", 7, upstream.image.digest)))
    with pytest.raises(WrongSignatureError, match="another size or media type"):
        upstream.check(rule())


@MEDIA
def test_a_signer_with_a_chain_of_somebody_else_is_refused(media: str, upstream: Upstream) -> None:
    mine, other = make_signing(), SIGNING
    forged = Signing(mine.key, (mine.chain[0], other.chain[1]), mine.algorithm)
    put(upstream, media, forged)
    with pytest.raises(WrongSignatureError, match="not issued by the next"):
        upstream.check(rule())

    upstream.attachments.clear()
    put(upstream, media, Signing(mine.key, other.chain, mine.algorithm))
    with pytest.raises(WrongSignatureError, match="not by its certificate's key"):
        upstream.check(rule())


def test_rules_without_certificates_or_subjects_are_named(upstream: Upstream) -> None:
    with pytest.raises(UsageError, match="holds none in PEM"):
        upstream.check(rule(certificates=("no",)))
    for text in ("no", ""):
        with pytest.raises(UsageError, match="subject"):
            upstream.check(rule(subjects=(text,)))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(media=st.sampled_from([JWS, COSE]), position=st.integers(0), bit=st.integers(0, 7))
def test_one_flipped_bit_is_refused_or_says_the_same(media: str, position: int, bit: int, upstream: Upstream) -> None:
    raw = bytearray(envelope(media, SIGNING, payload_of(upstream.image)))
    raw[position % len(raw)] ^= 1 << bit
    upstream.attachments.clear()
    upstream.referrer(bytes(raw), media, artifact_type=NOTATION)

    try:
        vouched = upstream.check(rule())
    except SallyportError:
        return
    assert vouched.signers == (NAME,)


_LEAVES = st.none() | st.integers() | st.text(max_size=4) | st.binary(max_size=8) | st.booleans()
_TREES = st.recursive(
    _LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.integers(0, 40) | st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    raw=st.one_of(
        st.binary(max_size=60),
        _TREES.map(cbor2.dumps),
        st.lists(_TREES, min_size=4, max_size=4).map(lambda parts: cbor2.dumps(cbor2.CBORTag(18, parts))),
        st.tuples(_TREES.map(cbor2.dumps), _TREES, st.binary(max_size=4), st.binary(max_size=4)).map(
            lambda parts: cbor2.dumps(cbor2.CBORTag(18, list(parts)))
        ),
    )
)
def test_garbage_is_refused_with_a_reason(raw: bytes, upstream: Upstream) -> None:
    for media in (JWS, COSE):
        upstream.attachments.clear()
        upstream.referrer(raw, media, artifact_type=NOTATION)
        with pytest.raises(WrongSignatureError, match="none holds: notation signature"):
            upstream.check(rule())
