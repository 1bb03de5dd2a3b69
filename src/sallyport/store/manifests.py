"""Reads manifests from a blob store, proven, and says what they need."""

from __future__ import annotations

from collections.abc import Iterable

from sallyport.errors import OversizeError, UnknownMediaTypeError
from sallyport.oci import (
    MANIFEST_LIMIT,
    BlobReader,
    Descriptor,
    Digest,
    Index,
    Manifest,
    media_types,
    parse_manifest,
    verified,
)

KINDS = media_types.MANIFESTS | media_types.INDEXES


def read_manifest(blobs: BlobReader, descriptor: Descriptor) -> Manifest | Index:
    """The manifest or index that ``descriptor`` names.

    Raises:
        MissingBlobError: it is not there.
        DamagedError: it is not what its digest, size or media type says.
    """
    if descriptor.size > MANIFEST_LIMIT:
        raise OversizeError(f"the manifest {descriptor.digest} has {descriptor.size} bytes", "refuse it")
    raw = b"".join(verified(blobs.chunks(descriptor.digest), descriptor.digest, descriptor.size))
    return parse_manifest(raw, descriptor.media_type, what=f"the manifest {descriptor.digest}")


def needed(document: Manifest | Index) -> tuple[Descriptor, ...]:
    """Everything that a manifest or index refers to downwards; a ``subject`` is upwards."""
    return document.manifests if isinstance(document, Index) else document.blobs


def reach(blobs: BlobReader, start: Iterable[Descriptor]) -> frozenset[Digest]:
    """Every digest that ``start`` needs, itself included.

    A child that is not there is named and not followed: an index may be mirrored for some platforms only.

    Raises:
        DamagedError: a manifest that is there cannot be read, so what it needs cannot be known.
    """
    seen: set[Digest] = set()
    waiting = list(start)
    while waiting:
        descriptor = waiting.pop()
        if descriptor.digest in seen:
            continue
        seen.add(descriptor.digest)
        if descriptor.media_type in KINDS and blobs.has(descriptor.digest):
            waiting.extend(needed(read_manifest(blobs, descriptor)))
    return frozenset(seen)


def guess(blobs: BlobReader, digest: Digest) -> Descriptor:
    """A descriptor for a bare digest: of a manifest where the bytes are one, otherwise of plain bytes."""
    plain = Descriptor("application/octet-stream", blobs.size(digest) if blobs.has(digest) else 0, digest)
    if not 0 < plain.size <= MANIFEST_LIMIT:
        return plain
    raw = b"".join(verified(blobs.chunks(digest), digest, plain.size))
    if not raw.lstrip().startswith(b"{") or b'"schemaVersion"' not in raw:
        return plain
    try:
        return Descriptor(parse_manifest(raw).media_type, plain.size, digest)
    except UnknownMediaTypeError:
        return plain
