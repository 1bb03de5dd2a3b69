"""Which blobs a repository may show: those that were uploaded to it, and those its manifests reach."""

from __future__ import annotations

import logging
from functools import lru_cache
from threading import Lock

from sallyport.errors import DamagedError
from sallyport.oci import Descriptor, Digest, Index, Manifest, is_manifest, load_manifest
from sallyport.registry.push import FOREIGN
from sallyport.store import BlobStore, Store

log = logging.getLogger("sallyport.registry")

_UPLOADED = "registry.uploaded"
_KNOWN = 50_000  # remembered answers; each is checked again against the state


class Rights:
    """Blobs are stored once and belong to repositories by reference.

    A blob of one repository must not be readable, nor its presence be learnt, through another.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = Lock()
        self._via: dict[tuple[str, Digest], Digest] = {}
        self._needs = lru_cache(maxsize=2048)(lambda descriptor: _needs(store.blobs, descriptor))

    def shows(self, repository: str, digest: Digest) -> bool:
        """Whether ``repository`` may show the blob; not whether the bytes are there."""
        with self._lock:
            via = self._via.get((repository, digest))
        state = self._store.state
        if via is not None and state.held(repository, via) is not None:
            return True
        if state.fact(_UPLOADED, f"{repository}@{digest}") is not None:
            return True
        for held in state.manifests(repository):
            if digest in self._reached(held.descriptor):
                with self._lock:
                    if len(self._via) >= _KNOWN:
                        self._via.clear()
                    self._via[repository, digest] = held.descriptor.digest
                return True
        return False

    def has(self, repository: str, digest: Digest) -> bool:
        """Whether ``repository`` may show the blob and the bytes are there."""
        return self._store.blobs.has(digest) and self.shows(repository, digest)

    def needed(self, repository: str, digest: Digest) -> bool:
        """Whether a manifest that ``repository`` holds reaches the blob."""
        return any(digest in self._reached(held.descriptor) for held in self._store.state.manifests(repository))

    def _reached(self, descriptor: Descriptor) -> frozenset[Digest]:
        try:
            return self._needs(descriptor)
        except DamagedError:
            # One manifest that is lost or damaged must not take the others of its repository along.
            log.warning("manifest_damaged", extra={"digest": str(descriptor.digest)})
            return frozenset()

    def bytes_with(self, repository: str, manifest: Manifest | Index) -> int:
        """What the repository would hold with ``manifest``: each blob once, manifests among them."""
        sizes: dict[Digest, int] = {manifest.digest: len(manifest.raw)}
        sizes.update({blob.digest: blob.size for blob in getattr(manifest, "blobs", ())})
        return sum(self._sizes(repository, sizes).values())

    def bytes_held(self, repository: str) -> int:
        """What the repository holds: manifests and what they reach, each once."""
        return sum(self._sizes(repository, {}).values())

    def _sizes(self, repository: str, sizes: dict[Digest, int]) -> dict[Digest, int]:
        for held in self._store.state.manifests(repository):
            sizes[held.descriptor.digest] = held.descriptor.size
            for digest in self._reached(held.descriptor):
                if digest not in sizes and self._store.blobs.has(digest):
                    sizes[digest] = self._store.blobs.size(digest)
        return sizes

    def uploaded(self, repository: str, digest: Digest) -> None:
        """Note that somebody who has the bytes gave them to ``repository``."""
        self._store.state.put_fact(_UPLOADED, f"{repository}@{digest}", b"{}")

    def forget(self, repository: str, digest: Digest) -> bool:
        """Take that note back; returns whether it was there."""
        return self._store.state.delete_fact(_UPLOADED, f"{repository}@{digest}")


def missing(
    rights: Rights, store: Store, repository: str, manifest: Manifest | Index, *, sparse: bool
) -> tuple[Descriptor, ...]:
    """What ``manifest`` refers to that ``repository`` does not have. A subject may come later."""
    if isinstance(manifest, Index):
        return tuple(child for child in manifest.manifests if not (sparse or _there(rights, store, repository, child)))
    return tuple(
        blob for blob in manifest.blobs if not rights.has(repository, blob.digest) and blob.media_type not in FOREIGN
    )


def _there(rights: Rights, store: Store, repository: str, child: Descriptor) -> bool:
    if not is_manifest(child):
        return rights.has(repository, child.digest)
    return store.state.held(repository, child.digest) is not None and store.blobs.has(child.digest)


def _needs(blobs: BlobStore, descriptor: Descriptor) -> frozenset[Digest]:
    manifest = load_manifest(blobs, descriptor)
    if isinstance(manifest, Index):
        return frozenset(child.digest for child in manifest.manifests if not is_manifest(child))
    return frozenset(blob.digest for blob in manifest.blobs)
