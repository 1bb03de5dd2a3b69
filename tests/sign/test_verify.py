from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sallyport.errors import (
    DamagedError,
    MalformedError,
    SallyportError,
    UnsignedError,
    UntrustedError,
    UsageError,
    WrongSignatureError,
)
from sallyport.oci import Descriptor, Digest, build_manifest, render_json
from sallyport.sign import (
    BILL,
    SIGN_PREDICATE,
    VULNERABILITIES,
    Artifact,
    Form,
    Purpose,
    TrustedKeys,
    attest,
    sign_image,
    verify_attestation,
    verify_release,
)
from sallyport.sign.dsse import Envelope, from_base64, to_base64
from sallyport.sign.sigstore import bundle_artifact, parse_bundle
from sallyport.sign.statement import Statement

REFERENCE = "registry.example/team/app:1.2-20260711.1"
NOW = datetime(2026, 7, 11, tzinfo=UTC)
Keys = Any


@pytest.fixture
def released(image: Descriptor, keys: Keys) -> tuple[Artifact, Artifact]:
    return sign_image(image, reference=REFERENCE, signer=keys.release)


@pytest.fixture
def scanned(image: Descriptor, keys: Keys) -> Artifact:
    return attest(image, predicate_type=VULNERABILITIES, predicate={"scanner": {}}, signer=keys.scan)


def with_blob(artifact: Artifact, data: bytes, annotations: dict[str, str] | None = None) -> Artifact:
    """The artifact around other bytes, its digests made right: what somebody who controls the registry can do."""
    old = artifact.manifest.layers[0]
    layer = Descriptor(
        old.media_type, len(data), Digest.of(data), annotations=old.annotations if annotations is None else annotations
    )
    manifest = build_manifest(
        artifact.manifest.config,
        [layer],
        subject=artifact.manifest.subject,
        artifact_type=artifact.manifest.artifact_type,
        annotations=artifact.manifest.annotations,
    )
    return Artifact(manifest, (artifact.blobs[0], (layer, data)), artifact.tag)


def test_a_released_image_holds_in_both_forms(
    released: tuple[Artifact, Artifact], image: Descriptor, keys: Keys
) -> None:
    verified = verify_release(released, image, keys.trusted, reference=REFERENCE)

    assert verified.forms == {Form.CLASSIC, Form.BUNDLE}
    assert verified.references == {REFERENCE}
    assert {signature.key for signature in verified.signatures} == {keys.release.public}


@pytest.mark.parametrize("form", [0, 1])
def test_either_form_alone_holds(released: tuple[Artifact, Artifact], image: Descriptor, keys: Keys, form: int) -> None:
    assert len(verify_release([released[form]], image, keys.trusted, reference=REFERENCE).signatures) == 1


def test_an_image_without_a_signature_is_named(image: Descriptor, keys: Keys) -> None:
    with pytest.raises(UnsignedError, match=image.digest.hex):
        verify_release([], image, keys.trusted, reference=REFERENCE)


def test_a_signature_for_another_image_does_not_serve(
    released: tuple[Artifact, Artifact], other_image: Descriptor, keys: Keys
) -> None:
    with pytest.raises(WrongSignatureError, match="is for sha256"):
        verify_release(released, other_image, keys.trusted, reference=REFERENCE)


@pytest.mark.parametrize("form", [0, 1])
def test_a_signature_for_another_name_does_not_serve(
    released: tuple[Artifact, Artifact], image: Descriptor, keys: Keys, form: int
) -> None:
    with pytest.raises(WrongSignatureError, match="for the name"):
        verify_release([released[form]], image, keys.trusted, reference="registry.example/team/app:2.0-20260711.1")


@pytest.mark.parametrize("form", [0, 1])
def test_a_strangers_signature_does_not_serve_and_does_not_hide_ours(
    released: tuple[Artifact, Artifact], image: Descriptor, keys: Keys, form: int
) -> None:
    strange = sign_image(image, reference=REFERENCE, signer=keys.stranger)[form]

    with pytest.raises(WrongSignatureError, match="none of the trusted keys"):
        verify_release([strange], image, keys.trusted, reference=REFERENCE)
    assert verify_release([strange, *released], image, keys.trusted, reference=REFERENCE).signatures


def test_a_scan_alone_is_no_release(scanned: Artifact, image: Descriptor, keys: Keys) -> None:
    with pytest.raises(WrongSignatureError):
        verify_release([scanned], image, keys.trusted, reference=None)


def test_a_scan_signed_by_the_release_key_is_still_no_release(image: Descriptor, keys: Keys) -> None:
    confused = attest(image, predicate_type=VULNERABILITIES, predicate={}, signer=keys.release, reference=REFERENCE)

    with pytest.raises(WrongSignatureError, match="not a signature"):
        verify_release([confused], image, keys.trusted, reference=REFERENCE)


