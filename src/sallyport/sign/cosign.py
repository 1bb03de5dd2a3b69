"""Signatures of images, in both forms that clients in the field look for.

Classic: a "simple signing" payload under the tag ``sha256-….sig``; skopeo, CRI-O, policy-controller, Kyverno, cosign 1
and 2 read it. Sources: cosign, specs/SIGNATURE_SPEC.md; containers/image, containers-signature(5); what cosign
2.6.5 writes. Bundle: see ``sigstore.py``; cosign 3 prefers it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sallyport.errors import MalformedError, UsageError
from sallyport.oci import (
    JSON,
    NO_ANNOTATIONS,
    Descriptor,
    Digest,
    Manifest,
    Reference,
    build_manifest,
    media_types,
    parse_json,
    render_json,
)
from sallyport.sign.dsse import from_base64, to_base64
from sallyport.sign.interface import Signer
from sallyport.sign.model import Artifact
from sallyport.sign.sigstore import bundle_artifact
from sallyport.sign.statement import Statement

SIGN_PREDICATE = "https://sigstore.dev/cosign/sign/v1"
SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"
SIGNATURE = "dev.cosignproject.cosign/signature"
_TYPE = "cosign container image signature"
_EPOCH = "0001-01-01T00:00:00Z"  # what cosign writes: Go's zero time
_PAYLOAD_LIMIT = 64 * 1024  # bytes; real ones have a few hundred
_MEND = "the signature is broken: fetch it again, or ask whoever released the image to sign it anew"


@dataclass(frozen=True, slots=True)
class Payload:
    """What a classic signature says."""

    reference: str
    digest: Digest
    optional: Mapping[str, JSON] = field(hash=False)


def sign_image(
    descriptor: Descriptor, *, reference: str, signer: Signer, annotations: Mapping[str, str] = NO_ANNOTATIONS
) -> tuple[Artifact, Artifact]:
    """Sign an image or index as ``reference`` (``registry/repository:tag``): the classic form and the bundle.

    The reference is signed, so that a signature for one name does not serve another. ``annotations`` are signed
    too; ``cosign verify -a key=value`` asks for them. Sign an index and each image in it: skopeo and CRI-O look
    at the image that they pull.

    Raises:
        UsageError: the reference has no tag, or names a digest.
    """
    name = Reference.parse(reference)
    if not name.tag or name.digest is not None:
        raise UsageError(f"an image is signed under a tag, not as {reference!r}", "write registry/repository:tag")
    statement = Statement(descriptor.digest, str(name), SIGN_PREDICATE, {}, annotations)
    payload = render_json(
        {
            "critical": {
                "identity": {"docker-reference": str(name)},
                "image": {"docker-manifest-digest": str(descriptor.digest)},
                "type": _TYPE,
            },
            "optional": dict(annotations) or None,
        }
    )
    layer = Descriptor(
        SIMPLE_SIGNING,
        len(payload),
        Digest.of(payload),
        annotations={SIGNATURE: to_base64(signer.sign(payload))},
    )
    classic = classic_artifact([(layer, payload)], tag=classic_tag(descriptor.digest))
    return classic, bundle_artifact(descriptor, statement, signer, signature=True)


def classic_tag(digest: Digest, kind: str = "sig") -> str:
    """Where clients look for what belongs to ``digest``."""
    return f"{digest.algorithm}-{digest.hex}.{kind}"


def classic_artifact(layers: Sequence[tuple[Descriptor, bytes]], *, tag: str) -> Artifact:
    """Classic signatures of one image, under their tag, with the config that cosign writes."""
    config = render_json(
        {
            "architecture": "",
            "config": {},
            "created": _EPOCH,
            "history": [{"created": _EPOCH} for _ in layers],
            "os": "",
            "rootfs": {"diff_ids": [str(layer.digest) for layer, _ in layers], "type": "layers"},
        }
    )
    descriptor = Descriptor(media_types.OCI_CONFIG, len(config), Digest.of(config))
    manifest = build_manifest(descriptor, [layer for layer, _ in layers])
    # Two keys that sign the same payload share its bytes.
    blobs = {descriptor.digest: (descriptor, config), **{layer.digest: (layer, data) for layer, data in layers}}
    return Artifact(manifest, tuple(blobs.values()), tag)


def is_classic(manifest: Manifest) -> bool:
    """Whether this holds classic signatures."""
    return bool(manifest.layers) and all(layer.media_type == SIMPLE_SIGNING for layer in manifest.layers)


def classic_signature(layer: Descriptor, *, what: str) -> bytes:
    """The signature over the layer's bytes.

    Raises:
        MalformedError: there is none, or it is not base64.
    """
    text = layer.annotations.get(SIGNATURE, "")
    if not text:
        raise MalformedError(f"{what} has no signature beside its payload", _MEND)
    return from_base64(text, what=what)


def parse_payload(raw: bytes, *, what: str) -> Payload:
    """Read a payload whose signature was verified.

    Raises:
        MalformedError: not a simple signing payload of cosign's.
    """
    value = parse_json(raw, what=what, limit=_PAYLOAD_LIMIT)
    critical = value.get("critical") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(critical, dict) or critical.get("type") != _TYPE:
        raise MalformedError(f"{what} is not a signature of a container image", _MEND)
    if set(critical) != {"identity", "image", "type"}:
        # What is critical and not understood must not be passed over.
        raise MalformedError(f"{what} states other critical things than image, identity and type", _MEND)
    identity, image, optional = critical["identity"], critical["image"], value.get("optional")
    reference = identity.get("docker-reference") if isinstance(identity, dict) else None
    digest = image.get("docker-manifest-digest") if isinstance(image, dict) else None
    if not isinstance(reference, str) or not isinstance(digest, str) or not isinstance(optional, dict | None):
        raise MalformedError(f"{what} names no image or no reference", _MEND)
    return Payload(reference, Digest.parse(digest), optional or {})
