"""Small real images with package databases, in a store on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from sallyport.oci import (
    Descriptor,
    Digest,
    Entry,
    Image,
    Kind,
    LayerWriter,
    build_manifest,
    load_image,
    media_types,
    render_json,
)
from sallyport.store import DirectoryStore

Content = bytes | str | None


@dataclass
class Workshop:
    """Makes images; a layer is a mapping of paths: bytes are files, ``-> target`` links, ``=> path`` hard links."""

    blobs: DirectoryStore

    def image(self, *layers: Mapping[str, Content], architecture: str = "amd64") -> Image:
        made = [self._layer(layer) for layer in layers]
        config = self._put(
            render_json(
                {
                    "os": "linux",
                    "architecture": architecture,
                    "rootfs": {"type": "layers", "diff_ids": [str(diff_id) for _, diff_id in made]},
                }
            ),
            media_types.OCI_CONFIG,
        )
        manifest = build_manifest(config, [layer for layer, _ in made])
        return load_image(self.blobs, self._put(manifest.raw, media_types.OCI_MANIFEST))

    def _put(self, raw: bytes, media_type: str) -> Descriptor:
        digest = Digest.of(raw)
        self.blobs.put(digest, len(raw), [raw])
        return Descriptor(media_type, len(raw), digest)

    def _layer(self, members: Mapping[str, Content]) -> tuple[Descriptor, Digest]:
        with self.blobs.create() as writer:
            layer = LayerWriter(writer.write)
            for path, content in members.items():
                if content is None:
                    layer.add(Entry(path, Kind.DIRECTORY, 0o755))
                elif isinstance(content, bytes):
                    layer.add(Entry(path, Kind.FILE, size=len(content)), [content])
                elif content.startswith("-> "):
                    layer.add(Entry(path, Kind.SYMLINK, link=content[3:]))
                else:
                    layer.add(Entry(path, Kind.HARDLINK, link=content[3:]))
            diff_id = layer.close()
            size, digest = writer.size, writer.commit()
        return Descriptor(media_types.OCI_LAYER_GZIP, size, digest), diff_id


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(DirectoryStore(tmp_path / "store", durable=False))
