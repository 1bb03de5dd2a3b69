"""Images as they rest somewhere: read by digest, proven, walked.

Sources: OCI image-spec 1.1, image-index.md and manifest.md.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from sallyport.errors import CycleError, MalformedError, OversizeError, TruncatedError
from sallyport.oci import media_types
from sallyport.oci.config import CONFIG_LIMIT, ImageConfig, parse_config
from sallyport.oci.descriptor import Descriptor
from sallyport.oci.digest import Digest, verified
from sallyport.oci.interface import BlobReader
from sallyport.oci.manifest import Index, Manifest, parse_manifest
from sallyport.oci.strict_json import MANIFEST_LIMIT

MAX_DEPTH = 4
"""Indexes within indexes; real ones nest once."""
MAX_MANIFESTS = 5000
"""Manifests below one descriptor; a bound against hostile input."""
MANIFESTS_LIMIT = 256 * 1024**2
"""Bytes of all manifests below one descriptor."""
_MEND = "the image is broken: fetch it again, or ask its publisher to build it anew"
_REFUSE = "refuse it: no honest image is so large"


@dataclass(frozen=True, slots=True)
class Image:
    """One container image for one platform."""

    descriptor: Descriptor
    manifest: Manifest
    config: ImageConfig

    @property
    def layers(self) -> tuple[tuple[Descriptor, Digest], ...]:
        """Each layer with its diff_id, from the base upwards."""
        return tuple(zip(self.manifest.layers, self.config.diff_ids, strict=True))


def read_blob(blobs: BlobReader, digest: Digest, *, limit: int, size: int | None = None) -> bytes:
    """A small blob, proven; ``size`` is what its descriptor says, where there is one.

    Raises:
        MissingBlobError: it is not in ``blobs``.
        OversizeError: more bytes than ``limit``.
        TruncatedError, DigestMismatchError: other bytes than promised.
    """
    there = blobs.size(digest)
    if max(there, size or 0) > limit:
        raise OversizeError(f"{digest} has {max(there, size or 0)} bytes; the limit here is {limit}", _REFUSE)
    if size is not None and there != size:
        kind = TruncatedError if there < size else OversizeError
        raise kind(f"{digest} has {there} bytes, and its descriptor says {size}", _MEND)
    return b"".join(verified(blobs.chunks(digest), digest, there))


def load_manifest(blobs: BlobReader, descriptor: Descriptor) -> Manifest | Index:
    """The manifest or index that ``descriptor`` names; its size and media type must agree.

    Raises:
        UnknownMediaTypeError: ``descriptor`` and document disagree, or it is neither.
        DamagedError: as :func:`read_blob` and :func:`parse_manifest` say.
    """
    raw = read_blob(blobs, descriptor.digest, limit=MANIFEST_LIMIT, size=descriptor.size)
    return parse_manifest(raw, descriptor.media_type, what=f"the manifest {descriptor.digest.short}")


def load_image(blobs: BlobReader, descriptor: Descriptor) -> Image:
    """The container image that ``descriptor`` names.

    Raises:
        MalformedError: it is an index or another artifact, or its config names another number of layers.
        DamagedError: as :func:`load_manifest` says.
    """
    manifest = load_manifest(blobs, descriptor)
    if isinstance(manifest, Index) or not manifest.is_image:
        kind = "an index" if isinstance(manifest, Index) else "an artifact"
        raise MalformedError(f"{descriptor.digest} is {kind}, no container image", "name one of the images below it")
    return _image(blobs, descriptor, manifest)


def _image(blobs: BlobReader, descriptor: Descriptor, manifest: Manifest) -> Image:
    what = f"the config of {descriptor.digest.short}"
    raw = read_blob(blobs, manifest.config.digest, limit=CONFIG_LIMIT, size=manifest.config.size)
    config = parse_config(raw, what=what)
    if len(config.diff_ids) != len(manifest.layers):
        raise MalformedError(
            f"{what} names {len(config.diff_ids)} layers, and the manifest {len(manifest.layers)}", _MEND
        )
    return Image(descriptor, manifest, config)


def walk(
    blobs: BlobReader, descriptor: Descriptor, *, depth: int = MAX_DEPTH, count: int = MAX_MANIFESTS
) -> Iterator[tuple[Descriptor, Manifest | Index]]:
    """``descriptor`` and all manifests and indexes below it, breadth first, each digest once.

    A child whose media type is neither (the specification allows it) is a plain blob and not walked.

    Raises:
        CycleError: an index names itself, or more than ``depth`` nest.
        OversizeError: more than ``count`` manifests, or more bytes than :data:`MANIFESTS_LIMIT`.
        DamagedError: as :func:`load_manifest` says.
    """
    seen = {descriptor.digest: descriptor}
    waiting = deque([(descriptor, 0)])
    total = 0
    while waiting:
        current, level = waiting.popleft()
        total += current.size
        if total > MANIFESTS_LIMIT:
            raise OversizeError(f"{descriptor.digest} has more than {MANIFESTS_LIMIT} bytes of manifests", _REFUSE)
        manifest = load_manifest(blobs, current)
        yield current, manifest
        if not isinstance(manifest, Index):
            continue
        if level >= depth:
            raise CycleError(
                f"{descriptor.digest} nests more than {depth} indexes", "refuse it: no honest image nests so deep"
            )
        for child in manifest.manifests:
            if not is_manifest(child):
                continue
            if child.digest == current.digest:
                raise CycleError(f"{current.digest} names itself", "refuse it: no honest index does")
            known = seen.setdefault(child.digest, child)
            if known is child:
                if len(seen) > count:
                    raise OversizeError(f"{descriptor.digest} has more than {count} manifests", _REFUSE)
                waiting.append((child, level + 1))
            elif (known.size, known.media_type) != (child.size, child.media_type):
                raise MalformedError(f"{descriptor.digest} describes {child.digest} in two ways", _MEND)


def is_manifest(descriptor: Descriptor) -> bool:
    """Whether it names a manifest or an index."""
    return descriptor.media_type in media_types.MANIFESTS or descriptor.media_type in media_types.INDEXES


def load_images(blobs: BlobReader, descriptor: Descriptor) -> tuple[Image, ...]:
    """The container images below ``descriptor``, in the order of the index; artifacts are passed over.

    Attestations of build tools count as artifacts because of what they hold. Their mark, the platform
    ``unknown/unknown``, is not believed: nobody shall hide an image from a scan by writing it down.

    Raises:
        DamagedError: as :func:`walk` and :func:`load_image` say.
    """
    return tuple(
        _image(blobs, found, manifest)
        for found, manifest in walk(blobs, descriptor)
        if isinstance(manifest, Manifest) and manifest.is_image
    )


def reachable(blobs: BlobReader, descriptor: Descriptor) -> tuple[Descriptor, ...]:
    """All manifests, configs, layers and other blobs below ``descriptor``, each digest once.

    Whatever is referred to stands before what refers to it, which is the order for pushing. Subjects are
    not followed: they point upwards.

    Raises:
        DamagedError: as :func:`walk` says.
    """
    manifests = {current.digest: (current, manifest) for current, manifest in walk(blobs, descriptor)}
    found: dict[Digest, Descriptor] = {}
    # A stack of our own: indexes that name each other sideways can nest as deep as there are manifests.
    waiting = [descriptor]
    while waiting:
        current = waiting[-1]
        if current.digest in found or current.digest not in manifests:
            found.setdefault(current.digest, current)
            waiting.pop()
            continue
        named, manifest = manifests[current.digest]
        below = manifest.manifests if isinstance(manifest, Index) else manifest.blobs
        missing = [child for child in below if child.digest not in found]
        if missing:
            waiting.extend(reversed(missing))
        else:
            found[current.digest] = named
            waiting.pop()
    return tuple(found.values())
