"""Statements in sigstore's bundle 0.3, attached as a referrer.

Sources: sigstore protobuf-specs, sigstore_bundle.proto; cosign, specs/BUNDLE_SPEC.md; what cosign 3.1.3 writes.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping

from sallyport.errors import MalformedError
from sallyport.oci import (
    EMPTY_CONFIG,
    JSON,
    Descriptor,
    Digest,
    Manifest,
    build_manifest,
    parse_json,
    render_json,
)
from sallyport.sign.dsse import IN_TOTO, Envelope
from sallyport.sign.interface import Signer
from sallyport.sign.model import Artifact
from sallyport.sign.public import PublicKey
from sallyport.sign.statement import LIMIT, STATEMENT_V01, STATEMENT_V1, Statement

BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PREDICATE_TYPE = "dev.sigstore.bundle.predicateType"
CONTENT = "dev.sigstore.bundle.content"
KEY = "dev.sallyport.key"
"""Annotation: the id of the key, so that a newer statement replaces the older of the same key, and no other's."""
REFERENCE = "dev.sallyport.reference"
"""Annotation: the name under which the statement is made; for finding, never for proof."""
_MEND = "the bundle is broken, or made by another kind of signer: fetch it again, or ask its author"


def bundle_artifact(subject: Descriptor, statement: Statement, signer: Signer, *, signature: bool) -> Artifact:
    """``statement`` signed, as a referrer of ``subject``.

    There is no time of creation in it: the same statement signed again gives the same digest.
    """
    version = STATEMENT_V1 if signature else STATEMENT_V01
    envelope = Envelope.seal(IN_TOTO, statement.render(version=version), signer)
    blob = render_json(
        {
            "mediaType": BUNDLE,
            "verificationMaterial": {"publicKey": {"hint": hint(signer.public)}},
            "dsseEnvelope": envelope.to_json(),
        }
    )
    layer = Descriptor(BUNDLE, len(blob), Digest.of(blob))
    annotations: Mapping[str, str] = {
        CONTENT: "dsse-envelope",
        PREDICATE_TYPE: statement.predicate_type,
        KEY: signer.public.id,
        **({REFERENCE: statement.name} if statement.name else {}),
    }
    manifest = build_manifest(
        EMPTY_CONFIG, [layer], subject=subject, artifact_type=BUNDLE, annotations=dict(sorted(annotations.items()))
    )
    return Artifact(manifest, ((EMPTY_CONFIG, b"{}"), (layer, blob)))


def hint(key: PublicKey) -> str:
    """As cosign writes it: SHA-256 of the SubjectPublicKeyInfo, in base64."""
    return base64.b64encode(bytes.fromhex(key.id)).decode()


def is_bundle(manifest: Manifest) -> bool:
    """Whether this is what cosign 3 looks for: exactly one layer, which is a sigstore bundle."""
    return len(manifest.layers) == 1 and manifest.layers[0].media_type == BUNDLE


def parse_bundle(raw: bytes, *, what: str) -> Envelope:
    """The envelope in a bundle that was signed with a key (not with a certificate).

    Raises:
        MalformedError: another version, another kind of content, or a broken one.
        UnsignedError: no signature in it.
    """
    value: JSON = parse_json(raw, what=what, limit=LIMIT * 2)
    if not isinstance(value, dict) or value.get("mediaType") != BUNDLE:
        raise MalformedError(f"{what} is not a sigstore bundle of version 0.3", _MEND)
    material = value.get("verificationMaterial")
    if not isinstance(material, dict) or "publicKey" not in material:
        raise MalformedError(f"{what} was not signed with a key", _MEND)
    if "dsseEnvelope" not in value or "messageSignature" in value:
        raise MalformedError(f"{what} holds no statement", _MEND)
    return Envelope.from_json(value["dsseEnvelope"], what=what)
