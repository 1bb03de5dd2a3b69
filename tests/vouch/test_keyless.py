"""Images that an identity vouches for, with certificate, logs and trusted root of our own."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import Any

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.vouch.conftest import Upstream, signing_statement, simple_payload
from tests.vouch.sigstore_kit import IDENTITY, ISSUER, WHEN, Sigstore

from sallyport.errors import MalformedError, SallyportError, UnsignedError, UsageError, WrongSignatureError
from sallyport.oci import Descriptor, Digest, media_types
from sallyport.vouch import Need, Rule

SLSA = "https://slsa.dev/provenance/v1"
OTHER = Descriptor(media_types.OCI_MANIFEST, 2, Digest.of(b"other"))


def rule(sigstore: Sigstore, **changed: Any) -> Rule:
    return Rule(
        **{
            "images": "registry.example/library/*",
            "need": Need.IDENTITY,
            "trusted_root": sigstore.trusted_root(),
            "issuer": ISSUER,
            "identity": "https://forge.example/team/app/*@refs/heads/main",
            **changed,
        }
    )


def put(form: str, upstream: Upstream, sigstore: Sigstore, about: Descriptor | None = None, **named: Any) -> None:
    about = about or upstream.image
    if form == "bundle":
        upstream.referrer(sigstore.bundle(signing_statement(about), **named))
    else:
        payload = simple_payload(about)
        upstream.classic((payload, sigstore.classic(payload, **named)))


FORMS = pytest.mark.parametrize("form", ["bundle", "classic"])


@FORMS
def test_an_identity_vouches(form: str, upstream: Upstream, sigstore: Sigstore) -> None:
    put(form, upstream, sigstore)

    vouched = upstream.check(rule(sigstore))

    assert vouched.signers == (f"{IDENTITY} ({ISSUER})",)


@FORMS
def test_who_signs_by_mail_address_is_told_apart(form: str, upstream: Upstream, sigstore: Sigstore) -> None:
    put(form, upstream, sigstore, identity="ann@people.example")

    assert upstream.check(rule(sigstore, identity="ann@people.example")).signers
    with pytest.raises(WrongSignatureError, match=r"by 'ann@people.example', not by 'bob@people.example'"):
        upstream.check(rule(sigstore, identity="bob@people.example"))


@FORMS
@pytest.mark.parametrize(
    ("named", "reason"),
    [
        ({"identity": "https://forge.example/evil/app/x@refs/heads/main"}, "it is by 'https://forge.example/evil"),
        ({"issuer": "https://other.example"}, "proven by 'https://other.example'"),
        ({"purpose": ExtendedKeyUsageOID.SERVER_AUTH}, "code signing|signing code"),
        ({"logged": False}, "log of certificates|SCT"),
        ({"when": WHEN + timedelta(minutes=11)}, "not in force|chain|expired"),
        ({"when": WHEN - timedelta(minutes=1)}, "not in force|chain|not valid"),
        ({"about": OTHER}, "for another image"),
    ],
)
def test_what_does_not_hold_is_named(
    form: str, named: dict[str, Any], reason: str, upstream: Upstream, sigstore: Sigstore
) -> None:
    put(form, upstream, sigstore, **named)

    with pytest.raises(WrongSignatureError, match=reason):
        upstream.check(rule(sigstore))


@FORMS
@pytest.mark.parametrize("part", ["root_key", "ct_key", "rekor_key"])
def test_each_part_of_the_trusted_root_counts(form: str, part: str, upstream: Upstream, sigstore: Sigstore) -> None:
    fake = Sigstore(
        **{name: getattr(sigstore, name) for name in ("root_key", "middle_key", "ct_key", "rekor_key") if name != part}
    )
    if part == "root_key":
        fake = Sigstore(ct_key=sigstore.ct_key, rekor_key=sigstore.rekor_key)
    put(form, upstream, fake)

    with pytest.raises(WrongSignatureError):
        upstream.check(rule(sigstore))


def test_a_promise_for_another_signature_does_not_serve(upstream: Upstream, sigstore: Sigstore) -> None:
    payload = simple_payload(upstream.image)
    mine, other = sigstore.classic(payload), sigstore.classic(simple_payload(OTHER))
    mine["dev.sigstore.cosign/bundle"] = other["dev.sigstore.cosign/bundle"]
    upstream.classic((payload, mine))

    with pytest.raises(WrongSignatureError, match="the log's entry is of another signature"):
        upstream.check(rule(sigstore))


def test_without_a_promise_there_is_no_time_and_no_trust(upstream: Upstream, sigstore: Sigstore) -> None:
    payload = simple_payload(upstream.image)
    annotations = sigstore.classic(payload)
    del annotations["dev.sigstore.cosign/bundle"]
    upstream.classic((payload, annotations))

    with pytest.raises(WrongSignatureError, match="no log of signatures has promised"):
        upstream.check(rule(sigstore))


@FORMS
def test_attestations_are_needed_from_the_same_signer(form: str, upstream: Upstream, sigstore: Sigstore) -> None:
    wanted = rule(sigstore, identity="https://forge.example/team/app/*", attestations=(SLSA,))
    put(form, upstream, sigstore)
    with pytest.raises(UnsignedError, match=r"attests no https://slsa.dev/provenance/v1"):
        upstream.check(wanted)

    def attest(identity: str) -> None:
        statement = signing_statement(upstream.image, SLSA)
        if form == "bundle":
            upstream.referrer(sigstore.bundle(statement, identity=identity))
        else:
            upstream.classic(sigstore.attested(statement, identity=identity), kind="att")

    attest("https://forge.example/team/app/another.yml@refs/heads/main")
    with pytest.raises(UnsignedError, match="attests no"):
        upstream.check(wanted)

    attest(IDENTITY)
    assert upstream.check(wanted).signers == (f"{IDENTITY} ({ISSUER})",)


def test_a_rule_for_everybody_is_refused(sigstore: Sigstore) -> None:
    with pytest.raises(UsageError, match="issuer and identity"):
        rule(sigstore, identity="**")
    with pytest.raises(UsageError, match="trusted-root"):
        rule(sigstore, trusted_root=b"")


@pytest.mark.parametrize(
    "raw", [b"{", b"[]", b"{}", b'{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}']
)
def test_a_broken_trusted_root_is_named(raw: bytes, upstream: Upstream, sigstore: Sigstore) -> None:
    with pytest.raises(MalformedError, match="trusted root"):
        upstream.check(rule(sigstore, trusted_root=raw))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0), bit=st.integers(0, 7))
def test_one_flipped_bit_in_a_bundle_is_refused_or_says_the_same(
    position: int, bit: int, upstream: Upstream, sigstore: Sigstore
) -> None:
    raw = bytearray(sigstore.bundle(signing_statement(upstream.image)))
    raw[position % len(raw)] ^= 1 << bit
    upstream.attachments.clear()
    upstream.referrer(bytes(raw))

    try:
        vouched = upstream.check(rule(sigstore))
    except SallyportError:
        return
    assert vouched.signers == (f"{IDENTITY} ({ISSUER})",)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(["certificate", "bundle"]),
    value=st.one_of(
        st.text(max_size=40),
        st.recursive(
            st.none() | st.integers() | st.text(max_size=5),
            lambda inner: st.dictionaries(
                st.sampled_from(["Payload", "body", "integratedTime", "logIndex", "logID", "SignedEntryTimestamp"]),
                inner,
            ),
        ).map(json.dumps),
    ),
)
def test_hostile_annotations_are_refused_with_a_reason(
    name: str, value: str, upstream: Upstream, sigstore: Sigstore
) -> None:
    payload = simple_payload(upstream.image)
    upstream.attachments.clear()
    upstream.classic((payload, sigstore.classic(payload) | {f"dev.sigstore.cosign/{name}": value}))

    with pytest.raises(WrongSignatureError, match="none holds: cosign signature"):
        upstream.check(rule(sigstore))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0), bit=st.integers(0, 7))
def test_one_flipped_bit_in_a_certificate_is_refused(
    position: int, bit: int, upstream: Upstream, sigstore: Sigstore
) -> None:
    payload = simple_payload(upstream.image)
    annotations = sigstore.classic(payload)
    lines = annotations["dev.sigstore.cosign/certificate"].strip().splitlines()
    der = bytearray(base64.b64decode("".join(lines[1:-1])))
    der[position % len(der)] ^= 1 << bit
    broken = f"{lines[0]}\n{base64.b64encode(der).decode()}\n{lines[-1]}\n"
    upstream.attachments.clear()
    upstream.classic((payload, annotations | {"dev.sigstore.cosign/certificate": broken}))

    with pytest.raises(WrongSignatureError, match="none holds: cosign signature"):
        upstream.check(rule(sigstore))
