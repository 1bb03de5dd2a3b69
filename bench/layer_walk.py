"""Question: how fast is a layer read, inflated and proven in one pass, beside gzip piped into sha256sum?
Unit: inflated bytes per second. The peer proves one digest, ours both and every header besides.
Data: a gzip layer of 16 MiB files, words and noise, a third of its size when compressed. Seed: 7.
"""

from __future__ import annotations

from pathlib import Path

from bench.child import best, measure, measure_program
from bench.data import make_layer, path_of
from bench.table import Row, rate
from sallyport.oci import Descriptor, Digest, read_layer
from sallyport.store import DirectoryStore

SEED = 7


def walk(folder: str, media_type: str, size: str, digest: str, diff_id: str) -> str:
    blobs = DirectoryStore(Path(folder), durable=False)
    layer = Descriptor(media_type, int(size), Digest.parse(digest))
    for _, body in read_layer(blobs, layer, diff_id=Digest.parse(diff_id)):
        for _ in body:
            pass
    return diff_id  # proven, or it would have raised


def run(folder: Path, size: int, rounds: int) -> list[Row]:
    blobs = DirectoryStore(folder / "walk", durable=False)
    layer, diff_id = make_layer(blobs, size, SEED, gzip=True)
    argv = (str(blobs.root), layer.media_type, str(layer.size), str(layer.digest), str(diff_id))
    path = str(path_of(blobs, layer.digest))
    ours, peer = [], []
    for _ in range(rounds):
        ours.append(measure("bench.layer_walk:walk", *argv))
        peer.append(measure_program('gzip -dc "$1" | sha256sum', path))
    assert {run.answer for run in ours} == {str(diff_id)}
    assert {run.answer.split()[0] for run in peer} == {diff_id.hex}
    mine, theirs = best(ours), best(peer)
    ratio = theirs.seconds / mine.seconds
    return [
        Row(
            "layer walk: inflate, both digests, every member",
            rate(size, mine.seconds),
            f"gzip | sha256sum {rate(size, theirs.seconds)}",
            ratio,
            mine.peak,
            "ratio 1.00",
            ratio >= 1,
        )
    ]
