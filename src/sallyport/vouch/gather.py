"""Attachments -> the signatures and attestations among them, read whole and bounded."""

from __future__ import annotations

from collections.abc import Iterable

from sallyport.errors import DamagedError, UsageError
from sallyport.oci import BlobReader, Digest, Manifest, load_manifest
from sallyport.sign import SIMPLE_SIGNING, Artifact, Attachment, is_bundle, read_artifact

DSSE = "application/vnd.dsse.envelope.v1+json"
"""The layers under cosign's tag ``sha256-….att``."""
NOTATION = "application/vnd.cncf.notary.signature"
"""The artifact type of a notation signature. Source: Notary Project, signature-specification.md, "Storage"."""
LAYERS = 64
"""Signatures that are looked at in one artifact."""
_ARTIFACTS = 64  # of one image
_BYTES = 8 * 1024 * 1024  # of one artifact's blobs


def gather(
    blobs: BlobReader, subject: Digest, attachments: Iterable[Attachment]
) -> tuple[tuple[Artifact, ...], list[str]]:
    """What may be a signature or an attestation of ``subject``, and what is wrong with the rest.

    Bills of material and whatever else is attached are passed over.
    """
    found: list[Artifact] = []
    faults: list[str] = []
    seen: set[tuple[Digest, str]] = set()
    for attachment in attachments:
        where = f"the signature in {attachment.descriptor.digest.short}"
        if attachment.subject != subject or (attachment.descriptor.digest, attachment.tag) in seen:
            continue
        seen.add((attachment.descriptor.digest, attachment.tag))
        if len(found) >= _ARTIFACTS:
            faults.append(f"there are more than {_ARTIFACTS} signatures and attestations; the rest is not looked at")
            break
        try:
            manifest = load_manifest(blobs, attachment.descriptor)
            if not isinstance(manifest, Manifest) or not _may_speak(manifest):
                continue
            if not attachment.tag and (manifest.subject is None or manifest.subject.digest != subject):
                continue
            if sum(blob.size for blob in manifest.blobs) > _BYTES:
                faults.append(f"{where} is too large to be one")
                continue
            found.append(read_artifact(blobs, attachment.descriptor, tag=attachment.tag))
        except (DamagedError, UsageError) as error:
            faults.append(f"{where} cannot be read: {error.message}")
    return tuple(found), faults


def is_attested(manifest: Manifest) -> bool:
    """Whether this holds cosign's classic attestations."""
    return bool(manifest.layers) and all(layer.media_type == DSSE for layer in manifest.layers)


def is_notation(manifest: Manifest) -> bool:
    """Whether this is a notation signature."""
    return NOTATION in (manifest.artifact_type, manifest.config.media_type)


def _may_speak(manifest: Manifest) -> bool:
    classic = bool(manifest.layers) and all(layer.media_type == SIMPLE_SIGNING for layer in manifest.layers)
    return classic or is_bundle(manifest) or is_attested(manifest) or is_notation(manifest)
