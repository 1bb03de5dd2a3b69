"""Question: how fast does a bundle get written and received, beside ``openssl dgst -sha256`` on the same bytes?
Unit: bytes per second of the one large layer, on one processor each and on all; the peak of resident memory.
The bar is half of openssl's rate, or of the disk's where that is slower; so the disk is measured too, by a
copy of the same file with ``dd``, past the page cache, that ends when the bytes are durable, as a bundle does.
Data: an image with one layer that nothing can shrink, in a store; keys and trust as on a real site. Seed: 11.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.child import Measured, best, measure, measure_program
from bench.data import make_image, make_layer, path_of
from bench.table import MIB, Row, rate
from sallyport.advisories import Feed
from sallyport.bundle import (
    Anchor,
    Attached,
    Position,
    Released,
    RootKeys,
    Signers,
    TrustedKey,
    TrustStore,
    fingerprint,
    init_root,
    open_bundle,
    plan_bundle,
    verify_bundle,
    write_bundle,
)
from sallyport.engine import FixedClock
from sallyport.gate import Passed, Verdict
from sallyport.match import Scan
from sallyport.oci import BlobReader, Descriptor, Digest, Platform, load_images, reachable, verified
from sallyport.receive import receive
from sallyport.sign import KeyFolder, Purpose, attach, sign_image
from sallyport.store import DirectoryStore, open_store

SEED = 11
DESTINATION = "bench"
TAG = "1-20260711.1"
PLATFORM = Platform("linux", "amd64")
NOW = datetime(2026, 7, 11, tzinfo=UTC)
MEMORY = 200 * MIB


def write(folder: str, media_type: str, size: str, digest: str) -> str:
    """Write the bundle; the answer is the digest of its statement's one layer, by its own bytes elsewhere."""
    base = Path(folder)
    image = Descriptor(media_type, int(size), Digest.parse(digest))
    keys = KeyFolder(base / "keys")
    approver, pipeline = keys.signer(Purpose.TARGETS), keys.signer(Purpose.SNAPSHOT)
    with open_store(base / "outside") as store:
        attached = [
            Attached(attach(store, "app", artifact), image.digest, artifact.tag)
            for artifact in sign_image(
                image, reference=f"registry.example/app:{TAG}", signer=keys.signer(Purpose.RELEASE)
            )
        ]
        plan = plan_bundle(
            [Released("app", TAG, image, "upstream.example/app:1", tuple(attached))],
            lambda descriptor: reachable(store.blobs, descriptor),
            None,
            destination=DESTINATION,
            keys=[TrustedKey(Purpose.RELEASE.value, keys.public(Purpose.RELEASE).pem)],
        )
        written = write_bundle(
            plan,
            store.blobs,
            base / "medium",
            position=Position(1, 1),
            created=NOW,
            roots=[(base / "root.json").read_bytes()],
            signers=Signers((approver,), pipeline, pipeline),
        )
    return str(written.copied)


def accept(folder: str) -> str:
    """Receive the bundle into an empty inside; the answer says what was imported, and what each step took."""
    base = Path(folder)
    keys = KeyFolder(base / "keys")
    root = (base / "root.json").read_bytes()
    trust = TrustStore.create(base / "trust", root, expect=fingerprint(root))
    (bundle,) = (base / "medium").iterdir()

    def scan(released: Released, blobs: BlobReader, feeds: Sequence[Feed]) -> list[Scan]:
        del feeds
        images = load_images(blobs, released.descriptor)
        return [Scan(image.descriptor.digest, PLATFORM, 1, (), (), NOW, "inside") for image in images]

    def judge(released: Released, scans: Sequence[Scan]) -> Verdict:
        return Passed((f"{len(scans)} scan of {released.name}",))

    with open_store(base / "inside") as store:
        received = receive(
            bundle,
            store,
            trust,
            scan=scan,
            judge=judge,
            signer=keys.signer(Purpose.RECEIPT),
            registry="registry.example",
            clock=FixedClock(NOW),
        )
    steps = {f"{step.number} {step.name}": step.seconds for step in received.steps}
    return json.dumps({"imported": received.receipt.imported, "steps": steps})


def verify(folder: str) -> str:
    """Prove every byte of the bundle, where it lies."""
    base = Path(folder)
    (bundle,) = (base / "medium").iterdir()
    verify_bundle(bundle, Anchor.of((base / "root.json").read_bytes()))
    return "verified"