def test_a_release_signed_by_the_scan_key_is_no_release(image: Descriptor, keys: Keys) -> None:
    with pytest.raises(WrongSignatureError, match="none of the trusted keys"):
        verify_release(
            sign_image(image, reference=REFERENCE, signer=keys.scan), image, keys.trusted, reference=REFERENCE
        )


def test_an_attestation_is_not_made_of_a_signatures_type(image: Descriptor, keys: Keys) -> None:
    with pytest.raises(UsageError, match="not a kind of attestation"):
        attest(image, predicate_type=SIGN_PREDICATE, predicate={}, signer=keys.scan)


def test_one_key_for_two_kinds_of_statement_is_refused(keys: Keys) -> None:
    with pytest.raises(UntrustedError, match="trusted for release and for scan"):
        TrustedKeys.of({Purpose.RELEASE: [keys.release.public], Purpose.SCAN: [keys.release.public]})


def test_the_cluster_inside_can_ask_for_two(image: Descriptor, keys: Keys) -> None:
    outside = sign_image(image, reference=REFERENCE, signer=keys.release)
    inside = sign_image(image, reference=REFERENCE, signer=keys.admission)

    both = [*outside, *inside]
    for purpose in (Purpose.RELEASE, Purpose.ADMISSION):
        verified = verify_release(both, image, keys.trusted, reference=REFERENCE, purpose=purpose)
        assert len(verified.signatures) == 2
    with pytest.raises(WrongSignatureError):
        verify_release(outside, image, keys.trusted, reference=REFERENCE, purpose=Purpose.ADMISSION)
    with pytest.raises(UsageError, match="does not sign images"):
        verify_release(both, image, keys.trusted, reference=REFERENCE, purpose=Purpose.SCAN)


def test_without_a_trusted_key_nothing_holds_and_the_mend_names_the_file(
    released: tuple[Artifact, Artifact], image: Descriptor
) -> None:
    with pytest.raises(UsageError) as caught:
        verify_release(released, image, TrustedKeys(()), reference=REFERENCE)
    assert "release.pub" in caught.value.mend


def test_a_scan_is_read_back(scanned: Artifact, image: Descriptor, keys: Keys) -> None:
    (attested,) = verify_attestation([scanned], image, keys.trusted, predicate_type=VULNERABILITIES)

    assert attested.predicate == {"scanner": {}}
    assert attested.key == keys.scan.public
    with pytest.raises(UnsignedError, match=r"cyclonedx\.org"):
        verify_attestation([scanned], image, keys.trusted, predicate_type=BILL)


def test_an_attestation_about_another_image_or_by_another_key_does_not_serve(
    scanned: Artifact, image: Descriptor, other_image: Descriptor, keys: Keys
) -> None:
    strange = attest(image, predicate_type=VULNERABILITIES, predicate={}, signer=keys.release)

    with pytest.raises(WrongSignatureError, match="is about"):
        verify_attestation([scanned], other_image, keys.trusted, predicate_type=VULNERABILITIES)
    with pytest.raises(WrongSignatureError, match="none of the trusted keys"):
        verify_attestation([strange], image, keys.trusted, predicate_type=VULNERABILITIES)
    with pytest.raises(UsageError):
        verify_attestation([scanned], image, keys.trusted, predicate_type=SIGN_PREDICATE)


def test_a_statement_about_two_images_is_refused(image: Descriptor, keys: Keys) -> None:
    statement = json.loads(
        Statement(image.digest, REFERENCE, SIGN_PREDICATE, {}).render(version="https://in-toto.io/Statement/v1")
    )
    statement["subject"].append({"digest": {"sha256": "a" * 64}})
    envelope = Envelope.seal("application/vnd.in-toto+json", render_json(statement), keys.release)
    good = sign_image(image, reference=REFERENCE, signer=keys.release)[1]
    document = json.loads(good.blob(good.manifest.layers[0]))
    document["dsseEnvelope"] = envelope.to_json()

    with pytest.raises(WrongSignatureError, match="exactly one image"):
        verify_release([with_blob(good, render_json(document))], image, keys.trusted, reference=REFERENCE)


def test_another_kind_of_payload_is_refused(image: Descriptor, keys: Keys) -> None:
    good = sign_image(image, reference=REFERENCE, signer=keys.release)[1]
    document = json.loads(good.blob(good.manifest.layers[0]))
    payload = from_base64(document["dsseEnvelope"]["payload"], what="it")
    document["dsseEnvelope"] = Envelope.seal("text/plain", payload, keys.release).to_json()

    with pytest.raises(WrongSignatureError, match="not an in-toto statement"):
        verify_release([with_blob(good, render_json(document))], image, keys.trusted, reference=REFERENCE)


def test_bytes_that_are_not_those_of_the_manifest_are_refused(
    released: tuple[Artifact, Artifact], image: Descriptor, keys: Keys
) -> None:
    for artifact in released:
        layer, data = artifact.blobs[1]
        for broken in (data[:-1], data + b" ", b" " + data[1:]):
            with pytest.raises(WrongSignatureError):
                verify_release([replace(artifact, blobs=((layer, broken),))], image, keys.trusted, reference=REFERENCE)
        with pytest.raises(WrongSignatureError, match="missing"):
            verify_release([replace(artifact, blobs=())], image, keys.trusted, reference=REFERENCE)


