"""Steps 8 and 9: whether a released image is whole and true to itself, and signed by the release key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from sallyport.bundle import Released, TrustedKey
from sallyport.engine import Executor
from sallyport.errors import DamagedError, MalformedError, MissingBlobError, UnsignedError
from sallyport.oci import (
    BlobReader,
    Descriptor,
    Digest,
    Image,
    load_images,
    media_types,
    reachable,
    read_layer,
    read_members,
)
from sallyport.receive.quarantine import Quarantine
from sallyport.sign import PublicKey, Purpose, TrustedKeys, Verified, read_artifact, verify_release
from sallyport.store import State

LAYER = "layer"
"""The kind of the facts that say which content (diff_id) a layer was proven to have."""


class Layers:
    """Which content each layer was proven to have, so that a base which many images share is inflated once."""

    def __init__(self, state: State, quarantine: Quarantine) -> None:
        self._state = state
        self._quarantine = quarantine
        self._proven: dict[Digest, Digest] = {}

    def prove(self, blobs: BlobReader, layer: Descriptor, diff_id: Digest) -> DamagedError | None:
        """Read ``layer`` as an archive in one pass; what is wrong with it, or None. Safe for several threads."""
        # A layer that is no archive in disguise is its own content.
        wanted = None if diff_id == layer.digest and layer.media_type in media_types.TAR else diff_id
        try:
            if self._quarantine.proven(layer.digest):
                members = read_members(blobs.chunks(layer.digest), layer, diff_id=wanted)
            else:
                members = read_layer(blobs, layer, diff_id=wanted)
            for _ in members:
                pass
        except DamagedError as error:
            return error
        self._proven[layer.digest] = diff_id
        return None

    def known(self, layer: Digest, diff_id: Digest) -> bool:
        """Whether this content was proven before, in this crossing or in an earlier one."""
        # Where another content was proven, reading it again gives the error that is due.
        return diff_id in (self._proven.get(layer), self._remembered(layer))

    def keep(self, images: Iterable[Image]) -> None:
        """Remember what was proven of ``images``, once they are in the store."""
        for layer, diff_id in {pair for image in images for pair in _pairs(image)}:
            self._state.put_fact(LAYER, str(layer), str(diff_id).encode())

    def _remembered(self, layer: Digest) -> Digest | None:
        raw = self._state.fact(LAYER, str(layer))
        return None if raw is None else Digest.parse(raw.decode())


def _pairs(image: Image) -> Iterator[tuple[Digest, Digest]]:
    return ((layer.digest, diff_id) for layer, diff_id in image.layers)


def needs(released: Released, blobs: BlobReader) -> tuple[Descriptor, ...]:
    """Everything below a release and below what is attached to it, each digest once.

    Raises:
        MissingBlobError: something is neither in the bundle nor in the store.
        DamagedError: a manifest is not what its digest, size or type says.
    """
    found: dict[Digest, Descriptor] = {}
    for top in (released.descriptor, *(attached.descriptor for attached in released.attached)):
        for descriptor in reachable(blobs, top):
            found.setdefault(descriptor.digest, descriptor)
    for descriptor in found.values():
        size = blobs.size(descriptor.digest)
        if size != descriptor.size:
            raise MalformedError(
                f"{descriptor.digest} has {size} bytes, and {released.name} says {descriptor.size}",
                "the image is broken: release it again from a whole one",
            )
    return tuple(found.values())


def images_of(released: Released, blobs: BlobReader) -> tuple[Image, ...]:
    """The release's images, one for each platform.

    Raises:
        MissingBlobError: there is none.
        DamagedError: a manifest or config is not what it is said to be.
    """
    images = load_images(blobs, released.descriptor)
    if not images:
        raise MissingBlobError(
            f"{released.name} holds no container image", "release an image; artifacts travel attached to one"
        )
    return images


def prove_layers(
    images: Iterable[Image], blobs: BlobReader, layers: Layers, executor: Executor
) -> tuple[dict[tuple[Digest, Digest], DamagedError], int]:
    """Read every layer that is not known yet, each once; what is wrong with which, and the bytes read."""
    every = {(layer.digest, diff_id): layer for image in images for layer, diff_id in image.layers}
    unknown = [(layer, diff_id) for (digest, diff_id), layer in every.items() if not layers.known(digest, diff_id)]
    results = executor.map(lambda pair: layers.prove(blobs, *pair), unknown)
    wrong = {
        (layer.digest, diff_id): error
        for (layer, diff_id), error in zip(unknown, results, strict=True)
        if error is not None
    }
    return wrong, sum(layer.size for layer, _ in unknown)


def first_fault(images: Iterable[Image], wrong: Mapping[tuple[Digest, Digest], DamagedError]) -> DamagedError | None:
    """The first of ``images``' layers that is wrong."""
    return next((wrong[pair] for image in images for pair in _pairs(image) if pair in wrong), None)


def check_signature(
    released: Released, blobs: BlobReader, keys: Iterable[TrustedKey], *, registry: str | None
) -> Verified:
    """Step 9: the release signature, by a key that came signed by the approvers.

    Raises:
        UnsignedError, WrongSignatureError: there is none that holds.
        UntrustedError: one key is named for two purposes.
    """
    trusted: dict[Purpose, list[PublicKey]] = {}
    for key in keys:
        trusted.setdefault(Purpose(key.purpose), []).append(PublicKey(key.pem))
    if Purpose.RELEASE not in trusted:
        raise UnsignedError("the bundle brings no release key", "bundle again; the outside's release key must travel")
    about = [attached for attached in released.attached if attached.subject == released.descriptor.digest]
    artifacts = [read_artifact(blobs, attached.descriptor, tag=attached.tag) for attached in about]
    reference = f"{registry}/{released.repository}:{released.tag}" if registry else None
    return verify_release(artifacts, released.descriptor, TrustedKeys.of(trusted), reference=reference)
