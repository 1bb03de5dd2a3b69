"""The bytes are those that cosign 2.6.5 and 3.1.3 wrote into a registry; see tests/clients for the programs themselves."""

from __future__ import annotations

import base64
import json

import pytest

from sallyport.errors import MalformedError, UsageError
from sallyport.oci import Descriptor, media_types, parse_manifest
from sallyport.sign import Artifact, FileSigner, classic_tag, sign_image
from sallyport.sign.cosign import parse_payload
from sallyport.sign.dsse import pae

REFERENCE = "registry.example/team/app:1.2-20260711.1"


@pytest.fixture
def signer(keys: object) -> FileSigner:
    return keys.release  # type: ignore[attr-defined,no-any-return]


@pytest.fixture
def both(image: Descriptor, signer: FileSigner) -> tuple[Artifact, Artifact]:
    return sign_image(image, reference=REFERENCE, signer=signer)


def test_the_classic_form_is_the_bytes_that_cosign_writes(
    both: tuple[Artifact, Artifact], image: Descriptor, signer: FileSigner
) -> None:
    classic = both[0]
    (layer,) = classic.manifest.layers
    payload = classic.blob(layer)

    assert classic.tag == f"sha256-{image.digest.hex}.sig" == classic_tag(image.digest)
    assert layer.media_type == "application/vnd.dev.cosign.simplesigning.v1+json"
    assert payload.decode() == (
        '{"critical":{"identity":{"docker-reference":"registry.example/team/app:1.2-20260711.1"},'
        '"image":{"docker-manifest-digest":"' + str(image.digest) + '"},'
        '"type":"cosign container image signature"},"optional":null}'
    )
    signer.public.verify(base64.b64decode(layer.annotations["dev.cosignproject.cosign/signature"]), payload)
    assert classic.manifest.media_type == media_types.OCI_MANIFEST
    assert json.loads(classic.blob(classic.manifest.config)) == {
        "architecture": "",
        "created": "0001-01-01T00:00:00Z",
        "history": [{"created": "0001-01-01T00:00:00Z"}],
        "os": "",
        "rootfs": {"type": "layers", "diff_ids": [str(layer.digest)]},
        "config": {},
    }


def test_the_bundle_form_is_what_cosign_3_attaches(
    both: tuple[Artifact, Artifact], image: Descriptor, signer: FileSigner
) -> None:
    bundle = both[1]
    manifest = json.loads(bundle.manifest.raw)
    assert manifest["artifactType"] == "application/vnd.dev.sigstore.bundle.v0.3+json"
    assert manifest["config"]["mediaType"] == "application/vnd.oci.empty.v1+json"
    assert manifest["subject"]["digest"] == str(image.digest)
    assert manifest["annotations"]["dev.sigstore.bundle.content"] == "dsse-envelope"
    assert manifest["annotations"]["dev.sigstore.bundle.predicateType"] == "https://sigstore.dev/cosign/sign/v1"

    document = json.loads(bundle.blob(bundle.manifest.layers[0]))
    assert document["mediaType"] == "application/vnd.dev.sigstore.bundle.v0.3+json"
    assert base64.b64decode(document["verificationMaterial"]["publicKey"]["hint"]).hex() == signer.public.id
    envelope = document["dsseEnvelope"]
    statement = json.loads(base64.b64decode(envelope["payload"]))
    assert statement == {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"digest": {"sha256": image.digest.hex}, "name": REFERENCE}],
        "predicateType": "https://sigstore.dev/cosign/sign/v1",
        "predicate": {},
    }
    signed = pae("application/vnd.in-toto+json", base64.b64decode(envelope["payload"]))
    signer.public.verify(base64.b64decode(envelope["signatures"][0]["sig"]), signed)


def test_signing_again_gives_the_same_digests(
    both: tuple[Artifact, Artifact], image: Descriptor, signer: FileSigner
) -> None:
    assert sign_image(image, reference=REFERENCE, signer=signer) == both


def test_what_is_made_reads_as_a_manifest(both: tuple[Artifact, Artifact]) -> None:
    for artifact in both:
        read = parse_manifest(artifact.manifest.raw)
        assert read == artifact.manifest
        assert {blob.digest for blob, _ in artifact.blobs} == {blob.digest for blob in artifact.manifest.blobs}


def test_annotations_are_signed_in_both_forms(image: Descriptor, signer: FileSigner) -> None:
    classic, bundle = sign_image(image, reference=REFERENCE, signer=signer, annotations={"team": "payments"})

    assert json.loads(classic.blob(classic.manifest.layers[0]))["optional"] == {"team": "payments"}
    envelope = json.loads(bundle.blob(bundle.manifest.layers[0]))["dsseEnvelope"]
    assert json.loads(base64.b64decode(envelope["payload"]))["subject"][0]["annotations"] == {"team": "payments"}


@pytest.mark.parametrize("reference", ["registry.example/team/app", "registry.example/app:1@sha256:" + "a" * 64])
def test_an_image_is_signed_under_a_tag(image: Descriptor, signer: FileSigner, reference: str) -> None:
    with pytest.raises(UsageError, match="under a tag"):
        sign_image(image, reference=reference, signer=signer)


def test_the_envelope_is_hashed_as_the_specification_says() -> None:
    # The test vector of DSSE's protocol.md.
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


@pytest.mark.parametrize(
    "raw",
    [
        b"[]",
        b'{"critical":null}',
        b'{"critical":{"type":"atomic container signature","identity":{},"image":{}}}',
        b'{"critical":{"type":"cosign container image signature","identity":{},"image":{}}}',
        (
            b'{"critical":{"type":"cosign container image signature","identity":{"docker-reference":"a"},'
            b'"image":{"docker-manifest-digest":"sha256:00"}}}'
        ),
        (
            b'{"critical":{"type":"cosign container image signature","identity":{"docker-reference":"a"},'
            b'"image":{"docker-manifest-digest":"x"},"expires":"soon"}}'
        ),
    ],
)
def test_a_payload_that_says_something_else_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_payload(raw, what="the payload")
