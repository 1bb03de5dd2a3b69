"""What the tests of composing share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sallyport.archives import Deb
from sallyport.compose import Draft, write_draft
from sallyport.oci import WHITEOUT, BlobReader, Descriptor, Digest, Image, Kind, Rootfs, list_layer, read_layer
from sallyport.store import DirectoryStore


@pytest.fixture
def blobs(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "blobs", durable=False)


@pytest.fixture
def deb(blobs: DirectoryStore, deb_maker: Any) -> Callable[..., Deb]:
    """``deb(name, version, files={…}, …)``: a package, kept in ``blobs``."""

    def make(name: str, version: str = "1.0-1", **options: Any) -> Deb:
        raw = deb_maker.build_deb(name, version, **options).raw
        digest = Digest.of(raw)
        blobs.put(digest, len(raw), [raw])
        return Deb(blobs, digest, len(raw))

    return make


@pytest.fixture
def layered(blobs: DirectoryStore) -> Callable[..., Rootfs]:
    """``layered(draft, …)``: the root that the drafts' layers give, one over the other."""

    def make(*drafts: Draft) -> Rootfs:
        layers = [write_draft(draft, blobs) for draft in drafts]
        return merged(blobs, layers)

    return make


def merged(blobs: BlobReader, layers: Any) -> Rootfs:
    pairs: list[tuple[Descriptor, Digest]] = list(layers)
    return Rootfs.merge(list_layer(blobs, layer, diff_id=diff_id, keep=lambda _: True) for layer, diff_id in pairs)


@pytest.fixture
def root_of(blobs: DirectoryStore) -> Callable[[Image], Rootfs]:
    return lambda image: merged(blobs, image.layers)


@pytest.fixture
def extract(tmp_path: Path) -> Callable[[Image, BlobReader], Path]:
    """Writes an image's files below a folder, as any user; the honest images of these tests only."""

    def write(image: Image, blobs: BlobReader) -> Path:
        folder = tmp_path / f"root-{image.descriptor.digest.short}"
        folder.mkdir()
        for layer, diff_id in image.layers:
            for entry, body in read_layer(blobs, layer, diff_id=diff_id):
                path = folder / entry.path
                if entry.name.startswith(WHITEOUT):
                    path.with_name(entry.name.removeprefix(WHITEOUT)).unlink()
                elif entry.kind is Kind.DIRECTORY:
                    path.mkdir(exist_ok=True)
                elif entry.kind is Kind.SYMLINK:
                    path.unlink(missing_ok=True)
                    path.symlink_to(entry.link)
                elif entry.kind is Kind.HARDLINK:
                    path.unlink(missing_ok=True)
                    os.link(folder / entry.link, path)
                else:
                    path.unlink(missing_ok=True)
                    path.write_bytes(b"".join(body))
                    path.chmod(entry.mode | 0o600)
        return folder

    return write
