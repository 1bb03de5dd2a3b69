"""Asks who vouches for an image before its layers come: what is attached to it comes first, and is small."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from sallyport.mirror.upstream import Tree
from sallyport.oci import Descriptor, Digest, Manifest
from sallyport.store import Store

if TYPE_CHECKING:
    from sallyport.sign import Attachment

SMALL = 8 * 1024 * 1024
"""Bytes of a blob that may still be part of a signature; larger ones come with the layers."""
_PREDICATE = "dev.sigstore.bundle.predicateType"


def attachments_here(
    store: Store, repository: str, upstream: Digest, fallback: Descriptor
) -> tuple[Descriptor, tuple[Attachment, ...]]:
    """What upstream's tag named, and what is attached to it, of an image that is here whole."""
    from sallyport.sign import attached

    held = store.state.held(repository, upstream)
    return (held.descriptor if held is not None else fallback), attached(store, repository, upstream)


def attachments_in(tree: Tree, cosign: Mapping[str, Descriptor], image: Digest) -> tuple[Attachment, ...]:
    """What is attached to ``image``, of what was just found upstream."""
    from sallyport.sign import Attachment

    found = [
        Attachment(piece.descriptor, image, "", piece.document.annotations.get(_PREDICATE, ""))
        for piece in tree.pieces
        if piece.subject == image
    ]
    stem = f"{image.algorithm}-{image.hex}."
    found += [Attachment(descriptor, image, name) for name, descriptor in cosign.items() if name.startswith(stem)]
    return tuple(found)


def keep_manifests(tree: Tree, attachments: tuple[Attachment, ...], store: Store) -> Iterator[Descriptor]:
    """Put every manifest into the store, held by nobody yet; gives the attachments' small blobs that are missing."""
    about = {attachment.descriptor.digest for attachment in attachments}
    for piece in tree.pieces:
        store.blobs.put(piece.descriptor.digest, len(piece.document.raw), (piece.document.raw,))
        if piece.descriptor.digest in about and isinstance(piece.document, Manifest):
            for blob in piece.document.blobs:
                if blob.size <= SMALL and not store.blobs.has(blob.digest):
                    yield blob
