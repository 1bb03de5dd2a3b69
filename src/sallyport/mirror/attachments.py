"""What others say about an image: referrers, and the tags under which cosign keeps what it attaches.

Source: OCI distribution-spec 1.1, "Listing Referrers"; cosign's tag scheme ``sha256-<hex>.sig``.
"""

from __future__ import annotations

from sallyport.errors import OversizeError
from sallyport.mirror.upstream import Piece, Tree, Upstream, grow
from sallyport.oci import Descriptor, Digest, Index, Manifest, Reference, is_manifest
from sallyport.store import BlobStore

_MOST = 200  # statements about one manifest
_DEPTH = 2  # a signature on a bill is copied, a signature on that signature is not
_COSIGN = ("sig", "att", "sbom")


def attached(upstream: Upstream, tree: Tree, blobs: BlobStore, what: Reference) -> tuple[Tree, dict[str, Descriptor]]:
    """``tree`` with all that is said about it, and cosign's tags with what they name."""
    pieces = {piece.descriptor.digest: piece for piece in tree.pieces}
    plain = {blob.digest: blob for blob in tree.blobs}
    tags: dict[str, Descriptor] = {}
    level = [piece for piece in tree.pieces if piece.subject is None]
    for depth in range(_DEPTH):
        found: list[Piece] = []
        for piece in level:
            digest = piece.descriptor.digest
            found += _referrers(upstream, digest, blobs)
            if depth == 0:
                for name, below in _cosign(upstream, digest, blobs):
                    tags[name] = below.descriptor
                    found.append(below)
        level = [piece for piece in found if piece.descriptor.digest not in pieces]
        for piece in level:
            pieces[piece.descriptor.digest] = piece
            if isinstance(piece.document, Manifest):
                plain.update({blob.digest: blob for blob in piece.document.blobs})
            else:
                # A statement may be an index, such as one bill for each platform: its children come along.
                grown = grow(upstream, piece.descriptor, (), blobs, what)
                plain.update({blob.digest: blob for blob in grown.blobs})
                for child in grown.pieces:
                    pieces.setdefault(child.descriptor.digest, child)
    # The image itself stays last.
    image = [pieces.pop(piece.descriptor.digest) for piece in tree.pieces]
    return Tree(tree.descriptor, (*pieces.values(), *image), tuple(plain.values())), tags


def _referrers(upstream: Upstream, subject: Digest, blobs: BlobStore) -> list[Piece]:
    listed = upstream.referrers(subject)
    if len(listed) > _MOST:
        raise OversizeError(
            f"{upstream.repository}@{subject} has {len(listed)} referrers; the limit is {_MOST}", "clean up upstream"
        )
    found: list[Piece] = []
    for item in listed:
        if not is_manifest(item):
            continue
        document = upstream.manifest(item, blobs)
        # A list may claim what the manifest itself does not say; the manifest is what was signed.
        if document.subject is not None and document.subject.digest == subject:
            found.append(Piece(_as_held(item, document), document, subject))
    return found


def _cosign(upstream: Upstream, digest: Digest, blobs: BlobStore) -> list[tuple[str, Piece]]:
    found: list[tuple[str, Piece]] = []
    for kind in _COSIGN:
        name = f"{digest.algorithm}-{digest.hex}.{kind}"
        descriptor = upstream.head(name) if len(name) <= 128 else None  # noqa: PLR2004 - the longest tag
        if descriptor is not None:
            document = upstream.manifest(descriptor, blobs)
            subject = document.subject.digest if document.subject else None
            found.append((name, Piece(_as_held(descriptor, document), document, subject)))
    return found


def _as_held(descriptor: Descriptor, document: Manifest | Index) -> Descriptor:
    kind = document.artifact_type or (document.config.media_type if isinstance(document, Manifest) else "")
    return Descriptor(document.media_type, len(document.raw), descriptor.digest, artifact_type=kind)
