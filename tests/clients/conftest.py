"""What the client tests share: real programs, stores of ours that are served, and images that tools can unpack."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sallyport.engine import Http
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
    render_json,
)
from sallyport.registry import Serving, make_app, serve
from sallyport.store import BlobStore, Store, open_store

PLATFORMS = ("linux/amd64", "linux/arm64")


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.fail(f"{name} is not on PATH, and SALLYPORT_CLIENT_TESTS=1 asks for it")
    return found


@dataclass(frozen=True)
class Shell:
    """Runs a program in a folder of its own, without our user's settings, and shows what it said when it fails."""

    folder: Path
    extra: tuple[tuple[str, str], ...] = ()

    def __call__(self, name: str, *arguments: str) -> str:
        environ = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "XDG_RUNTIME_DIR": str(self.folder)}
        environ |= dict(self.extra)
        ran = subprocess.run(
            [program(name), *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            env=environ,
            cwd=self.folder,
            check=False,
        )
        assert ran.returncode == 0, f"{name} {' '.join(arguments)}\n{ran.stdout}\n{ran.stderr}"
        return ran.stdout

    def having(self, **environ: str) -> Shell:
        """The same, with more variables."""
        return Shell(self.folder, (*self.extra, *environ.items()))

    def program(self, name: str) -> str:
        """Where a program is."""
        return program(name)


@pytest.fixture
def run(tmp_path: Path) -> Shell:
    folder = tmp_path / "work"
    folder.mkdir()
    return Shell(folder)


@dataclass(frozen=True)
class Served:
    """A store of ours with a registry over it."""

    store: Store
    serving: Serving

    @property
    def registry(self) -> str:
        return self.serving.registry

    def digest(self, repository: str, tag: str) -> Digest:
        found = self.store.state.tag(repository, tag)
        assert found is not None
        return found.descriptor.digest


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with open_store(tmp_path / "served") as store, serve(make_app(store)) as serving:
        yield Served(store, serving)


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Served]:
    with open_store(tmp_path / "other") as store, serve(make_app(store)) as serving:
        yield Served(store, serving)


@pytest.fixture
def http() -> Iterator[Http]:
    with Http(proxies={}, timeout_s=20, retries=1) as client:
        yield client


class Makes:
    """Images with real files in them."""

    platforms = PLATFORMS

    def blob(self, blobs: BlobStore, data: bytes, media_type: str) -> Descriptor:
        descriptor = Descriptor(media_type, len(data), Digest.of(data))
        blobs.put(descriptor.digest, descriptor.size, (data,))
        return descriptor

    def image(self, blobs: BlobStore, platform: str, *, megabytes: int = 1) -> Descriptor:
        """An image that tools can unpack: two layers with real files."""
        layers, diff_ids = [], []
        for number in range(2):
            with blobs.create() as writer:
                layer = LayerWriter(writer.write)
                layer.add(Entry(f"layer{number}", Kind.DIRECTORY, 0o755))
                content = os.urandom(megabytes << 20)
                layer.add(Entry(f"layer{number}/random", Kind.FILE, 0o644, size=len(content)), [content])
                name = f"{platform} {number}".encode()
                layer.add(Entry(f"layer{number}/name", Kind.FILE, 0o644, size=len(name)), [name])
                diff_ids.append(str(layer.close()))
                size = writer.size
                layers.append(Descriptor(media_types.OCI_LAYER_GZIP, size, writer.commit()))
        where = Platform.parse(platform)
        config = {
            "os": where.os,
            "architecture": where.architecture,
            "config": {"Cmd": ["/hello"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": [{"created_by": f"layer {number}"} for number in range(2)],
        }
        manifest = build_manifest(self.blob(blobs, render_json(config), media_types.OCI_CONFIG), layers)
        made = self.blob(blobs, manifest.raw, manifest.media_type)
        return Descriptor(made.media_type, made.size, made.digest, where)

    def index(self, blobs: BlobStore) -> Descriptor:
        index = build_index([self.image(blobs, platform) for platform in PLATFORMS])
        return self.blob(blobs, index.raw, index.media_type)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "here") as store:
        yield store


@pytest.fixture(scope="session")
def made() -> Makes:
    return Makes()
