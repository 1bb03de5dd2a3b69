"""Images that the owner of a key vouches for, in all the ways that cosign signs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.vouch.conftest import NOW, Upstream, signing_statement, simple_payload
from tests.vouch.sigstore_kit import BUNDLE, b64

from sallyport.errors import (
    MalformedError,
    SallyportError,
    UnsignedError,
    UntrustedError,
    UsageError,
    WrongSignatureError,
)
from sallyport.oci import Descriptor, Digest, Reference, media_types, render_json
from sallyport.sign import pae
from sallyport.vouch import Need, Rule, UpstreamKey, make_check

SLSA = "https://slsa.dev/provenance/v1"
IN_TOTO = "application/vnd.in-toto+json"
OTHER = Descriptor(media_types.OCI_MANIFEST, 2, Digest.of(b"other"))
Sign = Callable[[bytes], bytes]


def elliptic(curve: ec.EllipticCurve, algorithm: HashAlgorithm) -> tuple[Any, Sign]:
    key = ec.generate_private_key(curve)
    return key, lambda data: key.sign(data, ec.ECDSA(algorithm))


RSA = rsa.generate_private_key(65537, 2048)
ED = ed25519.Ed25519PrivateKey.generate()
PSS = padding.PSS(padding.MGF1(SHA256()), padding.PSS.MAX_LENGTH)
KINDS: dict[str, tuple[Any, Sign]] = {
    "P-256": elliptic(ec.SECP256R1(), SHA256()),
    "P-384": elliptic(ec.SECP384R1(), SHA384()),
    "P-384 with SHA-256": elliptic(ec.SECP384R1(), SHA256()),
    "P-521": elliptic(ec.SECP521R1(), SHA512()),
    "RSA PKCS1v15": (RSA, lambda data: RSA.sign(data, padding.PKCS1v15(), SHA256())),
    "RSA PSS": (RSA, lambda data: RSA.sign(data, PSS, SHA256())),
    "Ed25519": (ED, ED.sign),
}
KIND = pytest.mark.parametrize("kind", KINDS)
FORMS = pytest.mark.parametrize("form", ["bundle", "classic"])


def public(key: Any) -> UpstreamKey:
    raw: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return UpstreamKey(raw.decode())


def rule(*kinds: str, **changed: Any) -> Rule:
    keys = tuple(public(KINDS[kind][0]) for kind in kinds)
    return Rule(**{"images": "registry.example/library/*", "need": Need.KEY, "keys": keys, **changed})


def envelope(statement: bytes, sign: Sign) -> dict[str, Any]:
    return {
        "payload": b64(statement),
        "payloadType": IN_TOTO,
        "signatures": [{"sig": b64(sign(pae(IN_TOTO, statement)))}],
    }


def put(form: str, upstream: Upstream, sign: Sign, about: Descriptor | None = None) -> None:
    about = about or upstream.image
    if form == "bundle":
        upstream.referrer(bundle(signing_statement(about), sign))
    else:
        payload = simple_payload(about)
        upstream.classic((payload, signed(payload, sign)))


def bundle(statement: bytes, sign: Sign) -> bytes:
    return render_json(
        {
            "mediaType": BUNDLE,
            "verificationMaterial": {"publicKey": {"hint": "x"}},
            "dsseEnvelope": envelope(statement, sign),
        }
    )


def signed(payload: bytes, sign: Sign) -> dict[str, str]:
    return {"dev.cosignproject.cosign/signature": b64(sign(payload))}


@KIND
@FORMS
def test_the_owner_of_a_key_vouches(form: str, kind: str, upstream: Upstream) -> None:
    key, sign = KINDS[kind]
    put(form, upstream, sign)

    assert upstream.check(rule(kind)).signers == (f"key {public(key).id[:16]}",)


@FORMS
def test_a_stranger_does_not(form: str, upstream: Upstream) -> None:
    put(form, upstream, KINDS["P-384"][1])

    with pytest.raises(WrongSignatureError, match="by none of the trusted keys"):
        upstream.check(rule("P-256", "Ed25519"))


@FORMS
def test_a_signature_of_another_image_does_not_serve(form: str, upstream: Upstream) -> None:
    put(form, upstream, KINDS["P-256"][1], OTHER)

    with pytest.raises(WrongSignatureError, match="for another image"):
        upstream.check(rule("P-256"))


def test_one_good_signature_among_strangers_is_enough(upstream: Upstream) -> None:
    payload = simple_payload(upstream.image)
    upstream.classic(
        (payload, signed(payload, KINDS["RSA PSS"][1])),
        (payload + b" ", signed(payload, KINDS["P-256"][1])),
        (payload, signed(payload, KINDS["Ed25519"][1])),
    )

    assert len(upstream.check(rule("P-256", "Ed25519")).signers) == 1


def test_an_image_without_a_rule_or_signature_is_refused(upstream: Upstream) -> None:
    with pytest.raises(UnsignedError, match="needs a cosign signature"):
        upstream.check(rule("P-256"))
    with pytest.raises(UntrustedError, match="no rule under trust"):
        upstream.check(rule("P-256", images="registry.example/other/*"))


def test_the_first_rule_that_means_an_image_counts(upstream: Upstream) -> None:
    nothing = Rule("registry.example/library/*", Need.NOTHING)

    assert upstream.check(nothing, rule("P-256")).signers == ()
    with pytest.raises(UnsignedError):
        upstream.check(rule("P-256"), nothing)


@FORMS
def test_an_attestation_is_not_a_signature_and_may_be_needed_beside_one(form: str, upstream: Upstream) -> None:
    _, sign = KINDS["P-256"]
    statement = signing_statement(upstream.image, SLSA)

    def attest(sign: Sign) -> None:
        if form == "bundle":
            upstream.referrer(bundle(statement, sign))
        else:
            upstream.classic((render_json(envelope(statement, sign)), {}), kind="att")

    attest(sign)
    with pytest.raises(UnsignedError):
        upstream.check(rule("P-256", attestations=(SLSA,)))

    put(form, upstream, sign)
    assert upstream.check(rule("P-256", attestations=(SLSA,))).signers
    with pytest.raises(UnsignedError, match="attests no"):
        upstream.check(rule("P-256", attestations=(SLSA, "https://spdx.dev/Document")))


def test_statements_by_two_signers_do_not_add_up(upstream: Upstream) -> None:
    put("bundle", upstream, KINDS["P-256"][1])
    upstream.referrer(bundle(signing_statement(upstream.image, SLSA), KINDS["Ed25519"][1]))

    with pytest.raises(UnsignedError, match="attests no"):
        upstream.check(rule("P-256", "Ed25519", attestations=(SLSA,)))


def test_weak_and_foreign_keys_are_refused() -> None:
    for key in (rsa.generate_private_key(65537, 1024), ec.generate_private_key(ec.SECP256K1())):
        with pytest.raises(MalformedError, match="kind or size"):
            public(key)
    for pem in ("", "x", public(ED).pem * 2, "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"):
        with pytest.raises(MalformedError):
            UpstreamKey(pem)


def test_rules_that_cannot_be_met_are_refused() -> None:
    with pytest.raises(UsageError, match="no keys"):
        Rule("*", Need.KEY)
    with pytest.raises(UsageError, match="cannot prove"):
        Rule("*", Need.NOTHING, attestations=(SLSA,))


def test_what_is_too_large_or_elsewhere_is_passed_over_with_a_reason(upstream: Upstream) -> None:
    upstream.referrer(b"x" * (9 << 20))
    with pytest.raises(WrongSignatureError, match="too large"):
        upstream.check(rule("P-256"))

    put("bundle", upstream, KINDS["P-256"][1])
    foreign = [attachment for attachment in upstream.attachments if attachment.descriptor.size]
    check = make_check([rule("P-256")], upstream.store.blobs, now=NOW)
    with pytest.raises(UnsignedError):
        # The list says that they are about the other image; they themselves say otherwise.
        check(Reference.parse("registry.example/library/app:1"), OTHER, tuple(foreign))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(form=st.sampled_from(["bundle", "sig", "att"]), raw=st.binary(max_size=80), signature=st.text(max_size=20))
def test_garbage_is_refused_with_a_reason(form: str, raw: bytes, signature: str, upstream: Upstream) -> None:
    upstream.attachments.clear()
    if form == "bundle":
        upstream.referrer(raw)
    else:
        upstream.classic((raw, {"dev.cosignproject.cosign/signature": signature}), kind=form)

    with pytest.raises(WrongSignatureError, match="none holds: "):
        upstream.check(rule("P-256"))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0), bit=st.integers(0, 7))
def test_one_flipped_bit_is_refused_or_says_the_same(position: int, bit: int, upstream: Upstream) -> None:
    raw = bytearray(bundle(signing_statement(upstream.image), KINDS["P-256"][1]))
    raw[position % len(raw)] ^= 1 << bit
    upstream.attachments.clear()
    upstream.referrer(bytes(raw))

    with contextlib.suppress(SallyportError):
        assert len(upstream.check(rule("P-256")).signers) == 1


def test_damage_is_a_reason_and_not_the_end(upstream: Upstream) -> None:
    broken = upstream.referrer(bundle(signing_statement(upstream.image), KINDS["P-256"][1]) + b" ")
    upstream.store.blobs.delete(broken.layers[0].digest)
    with pytest.raises(WrongSignatureError, match="cannot be read"):
        upstream.check(rule("P-256"))

    put("classic", upstream, KINDS["P-256"][1])
    assert upstream.check(rule("P-256")).signers


def test_what_is_attached_and_no_signature_is_passed_over(upstream: Upstream) -> None:
    upstream.referrer(b"{}", "application/spdx+json", artifact_type="application/spdx+json")
    with pytest.raises(UnsignedError, match="and has none"):
        upstream.check(rule("P-256"))


def test_more_signatures_than_an_honest_image_has_are_not_looked_at(upstream: Upstream) -> None:
    for number in range(66):
        upstream.referrer(b"%d" % number)
    with pytest.raises(WrongSignatureError, match="and 61 more"):
        upstream.check(rule("P-256"))