def run(folder: Path, size: int, rounds: int) -> list[Row]:
    blobs = DirectoryStore(folder / "outside", durable=False)
    layer, diff_id = make_layer(blobs, size, SEED, gzip=False)
    image = make_image(blobs, layer, diff_id)
    _make_root(folder)
    argv = (str(folder), image.media_type, str(image.size), str(image.digest))
    path = path_of(blobs, layer.digest)
    rows: list[Row] = []
    for cores, where in ((1, "one processor"), (0, "all processors")):
        hashed, copied, written, proven, received = [], [], [], [], []
        for _ in range(rounds):
            hashed.append(measure_program('openssl dgst -sha256 -r "$1"', str(path), cores=cores))
            copied.append(measure_program(_COPY, str(path), str(folder / "copy"), cores=cores))
            shutil.rmtree(folder / "medium", ignore_errors=True)
            written.append(measure("bench.crossing:write", *argv, cores=cores))
            proven.append(measure("bench.crossing:verify", str(folder), cores=cores))
            _check_bundle(folder, layer)
            shutil.rmtree(folder / "inside", ignore_errors=True)
            shutil.rmtree(folder / "trust", ignore_errors=True)
            received.append(measure("bench.crossing:accept", str(folder), cores=cores))
            _check_inside(folder, image, layer)
        assert {run.answer.split()[0] for run in hashed} == {layer.digest.hex}
        peers = (best(hashed), best(copied))
        rows.append(_row(f"bundle write, {where}", layer.size, best(written), peers))
        rows.append(_row(f"bundle verify in place, {where}", layer.size, best(proven), peers[:1]))
        rows.append(_row(f"bundle receive, {where}", layer.size, best(received), peers))
        rows[-1] = replace(rows[-1], note=_steps(best(received)))
    return rows


def _make_root(folder: Path) -> None:
    keys = KeyFolder(folder / "keys")
    keys.create([Purpose.ROOT, Purpose.TARGETS, Purpose.SNAPSHOT, Purpose.RELEASE, Purpose.RECEIPT])
    holder, approver, pipeline = (keys.signer(purpose) for purpose in (Purpose.ROOT, Purpose.TARGETS, Purpose.SNAPSHOT))
    roles = RootKeys(
        root=(holder.public,),
        targets=(approver.public,),
        snapshot=(pipeline.public,),
        timestamp=(pipeline.public,),
    )
    root = init_root(DESTINATION, roles, [holder], expires=NOW + timedelta(days=3650))
    (folder / "root.json").write_bytes(root)


# Past the page cache where the file system lets us: what the disk takes, not how the kernel batches it.
_COPY = """
dd if="$1" of="$2" bs=4M oflag=direct conv=fsync status=none 2>/dev/null \\
    || dd if="$1" of="$2" bs=4M conv=fsync status=none && rm "$2"
"""


def _check_bundle(folder: Path, layer: Descriptor) -> None:
    (bundle,) = (folder / "medium").iterdir()
    opened = open_bundle(bundle, Anchor.of((folder / "root.json").read_bytes()))
    assert opened.blobs.size(layer.digest) == layer.size
    for _ in opened.blobs.proven(layer.digest):
        pass


def _check_inside(folder: Path, image: Descriptor, layer: Descriptor) -> None:
    with open_store(folder / "inside", create=False) as store:
        tag = store.state.tag("app", TAG)
        assert tag is not None
        assert tag.descriptor.digest == image.digest
        for _ in verified(store.blobs.chunks(layer.digest), layer.digest, layer.size):
            pass


def _steps(run: Measured) -> str:
    steps: dict[str, float] = json.loads(run.answer)["steps"]
    return ", ".join(f"{name} {100 * seconds / run.seconds:.0f} %" for name, seconds in steps.items() if seconds > 0.01)


def _row(question: str, size: int, ours: Measured, peers: Sequence[Measured]) -> Row:
    openssl, slower = peers[0], max(peers, key=lambda run: run.seconds)
    names = ("openssl", "dd and fsync")
    said = ", ".join(f"{name} {rate(size, run.seconds)}" for name, run in zip(names, peers, strict=False))
    return Row(
        question,
        rate(size, ours.seconds),
        said,
        openssl.seconds / ours.seconds,
        ours.peak,
        "half of the slower, 200 MiB",
        slower.seconds / ours.seconds >= 0.5 and ours.peak <= MEMORY,
    )
