"""Builders of small, real images, kept in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from sallyport.errors import MissingBlobError
from sallyport.oci import (
    Descriptor,
    Digest,
    Entry,
    Index,
    LayerWriter,
    Manifest,
    Platform,
    build_index,
    build_manifest,
    media_types,
    render_json,
)

Member = Entry | tuple[Entry, bytes]


@dataclass
class Memory:
    """A BlobReader that also counts how far it was read, and makes images."""

    kept: dict[Digest, bytes] = field(default_factory=dict)
    piece: int = 64 * 1024
    read: int = 0

    def add(self, data: bytes) -> Digest:
        digest = Digest.of(data)
        self.kept[digest] = data
        return digest

    def has(self, digest: Digest) -> bool:
        return digest in self.kept

    def size(self, digest: Digest) -> int:
        return len(self._bytes(digest))

    def chunks(self, digest: Digest, *, offset: int = 0) -> Iterator[bytes]:
        return self._pieces(self._bytes(digest), offset)

    def _pieces(self, data: bytes, offset: int) -> Iterator[bytes]:
        for start in range(offset, len(data), self.piece):
            piece = data[start : start + self.piece]
            self.read += len(piece)
            yield piece

    def _bytes(self, digest: Digest) -> bytes:
        try:
            return self.kept[digest]
        except KeyError:
            raise MissingBlobError(f"{digest} is not here", "add it") from None

    def layer(self, *members: Member, media_type: str = media_types.OCI_LAYER_GZIP) -> tuple[Descriptor, Digest]:
        pieces: list[bytes] = []
        writer = LayerWriter(pieces.append, gzip=media_type in media_types.TAR_GZIP)
        for member in members:
            entry, content = member if isinstance(member, tuple) else (member, b"")
            writer.add(entry, [content] if content else ())
        diff_id = writer.close()
        raw = b"".join(pieces)
        return Descriptor(media_type, len(raw), self.add(raw)), diff_id

    def image(self, *layers: tuple[Descriptor, Digest], platform: str = "linux/amd64") -> Manifest:
        where = Platform.parse(platform)
        config = render_json(
            {
                "os": where.os,
                "architecture": where.architecture,
                "rootfs": {"type": "layers", "diff_ids": [str(diff_id) for _, diff_id in layers]},
            }
        )
        described = Descriptor(media_types.OCI_CONFIG, len(config), self.add(config))
        manifest = build_manifest(described, [layer for layer, _ in layers])
        self.add(manifest.raw)
        return manifest

    def index(self, manifests: Sequence[Descriptor]) -> Index:
        index = build_index(manifests)
        self.add(index.raw)
        return index


@pytest.fixture
def blobs() -> Memory:
    return Memory()


@pytest.fixture(scope="session")
def new_blobs() -> Callable[[], Memory]:
    """For property tests, which need a fresh one for every example."""
    return Memory
