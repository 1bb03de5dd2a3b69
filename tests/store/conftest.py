"""A store in a temporary folder, and small images to put into it."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import pytest

from sallyport.engine import FixedClock
from sallyport.oci import Descriptor, Digest, Index, Manifest, Platform, build_index, build_manifest, media_types
from sallyport.store import Store, open_store

NOON = datetime(2026, 7, 11, 12, 0, tzinfo=UTC)


class Shelf:
    """Puts images into a store the way the registry and the mirror do: blobs, manifest, hold, tag."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def blob(self, data: bytes, media_type: str = media_types.OCI_LAYER) -> Descriptor:
        digest = Digest.of(data)
        self.store.blobs.put(digest, len(data), [data])
        return Descriptor(media_type, len(data), digest)

    def image(
        self, repository: str, tag: str, *layers: bytes, subject: Descriptor | None = None, immutable: bool = False
    ) -> Manifest:
        config = self.blob(b'{"os":"linux","architecture":"amd64"}', media_types.OCI_CONFIG)
        manifest = build_manifest(config, [self.blob(layer) for layer in layers], subject=subject)
        self.keep(repository, tag, manifest, immutable=immutable)
        return manifest

    def index(self, repository: str, tag: str, *children: Manifest) -> Index:
        described = [
            Descriptor(child.media_type, len(child.raw), child.digest, platform=Platform("linux", f"cpu{number}"))
            for number, child in enumerate(children)
        ]
        index = build_index(described)
        self.keep(repository, tag, index)
        return index

    def keep(self, repository: str, tag: str, document: Manifest | Index, *, immutable: bool = False) -> None:
        self.store.blobs.put(document.digest, len(document.raw), [document.raw])
        subject = document.subject.digest if document.subject else None
        self.store.state.hold(repository, document.descriptor, subject=subject)
        if tag:
            self.store.state.set_tag(repository, tag, document.descriptor, immutable=immutable)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "store", clock=FixedClock(NOON)) as opened:
        yield opened


@pytest.fixture
def put_blob(store: Store) -> Callable[..., Descriptor]:
    """``put_blob(data, media_type=…)``"""
    return Shelf(store).blob


@pytest.fixture
def put_image(store: Store) -> Callable[..., Manifest]:
    """``put_image(repository, tag, *layers, subject=…, immutable=…)``; an empty tag only holds it."""
    return Shelf(store).image


@pytest.fixture
def put_index(store: Store) -> Callable[..., Index]:
    """``put_index(repository, tag, *children)``"""
    return Shelf(store).index


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Called with a number of bytes: after so many more, the disk is full."""

    def fill(left: int) -> None:
        room = [left]

        def write(file: BinaryIO, data: bytes) -> None:
            fits = data[: room[0]]
            file.write(fits)
            room[0] -= len(fits)
            if len(fits) < len(data):
                raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("sallyport.store.partial._write", write)

    return fill