flips = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@flips
@given(place=st.integers(0), flip=st.integers(1, 255), part=st.sampled_from(["payload", "signature"]))
def test_one_changed_byte_of_a_classic_signature_is_refused(
    released: tuple[Artifact, Artifact], image: Descriptor, keys: Keys, place: int, flip: int, part: str
) -> None:
    layer, payload = released[0].blobs[1]
    ((name, text),) = layer.annotations.items()
    parts = {"payload": bytearray(payload), "signature": bytearray(text.encode())}
    parts[part][place % len(parts[part])] ^= flip
    changed = with_blob(released[0], bytes(parts["payload"]), {name: parts["signature"].decode("latin-1")})

    with pytest.raises(WrongSignatureError):
        verify_release([changed], image, keys.trusted, reference=REFERENCE)


@flips
@given(
    place=st.integers(0),
    flip=st.integers(1, 255),
    part=st.sampled_from(["payload", "sig", "payload text", "sig text", "payloadType text"]),
)
def test_one_changed_byte_of_a_statement_or_its_signature_is_refused(
    released: tuple[Artifact, Artifact], image: Descriptor, keys: Keys, place: int, flip: int, part: str
) -> None:
    document = json.loads(released[1].blob(released[1].manifest.layers[0]))
    envelope = document["dsseEnvelope"]
    owner, name = (envelope["signatures"][0], "sig") if "sig" in part else (envelope, part.split(maxsplit=1)[0])
    changed = bytearray(owner[name].encode() if "text" in part else base64.b64decode(owner[name]))
    changed[place % len(changed)] ^= flip
    owner[name] = changed.decode("latin-1") if "text" in part else to_base64(bytes(changed))

    with pytest.raises(WrongSignatureError):
        verify_release([with_blob(released[1], render_json(document))], image, keys.trusted, reference=REFERENCE)


@flips
@given(raw=st.binary(max_size=300))
def test_whatever_is_no_bundle_is_an_error_of_ours(raw: bytes) -> None:
    with pytest.raises(DamagedError):
        parse_bundle(raw, what="it")
    with pytest.raises(DamagedError):
        Statement.parse(raw, what="it")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@flips
@given(
    where=st.sampled_from(
        ["mediaType", "verificationMaterial", "dsseEnvelope", "payload", "payloadType", "signatures", "sig"]
    ),
    value=json_values,
)
def test_a_bundle_with_any_field_replaced_never_holds_or_is_what_it_was(
    released: tuple[Artifact, Artifact], image: Descriptor, keys: Keys, where: str, value: object
) -> None:
    document = json.loads(released[1].blob(released[1].manifest.layers[0]))
    owner = document
    if where in ("payload", "payloadType", "signatures"):
        owner = document["dsseEnvelope"]
    elif where == "sig":
        owner = document["dsseEnvelope"]["signatures"][0]
    owner[where] = value

    with pytest.raises(SallyportError):
        verify_release([with_blob(released[1], render_json(document))], image, keys.trusted, reference=REFERENCE)


@given(data=st.binary(max_size=40))
@settings(max_examples=100, deadline=None)
def test_base64_has_one_form(data: bytes) -> None:
    text = to_base64(data)
    assert from_base64(text, what="it") == data
    for other in (text + "\n", text.rstrip("=") + "!", " " + text):
        with pytest.raises(MalformedError):
            from_base64(other, what="it")


def test_unused_bits_of_base64_must_be_zero() -> None:
    assert from_base64("QQ==", what="it") == b"A"
    with pytest.raises(MalformedError, match="one proper form"):
        from_base64("QR==", what="it")


@given(
    name=st.text(max_size=20),
    kind=st.text(min_size=1, max_size=20),
    predicate=json_values,
    annotations=st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=3),
    version=st.sampled_from(["https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1"]),
)
@settings(max_examples=100, deadline=None)
def test_a_statement_comes_back_as_it_went(
    name: str, kind: str, predicate: Any, annotations: dict[str, str], version: str
) -> None:
    statement = Statement(Digest.of(b"x"), name, kind, predicate, annotations)
    assert Statement.parse(statement.render(version=version), what="it") == statement


def test_a_bundle_with_a_certificate_is_not_ours_and_says_so(image: Descriptor, keys: Keys) -> None:
    good = bundle_artifact(image, Statement(image.digest, REFERENCE, SIGN_PREDICATE, {}), keys.release, signature=True)
    document = json.loads(good.blob(good.manifest.layers[0]))
    document["verificationMaterial"] = {"certificate": {"rawBytes": "AA=="}}

    with pytest.raises(WrongSignatureError, match="not signed with a key"):
        verify_release([with_blob(good, render_json(document))], image, keys.trusted, reference=REFERENCE)
