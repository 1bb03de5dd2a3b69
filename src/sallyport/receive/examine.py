"""Steps 8 and 9: whether a released image is whole and true to itself, and signed by the release key."""

from __future__ import annotations

from collections.abc import Iterable

from sallyport.bundle import Released, TrustedKey
from sallyport.errors import MalformedError, MissingBlobError, UnsignedError
from sallyport.oci import BlobReader, Descriptor, Digest, Image, load_images, reachable, read_layer
from sallyport.sign import PublicKey, Purpose, TrustedKeys, Verified, read_artifact, verify_release
from sallyport.store import State

LAYER = "layer"
"""The kind of the facts that say which content (diff_id) a layer was proven to have."""


class Layers:
    """Which content each layer was proven to have, so that a base which many images share is inflated once."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._proven: dict[Digest, Digest] = {}

    def prove(self, blobs: BlobReader, layer: Descriptor, diff_id: Digest) -> int:
        """Read ``layer`` and prove digest, size, archive and ``diff_id`` in one pass; returns the bytes read.

        Raises:
            DamagedError: as :func:`read_layer` says.
        """
        known = self._proven.get(layer.digest) or self._remembered(layer.digest)
        if known == diff_id:
            return 0
        # Where another content was proven, the same error as for a first read is due.
        for _ in read_layer(blobs, layer, diff_id=diff_id):
            pass
        self._proven[layer.digest] = diff_id
        return layer.size

    def keep(self) -> None:
        """Remember what was proven, once the layers are in the store."""
        for layer, diff_id in self._proven.items():
            self._state.put_fact(LAYER, str(layer), str(diff_id).encode())

    def _remembered(self, layer: Digest) -> Digest | None:
        raw = self._state.fact(LAYER, str(layer))
        return None if raw is None else Digest.parse(raw.decode())


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


def examine(released: Released, blobs: BlobReader, layers: Layers) -> tuple[tuple[Image, ...], int]:
    """Step 8: walk the image whole; returns its images, one for each platform, and the bytes read.

    Raises:
        MissingBlobError, DamagedError: naming what is not there or not true.
    """
    images = load_images(blobs, released.descriptor)
    if not images:
        raise MissingBlobError(
            f"{released.name} holds no container image", "release an image; artifacts travel attached to one"
        )
    return images, sum(layers.prove(blobs, layer, diff_id) for image in images for layer, diff_id in image.layers)


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
