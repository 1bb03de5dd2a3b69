"""Both sides of a crossing in a temporary folder, with small images whose layers are real."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sallyport.bundle import (
    Anchor,
    Attached,
    Blob,
    BundlePlan,
    FeedFile,
    Position,
    Receipt,
    Released,
    RootKeys,
    Signers,
    TrustedKey,
    TrustStore,
    Written,
    fingerprint,
    init_root,
    next_position,
    plan_bundle,
    write_bundle,
)
from sallyport.oci import (
    Descriptor,
    Digest,
    Entry,
    Kind,
    LayerWriter,
    Platform,
    build_index,
    build_manifest,
    media_types,
    reachable,
    render_json,
)
from sallyport.sign import FileSigner, Purpose, attach, sign_image
from sallyport.store import Store, open_store

NOON = datetime(2026, 7, 11, 12, 0, tzinfo=UTC)
REGISTRY = "registry.example"
PLATFORMS = (Platform("linux", "amd64"), Platform("linux", "arm64"))


class Keys:
    """The people and machines of a destination; made once, since making a key takes longer than using one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[str, FileSigner] = {}

    def __getitem__(self, name: str) -> FileSigner:
        if name not in self._made:
            self._made[name] = FileSigner.generate(self._folder / f"{name}.key")
        return self._made[name]


@dataclass
class Outside:
    """The connected side: publishes images, writes bundles."""

    store: Store
    keys: Keys
    medium: Path
    destination: str = "plant-7"
    now: datetime = NOON
    roots: list[bytes] = field(default_factory=list)
    releases: list[Released] = field(default_factory=list)
    feeds: list[FeedFile] = field(default_factory=list)

    def found(self, **changes: Any) -> bytes:
        """The first root: one holder, one approver, one pipeline."""
        root = init_root(
            self.destination,
            self.root_keys(**changes),
            [self.keys["root"]],
            expires=self.now + timedelta(days=3650),
        )
        self.roots = [root]
        return root

    def root_keys(self, **changes: Any) -> RootKeys:
        named: dict[str, Any] = {
            "root": ("root",),
            "targets": ("approver",),
            "snapshot": ("pipeline",),
            "timestamp": ("pipeline",),
            **changes,
        }
        made: dict[str, Any] = {
            role: tuple(self.keys[name].public for name in names) if isinstance(names, tuple) else names
            for role, names in named.items()
        }
        return RootKeys(**made)

    def signers(self, *approvers: str) -> Signers:
        pipeline = self.keys["pipeline"]
        return Signers(tuple(self.keys[name] for name in approvers or ("approver",)), pipeline, pipeline)

    def blob(self, data: bytes, media_type: str) -> Descriptor:
        digest = Digest.of(data)
        self.store.blobs.put(digest, len(data), [data])
        return Descriptor(media_type, len(data), digest)

    def layer(self, files: Mapping[str, bytes], *, gzip: bool = True) -> tuple[Descriptor, Digest]:
        with self.store.blobs.create() as sink:
            writer = LayerWriter(sink.write, gzip=gzip)
            for path, data in sorted(files.items()):
                writer.add(Entry(path, Kind.FILE, size=len(data)), [data])
            diff_id = writer.close()
            size = sink.size
            digest = sink.commit()
        return Descriptor(media_types.OCI_LAYER_GZIP if gzip else media_types.OCI_LAYER, size, digest), diff_id

    def image(
        self, *layers: tuple[Descriptor, Digest], platform: Platform = PLATFORMS[0], **document: Any
    ) -> Descriptor:
        config = {
            "os": platform.os,
            "architecture": platform.architecture,
            "rootfs": {"type": "layers", "diff_ids": [str(diff_id) for _, diff_id in layers]},
            "config": {},
            **document,
        }
        described = self.blob(render_json(config), media_types.OCI_CONFIG)
        manifest = build_manifest(described, [layer for layer, _ in layers])
        return self.blob(manifest.raw, manifest.media_type)

    def index(self, *images: tuple[Descriptor, Platform]) -> Descriptor:
        index = build_index([Descriptor(d.media_type, d.size, d.digest, platform) for d, platform in images])
        return self.blob(index.raw, index.media_type)

    def publish(
        self,
        repository: str = "team/app",
        tag: str = "12-20260711.1",
        *,
        files: Mapping[str, bytes] | None = None,
        base: tuple[Descriptor, Digest] | None = None,
        sign: bool = True,
        key: str = "release",
        descriptor: Descriptor | None = None,
    ) -> Released:
        """Release an image for two platforms that share ``base``, signed in both forms."""
        if descriptor is None:
            bottom = base or self.layer({"etc/os-release": b'ID=debian\nVERSION_ID="12"\n'})
            images = []
            for platform in PLATFORMS:
                top = self.layer({**(files or {"app": b"v1"}), "platform": str(platform).encode()})
                images.append((self.image(bottom, top, platform=platform), platform))
            descriptor = self.index(*images)
        attached = []
        if sign:
            reference = f"{REGISTRY}/{repository}:{tag}"
            for artifact in sign_image(descriptor, reference=reference, signer=self.keys[key]):
                where = attach(self.store, repository, artifact)
                attached.append(Attached(where, descriptor.digest, artifact.tag))
        released = Released(repository, tag, descriptor, f"upstream.example/{repository}:12", tuple(attached))
        self.releases.append(released)
        return released

    def feed(self, data: bytes = b"advisories") -> FeedFile:
        blob = self.blob(data, "application/octet-stream")
        feed = FeedFile(Blob(blob.digest, blob.size), "changelog", self.now)
        self.feeds.append(feed)
        return feed

    def plan(self, receipt: Receipt | None = None) -> BundlePlan:
        return plan_bundle(
            self.releases,
            lambda descriptor: reachable(self.store.blobs, descriptor),
            receipt,
            destination=self.destination,
            feeds=self.feeds,
            keys=[TrustedKey(Purpose.RELEASE.value, self.keys["release"].public.pem)],
        )

    def bundle(
        self, receipt: Receipt | None = None, *, position: Position | None = None, signers: Signers | None = None
    ) -> Path:
        return self.write(receipt, position=position, signers=signers).folder

    def write(
        self, receipt: Receipt | None = None, *, position: Position | None = None, signers: Signers | None = None
    ) -> Written:
        return write_bundle(
            self.plan(receipt),
            self.store.blobs,
            self.medium,
            position=position or next_position(self.store, self.destination),
            created=self.now,
            roots=self.roots,
            signers=signers or self.signers(),
        )

    @property
    def anchor(self) -> Anchor:
        return Anchor.of(self.roots[0])


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def outside(tmp_path: Path, keys: Keys) -> Iterator[Outside]:
    with open_store(tmp_path / "outside") as store:
        side = Outside(store, keys, tmp_path / "medium")
        side.found()
        yield side


@pytest.fixture
def trust(tmp_path: Path, outside: Outside) -> TrustStore:
    root = outside.roots[0]
    return TrustStore.create(tmp_path / "trust", root, expect=fingerprint(root))


@pytest.fixture
def flip() -> Callable[[Path, int, int], bytes]:
    """Flip one bit of a file; returns what was there before."""

    def flip(path: Path, offset: int, bit: int) -> bytes:
        before = path.read_bytes()
        after = bytearray(before)
        after[offset] ^= 1 << bit
        path.write_bytes(after)
        return before

    return flip
