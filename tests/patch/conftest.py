"""A yard where images of old packages are patched with new ones, all over a real, signed, tiny archive."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sallyport.advisories import Evidence, Severity
from sallyport.catalog import Bill, catalogue
from sallyport.compose import ImageSpec, LayerSpec, Style, compose_image, finish
from sallyport.match import Finding, Scan, SourceDate
from sallyport.oci import (
    Descriptor,
    Digest,
    Entry,
    Image,
    Kind,
    LayerWriter,
    Platform,
    Rootfs,
    build_manifest,
    list_layer,
    load_image,
    media_types,
    read_layer,
    render_json,
)
from sallyport.patch import Patched, PatchPlan, patch, plan_patch
from sallyport.store import DirectoryStore

AMD64 = Platform("linux", "amd64")
DAY = datetime(2026, 7, 21, 8, 0, tzinfo=UTC)


@dataclass
class Yard:
    """``old`` packages make images, ``new`` ones are what the archive has since."""

    builder: Any
    blobs: DirectoryStore
    olds: list[Any] = field(default_factory=list)
    news: list[Any] = field(default_factory=list)

    def old(self, name: str, version: str = "1.0-1", **options: Any) -> None:
        self.olds.append(self.builder.deb(name, version, **_named(options)))

    def new(self, name: str, version: str = "1.0-2", **options: Any) -> None:
        self.news.append(self.builder.deb(name, version, **_named(options)))

    def image(self, *names: str, platform: Platform = AMD64, **options: Any) -> Image:
        """An image of ``old`` packages; ``before`` and ``after`` are steps, ``style`` and ``exclude`` as in compose."""
        self.builder.publish("bookworm", self.olds)
        layer = LayerSpec(
            names or tuple(deb.fields["Package"] for deb in self.olds),
            before=(_accounts, *options.pop("before", ())),
            after=tuple(options.pop("after", ())),
            dependencies=False,
        )
        spec = ImageSpec("old", (layer,), **options)
        return compose_image(self.builder.open("bookworm"), spec, platform, self.blobs)

    def archive(self) -> Any:
        self.builder.publish("bookworm-security", self.news)
        return self.builder.open("bookworm", "bookworm-security")

    def bill(self, image: Image) -> Bill:
        return catalogue(image, self.blobs)

    def scan(self, image: Image, fixed: Mapping[str, str], *, at: datetime = DAY) -> Scan:
        """A scan that finds ``CVE-2026-1000…`` in the packages ``fixed`` names, closed in the version it names."""
        bill = self.bill(image)
        findings = [
            Finding(
                f"CVE-2026-{1000 + number}",
                package,
                fixed[package.name] or None,
                Severity.HIGH,
                (Evidence("test", "told", "so"),),
            )
            for number, package in enumerate(bill.packages)
            if package.name in fixed
        ]
        date = SourceDate("test", at)
        return Scan(image.descriptor.digest, AMD64, len(bill.packages), tuple(findings), (date,), at, "outside")

    def plan(self, image: Image, fixed: Mapping[str, str], *, at: datetime = DAY, **options: Any) -> PatchPlan:
        options.setdefault("blobs", self.blobs)
        return plan_patch(image, self.bill(image), self.scan(image, fixed, at=at), self.archive(), **options)

    def patch(self, image: Image, fixed: Mapping[str, str] | None = None, **options: Any) -> Patched:
        """Patch what ``fixed`` names, or everything."""
        plan = self.plan(image, fixed or {}, everything=fixed is None)
        return patch(image, plan, self.archive(), self.blobs, **options)

    def load(self, patched: Patched) -> Image:
        return load_image(self.blobs, patched.after)

    def root(self, image: Image | Patched) -> Rootfs:
        """The whole root with every content."""
        image = self.load(image) if isinstance(image, Patched) else image
        return Rootfs.merge(
            list_layer(self.blobs, layer, diff_id=diff_id, keep=lambda _: True) for layer, diff_id in image.layers
        )

    def layer(self, patched: Patched) -> dict[str, Entry]:
        """The members of the new layer."""
        image = self.load(patched)
        layer, diff_id = image.layers[-1]
        return {entry.path: entry for entry, _ in read_layer(self.blobs, layer, diff_id=diff_id)}

    def over(self, image: Image, *members: tuple[Entry, bytes]) -> Image:
        """``image`` with one more layer, as somebody's Dockerfile would add it."""
        with self.blobs.create() as writer:
            layer = LayerWriter(writer.write)
            for entry, content in members:
                layer.add(replace(entry, size=len(content)) if entry.kind is Kind.FILE else entry, [content])
            diff_id = layer.close()
            size = writer.size
            digest = writer.commit()
        document = dict(image.config.document)
        document["rootfs"] = {"type": "layers", "diff_ids": [*map(str, image.config.diff_ids), str(diff_id)]}
        raw = render_json(document)
        self.blobs.put(Digest.of(raw), len(raw), [raw])
        manifest = build_manifest(
            replace(image.manifest.config, size=len(raw), digest=Digest.of(raw)),
            (*image.manifest.layers, Descriptor(media_types.OCI_LAYER_GZIP, size, digest)),
        )
        self.blobs.put(manifest.digest, len(manifest.raw), [manifest.raw])
        return load_image(self.blobs, replace(manifest.descriptor, platform=AMD64))


def _named(options: dict[str, Any]) -> dict[str, Any]:
    """Entries get the path that they are filed under."""
    files = options.get("files", {})
    named = {path: replace(item, path=path) if isinstance(item, Entry) else item for path, item in files.items()}
    return {**options, "files": named}


def _accounts(draft: Any, _architecture: str) -> None:
    draft.put(Entry("etc/passwd", Kind.FILE), b"root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33::/var/www:/bin/sh\n")
    draft.put(Entry("etc/group", Kind.FILE), b"root:x:0:\nadm:x:4:\nwww-data:x:33:\n")


def file(path: str, content: bytes, **options: Any) -> tuple[Entry, bytes]:
    return Entry(path, Kind.FILE, **options), content


@pytest.fixture
def yard(archive_builder: Any, tmp_path: Path) -> Yard:
    return Yard(archive_builder, DirectoryStore(tmp_path / "blobs", durable=False))


@pytest.fixture
def add_file() -> Callable[..., tuple[Entry, bytes]]:
    """``add_file(path, content)``: a member for ``yard.over``."""
    return file


@pytest.fixture
def usr_merged() -> Any:
    """The step that makes ``lib`` and others links into ``usr``."""
    return finish.merge_usr


@pytest.fixture
def distroless() -> Style:
    return Style.STATUS_D
