"""The inside, beside the outside of tests/bundle."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from sallyport.advisories import Feed
from sallyport.bundle import Receipt, Released, TrustStore, fingerprint, verify_receipt
from sallyport.engine import FixedClock, Progress, Silent
from sallyport.gate import Passed, Refused, Verdict
from sallyport.match import Scan
from sallyport.oci import BlobReader, load_images
from sallyport.receive import Received, receive
from sallyport.sign import FileSigner
from sallyport.store import Store, open_store


def _load(name: str) -> ModuleType:
    path = Path(__file__).parents[1] / name / "conftest.py"
    spec = importlib.util.spec_from_file_location(f"{name}_conftest", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


_bundle = _load("bundle")
keys, outside, flip = _bundle.keys, _bundle.outside, _bundle.flip
REGISTRY = _bundle.REGISTRY


@dataclass
class Inside:
    """The isolated side: receives, and judges by what its test says."""

    store: Store
    trust: Path
    key: FileSigner
    now: datetime
    refuses: set[str] = field(default_factory=set)  # repositories
    unscanned: set[str] = field(default_factory=set)
    side: str = "inside"
    feeds: list[tuple[Feed, ...]] = field(default_factory=list)
    scanned: list[str] = field(default_factory=list)

    def scan(self, released: Released, blobs: BlobReader, feeds: tuple[Feed, ...]) -> Sequence[Scan]:
        self.feeds.append(feeds)
        self.scanned.append(released.name)
        if released.repository in self.unscanned:
            return ()
        return [
            Scan(image.descriptor.digest, image.config.platform, 1, (), (), self.now, self.side)
            for image in load_images(blobs, released.descriptor)
        ]

    def judge(self, released: Released, scans: Sequence[Scan]) -> Verdict:
        if released.repository in self.refuses:
            return Refused(("our policy says no",))
        return Passed((f"{len(scans)} scans",))

    def receive(self, folder: Path, *, progress: Progress | None = None, **changes: Any) -> Received:
        options: dict[str, Any] = {
            "scan": self.scan,
            "judge": self.judge,
            "signer": self.key,
            "registry": REGISTRY,
            "read_feeds": lambda path: (),
            "clock": FixedClock(self.now),
            "progress": progress or Silent(),
            **changes,
        }
        return receive(folder, self.store, TrustStore.open(self.trust), **options)

    def receipt(self, received: Received) -> Receipt:
        return verify_receipt(received.receipt_file.read_bytes(), self.key.public, destination="plant-7")

    def picture(self) -> dict[str, Any]:
        """Everything that must not change when a bundle is refused."""
        return {
            "blobs": sorted(map(str, self.store.blobs.digests())),
            "manifests": self.store.state.manifests(),
            "tags": [self.store.state.tags(name) for name in self.store.state.repositories()],
            "facts": [list(self.store.state.facts(kind)) for kind in ("received", "layer")],
            "receipts": sorted(self.store.root.glob("receipts/*")),
            "high-water": (self.trust / "state.json").read_bytes(),
        }


@pytest.fixture
def inside(tmp_path: Path, outside: Any, keys: Any) -> Iterator[Inside]:
    root = outside.roots[0]
    TrustStore.create(tmp_path / "trust", root, expect=fingerprint(root))
    with open_store(tmp_path / "inside") as store:
        yield Inside(store, tmp_path / "trust", keys["receipt"], outside.now)
