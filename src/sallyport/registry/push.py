"""A whole image to a registry: what it refers to first, itself last."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from sallyport.engine import Progress, Silent
from sallyport.errors import DeniedError, NotFoundError
from sallyport.oci import BlobReader, Descriptor, Digest, load_manifest, media_types, verified, walk
from sallyport.registry.client import RegistryClient

_SILENT = Silent()
FOREIGN = frozenset(
    {media_types.OCI_LAYER_FOREIGN, media_types.OCI_LAYER_FOREIGN_GZIP, media_types.DOCKER_LAYER_FOREIGN}
)
"""Layers that a registry need not have: whoever made them forbids handing them on."""


def push_image(
    client: RegistryClient,
    repository: str,
    names: Sequence[str],
    blobs: BlobReader,
    descriptor: Descriptor,
    *,
    mount_from: str = "",
    progress: Progress = _SILENT,
) -> int:
    """Push everything below ``descriptor``, then itself under each of ``names``; returns the bytes sent.

    Without names it is pushed by its digest. Blobs that are there are not sent; those of ``mount_from``
    are taken over where the registry does that. Layers that must not be distributed stay out, if they
    are not here.

    Raises:
        MissingBlobError, DigestMismatchError: our own bytes are not whole; the name then stays as it was.
        ConflictError: a name is immutable there.
        DeniedError, UnreachableError.
    """
    manifests = [*walk(blobs, descriptor)]
    wanted: dict[Digest, Descriptor] = {}
    for _, manifest in manifests:
        wanted.update({blob.digest: blob for blob in getattr(manifest, "blobs", ())})
    sent = 0
    with progress.task(f"push {repository}", sum(blob.size for blob in wanted.values())) as task:
        for blob in wanted.values():
            if blob.media_type in FOREIGN and not blobs.has(blob.digest):
                continue
            if not client.has_blob(repository, blob.digest) and not _mounted(client, repository, blob, mount_from):
                client.push_blob(
                    repository,
                    blob.digest,
                    blob.size,
                    lambda blob=blob: verified(blobs.chunks(blob.digest), blob.digest, blob.size),  # type: ignore[misc]
                )
                sent += blob.size
            task.advance(blob.size)
    for below, manifest in reversed(manifests[1:]):
        client.push_manifest(repository, str(below.digest), manifest)
    top = load_manifest(blobs, descriptor)
    for name in names or (str(descriptor.digest),):
        client.push_manifest(repository, name, top)
    return sent + len(top.raw)


def _mounted(client: RegistryClient, repository: str, blob: Descriptor, source: str) -> bool:
    if not source or source == repository:
        return False
    # A repository that we may not read is no reason not to send the bytes ourselves.
    with suppress(DeniedError, NotFoundError):
        return client.mount(repository, blob.digest, source)
    return False
