"""Signatures and attestations beside the image that they are about: in our store, and as other registries want it.

Sources: OCI distribution-spec 1.1, "Listing Referrers" and "Referrers Tag Schema"; image-spec 1.1, manifest.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sallyport.errors import DamagedError, MalformedError, UsageError
from sallyport.oci import (
    MANIFEST_LIMIT,
    BlobReader,
    Descriptor,
    Digest,
    Index,
    Manifest,
    build_index,
    parse_manifest,
    verified,
)
from sallyport.sign.cosign import classic_artifact, classic_tag, is_classic
from sallyport.sign.model import Artifact, Attachment
from sallyport.sign.sigstore import KEY, PREDICATE_TYPE, REFERENCE
from sallyport.sign.statement import LIMIT
from sallyport.store import Store

REFERRERS = 50
"""Referrers of one image; Kyverno reads no more."""
CLASSIC_KINDS = ("sig", "att", "sbom")
_LAYERS = 16  # classic signatures of one image that are kept: the newest


def attach(store: Store, repository: str, artifact: Artifact) -> Descriptor:
    """Keep ``artifact`` beside its image; returns its manifest's descriptor. Once is as good as twice.

    A statement replaces the older one of the same type, key and name, so that rescans do not pile up. Classic
    signatures of one image share a manifest: those of other keys and names that are there stay.
    Hold ``store.lease()`` around it and around what made the image, or a collector may run between.

    Raises:
        UsageError: the image has too many referrers already.
    """
    if artifact.tag:
        return _attach_classic(store, repository, artifact)
    subject = artifact.manifest.subject
    if subject is None:
        raise UsageError(f"{artifact.manifest.digest} is about no image and has no tag", "give it a subject or a tag")
    descriptor = _annotated(artifact.manifest)
    others = [
        (held.descriptor.digest, _annotations(store, held.descriptor))
        for held in store.state.referrers(repository, subject.digest)
        if held.descriptor.digest != descriptor.digest
    ]
    older = [digest for digest, annotations in others if _replaces(descriptor.annotations, annotations)]
    if len(others) - len(older) >= REFERRERS:
        raise UsageError(
            f"{repository}@{subject.digest} has {len(others)} referrers; clients read no more than {REFERRERS}",
            "remove those that nobody reads, then run it again",
        )
    _put(store, artifact)
    store.state.hold(repository, descriptor, subject=subject.digest)
    for digest in older:
        store.state.unhold(repository, digest)
    return descriptor


def attached(store: Store, repository: str, digest: Digest) -> tuple[Attachment, ...]:
    """What is attached to an image: its referrers by digest, then what lies under cosign's classic tags."""
    found = [
        Attachment(held.descriptor, digest, "", _annotations(store, held.descriptor).get(PREDICATE_TYPE, ""))
        for held in store.state.referrers(repository, digest)
    ]
    for name in (classic_tag(digest, kind) for kind in CLASSIC_KINDS):
        tag = store.state.tag(repository, name)
        if tag is not None:
            found.append(Attachment(tag.descriptor, digest, name))
    return tuple(found)


def read_artifact(blobs: BlobReader, descriptor: Descriptor, *, tag: str = "") -> Artifact:
    """An attached manifest with its blobs, every byte proven; from a store, a layout or a bundle.

    Raises:
        MissingBlobError: a blob is not there.
        DigestMismatchError, TruncatedError, MalformedError: something is damaged.
        UsageError: it is too large to be a statement.
    """
    if descriptor.size > MANIFEST_LIMIT:
        raise UsageError(f"{descriptor.digest} is too large for a manifest", "do not read it as a signature")
    manifest = parse_manifest(_read(blobs, descriptor), descriptor.media_type, what=str(descriptor.digest))
    if not isinstance(manifest, Manifest):
        raise MalformedError(f"{descriptor.digest} is an index, not an artifact", "do not read it as a signature")
    if sum(blob.size for blob in manifest.blobs) > 2 * LIMIT:
        raise UsageError(f"{descriptor.digest} is too large for a statement", "do not read it as a signature")
    blobs_of = {blob.digest: (blob, _read(blobs, blob)) for blob in manifest.blobs}
    return Artifact(manifest, tuple(blobs_of.values()), tag)


def fallback_index(existing: Index | None, descriptor: Descriptor) -> Index:
    """The index under the tag ``sha256-…`` of a registry without the referrers API, with ``descriptor`` in it."""
    if existing is None:
        return build_index([descriptor])
    if any(other == descriptor and other.annotations == descriptor.annotations for other in existing.manifests):
        return existing
    others = [other for other in existing.manifests if other.digest != descriptor.digest]
    return build_index(
        [*others, descriptor],
        media_type=existing.media_type,
        subject=existing.subject,
        artifact_type=existing.artifact_type,
        annotations=existing.annotations,
    )


def _attach_classic(store: Store, repository: str, artifact: Artifact) -> Descriptor:
    before = store.state.tag(repository, artifact.tag)
    if before is not None and is_classic(artifact.manifest):
        artifact = _merged(read_artifact(store.blobs, before.descriptor, tag=artifact.tag), artifact)
    # No artifact type: what is no referrer is listed nowhere.
    descriptor = replace(artifact.manifest.descriptor, artifact_type="")
    _put(store, artifact)
    store.state.hold(repository, descriptor)
    # The manifest that was there stays held: a release that was bundled names it.
    store.state.set_tag(repository, artifact.tag, descriptor)
    return descriptor


def _merged(before: Artifact, artifact: Artifact) -> Artifact:
    """The signatures that are there, then the new ones; one that is there already keeps its place."""
    if not is_classic(before.manifest):
        return artifact
    layers = {
        (layer.digest, *sorted(layer.annotations.items())): (layer, part.blob(layer))
        for part in (before, artifact)
        for layer in part.manifest.layers
    }
    return classic_artifact(list(layers.values())[-_LAYERS:], tag=artifact.tag)


def _annotated(manifest: Manifest) -> Descriptor:
    # A referrers list shows the manifest's annotations. Source: distribution-spec 1.1, "Listing Referrers".
    return replace(manifest.descriptor, annotations=manifest.annotations)


def _annotations(store: Store, descriptor: Descriptor) -> Mapping[str, str]:
    """From the manifest itself: whoever held it may have left them out of its descriptor."""
    try:
        return parse_manifest(_read(store.blobs, descriptor), descriptor.media_type).annotations
    except DamagedError:
        return descriptor.annotations  # `sallyport verify --store` names what is damaged


def _replaces(new: Mapping[str, str], old: Mapping[str, str]) -> bool:
    # What others attached carries no key of ours, and is never replaced.
    return bool(new.get(KEY)) and all(new.get(name) == old.get(name) for name in (PREDICATE_TYPE, KEY, REFERENCE))


def _put(store: Store, artifact: Artifact) -> None:
    for descriptor in artifact.manifest.blobs:
        store.blobs.put(descriptor.digest, descriptor.size, [artifact.blob(descriptor)])
    manifest = artifact.manifest.descriptor
    store.blobs.put(manifest.digest, manifest.size, [artifact.manifest.raw])


def _read(blobs: BlobReader, descriptor: Descriptor) -> bytes:
    return b"".join(verified(blobs.chunks(descriptor.digest), descriptor.digest, descriptor.size))
