"""Seeded bytes: the same seed gives the same bytes everywhere, fast enough not to matter."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

from sallyport.oci import (
    CHUNK,
    Descriptor,
    Digest,
    Entry,
    Kind,
    LayerWriter,
    build_manifest,
    media_types,
    render_json,
)
from sallyport.store import DirectoryStore

FILE = 16 * CHUNK  # bytes in each file of a layer


def incompressible(size: int, seed: int) -> Iterator[bytes]:
    """The keystream of AES-256 in counter mode: nothing can shrink it."""
    stream = Cipher(AES(seed.to_bytes(32, "big")), CTR(bytes(16))).encryptor()
    zeros = bytes(CHUNK)
    while size > 0:
        yield stream.update(zeros[: min(size, CHUNK)])
        size -= CHUNK


def compressible(size: int, seed: int) -> Iterator[bytes]:
    """Words in random order, mixed with noise: gzip makes about a third of it, as of a Debian layer."""
    pool, draw = _words(), random.Random(seed)
    while size > 0:
        start = draw.randrange(len(pool) - 65_536)
        piece = pool[start : start + 57_344] + draw.randbytes(8_192)
        yield piece[:size]
        size -= len(piece)


@cache
def _words() -> bytes:
    draw = random.Random(0)
    words = [draw.randbytes(draw.randint(2, 11)) for _ in range(4096)]
    return b"".join(word for _ in range(160_000) for word in (draw.choice(words), b" "))


def make_layer(blobs: DirectoryStore, size: int, seed: int, *, gzip: bool) -> tuple[Descriptor, Digest]:
    """A layer of files with ``size`` bytes altogether, in ``blobs``: compressible and gzip, or neither; its diff_id."""
    with blobs.create() as sink:
        writer = LayerWriter(sink.write, gzip=gzip)
        for number in range(0, max(size, 1), FILE):
            length = min(FILE, size - number)
            make = compressible if gzip else incompressible
            writer.add(Entry(f"data/{number:015d}", Kind.FILE, size=length), make(length, seed + number))
        diff_id = writer.close()
        length = sink.size
        digest = sink.commit()
    return Descriptor(media_types.OCI_LAYER_GZIP if gzip else media_types.OCI_LAYER, length, digest), diff_id


def make_image(blobs: DirectoryStore, layer: Descriptor, diff_id: Digest) -> Descriptor:
    """An image of one layer, in ``blobs``."""
    config = render_json(
        {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": [str(diff_id)]}, "config": {}}
    )
    described = Descriptor(media_types.OCI_CONFIG, len(config), Digest.of(config))
    manifest = build_manifest(described, [layer])
    blobs.put(described.digest, described.size, [config])
    blobs.put(manifest.digest, len(manifest.raw), [manifest.raw])
    return manifest.descriptor


def path_of(blobs: DirectoryStore, digest: Digest) -> Path:
    """The blob's file."""
    path = blobs.path(digest)
    if path is None:
        raise SystemExit(f"{digest} has no file")
    return path
