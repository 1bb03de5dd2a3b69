"""A whole crossing in small: a signed archive, an upstream registry, two sites and a medium, all real, on loopback.

The fixture ``scene`` reads like a story::

    scene.publish("web", openssl="3.0.11-1")
    scene.fix("openssl", "3.0.15-1", closes=["CVE-2024-1111"])
    scene.run_outside()
    scene.run_inside()
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sallyport import founding, pipeline
from sallyport.compose import ImageSpec, LayerSpec, Style, compose_image
from sallyport.config import NAME, example
from sallyport.engine import FixedClock
from sallyport.gitops import init_demo_repository
from sallyport.oci import Descriptor, Entry, Kind, Platform, build_index, walk
from sallyport.pipeline import Run
from sallyport.registry import make_app, serve
from sallyport.site import Site, open_site
from sallyport.store import Store, open_store

REGISTRY = "registry.ship.example"
MONDAY = datetime(2026, 7, 20, 12, 0, tzinfo=UTC)
PLATFORMS = (Platform("linux", "amd64"), Platform("linux", "arm64"))
RELEASE_FILE = b"""\
PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
NAME="Debian GNU/Linux"
VERSION_ID="12"
VERSION_CODENAME=bookworm
ID=debian
"""


def changelog(source: str, *entries: tuple[str, str]) -> str:
    """A Debian changelog, newest entry first."""
    return "\n".join(
        f"{source} ({version}) bookworm-security; urgency=medium\n\n  * {text}\n\n"
        f" -- Nobody <nobody@debian.example>  Mon, 13 Jul 2026 10:00:00 +0000\n"
        for version, text in entries
    )


@dataclass
class Scene:
    """Everything, under one folder."""

    root: Path
    archive: Any  # ArchiveBuilder
    upstream: Store
    port: str
    now: datetime = MONDAY
    suites: dict[str, dict[str, Any]] = field(default_factory=lambda: {"bookworm": {}, "bookworm-security": {}})
    images: list[str] = field(default_factory=list)
    history: dict[str, list[tuple[str, str]]] = field(default_factory=dict)  # changelog entries, newest first
    lies: dict[str, bytes] = field(default_factory=dict)  # by digest, what the upstream sends instead

    # --- the archive and the upstream ---------------------------------------------------------

    def package(
        self, name: str, version: str, *, suite: str = "bookworm", text: str = "Initial.", **options: Any
    ) -> None:
        """Publish a package in a suite of the archive."""
        options.setdefault("files", {f"usr/lib/{name}.so": f"{name} {version}".encode() * 100})
        history = self.history.setdefault(name, [])
        if (version, text) not in history:
            history.insert(0, (version, text))
        options.setdefault("changelog", changelog(name, *history))
        names = ("all",) if name == "base-files" else ("amd64", "arm64")
        for architecture in names:
            built = self.archive.deb(name, version, architecture=architecture, **options)
            self.suites[suite][f"{name}:{architecture}"] = built

    def publish(self, repository: str, style: Style = Style.STATUS, **packages: str) -> Descriptor:
        """Compose an image of these packages from the release suite, and push it to the upstream."""
        base = {"etc/os-release": Entry("etc/os-release", Kind.SYMLINK, 0o777, link="../usr/lib/os-release")}
        self.package("base-files", "12.4", files={"usr/lib/os-release": RELEASE_FILE, **base})
        for name, version in packages.items():
            self.package(name, version)
        self._write_archive()
        spec = ImageSpec(repository, (LayerSpec(("base-files", *packages)),), style)
        children = []
        for platform in PLATFORMS:
            image = compose_image(self.archive.open("bookworm"), spec, platform, self.upstream.blobs)
            found = image.descriptor
            children.append(Descriptor(found.media_type, found.size, found.digest, platform))
        index = build_index(children)
        self.upstream.blobs.put(index.digest, len(index.raw), [index.raw])
        for descriptor, _ in walk(self.upstream.blobs, index.descriptor):
            self.upstream.state.hold(repository, descriptor)
        self.upstream.state.set_tag(repository, "12", index.descriptor)
        if repository not in self.images:
            self.images.append(repository)
        return index.descriptor

    def fix(self, name: str, version: str, *, closes: list[str], **options: Any) -> None:
        """Publish a fixed package in the security suite."""
        text = f"Fix {', '.join(closes)}." if closes else "Rebuild."
        self.package(name, version, suite="bookworm-security", text=text, **options)
        self._write_archive()

    def _write_archive(self) -> None:
        for suite, packages in self.suites.items():
            # Where an older package stays in the release suite, the newer one stands in the security suite only.
            self.archive.publish(suite, packages.values(), date=self.now - timedelta(days=1))

    # --- the two sites ------------------------------------------------------------------------

    def configure(self) -> None:
        """Write both configuration files, and found keys and trust once."""
        mirror = "".join(
            f"    - from: upstream.example/{name}\n      tags: ['12']\n      to: library/{name}\n"
            for name in self.images
        )
        outside = example(
            "outside",
            registry_name=REGISTRY,
            medium="../usb",
            mirror=mirror or "    []\n",
            registries=f"    - name: upstream.example\n      address: {self.port}\n      plain-http: true\n",
            archive_mirror=self.archive.mirror,
            archive_security=self.archive.security,
            approvers="[../people/jane.key, ../people/omar.key]",
            receipt_key="../inside/keys/receipt.pub",
        ).replace("    suite: bookworm\n", "    suite: bookworm\n    keyring: ../archive.pgp\n")
        inside = example("inside", registry_name=REGISTRY, medium="../usb", gitops="../fleet.git")
        self._write("outside", outside)
        self._write("inside", inside)
        (self.root / "archive.pgp").write_bytes(bytes(self.archive.key.extract_certificate()))
        (self.root / "usb").mkdir(exist_ok=True)
        if not (self.root / "fleet.git").exists():
            files = {
                f"{name}.yaml": f"kind: Pod\nspec:\n  containers:\n    - image: {REGISTRY}/library/{name}:old # pinned\n".encode()
                for name in self.images
            }
            init_demo_repository(self.root / "fleet.git", files)
        if not (self.root / "people").exists():
            self._found()

    def _write(self, side: str, text: str) -> None:
        path = self.root / side / NAME
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def _found(self) -> None:
        people = self.root / "people"
        for name in ("root", "jane", "omar"):
            founding.new_key(people / f"{name}.key", None)
        with self.site("inside") as inside, self.site("outside") as outside:
            founding.create_keys(inside)
            founding.create_keys(outside)
            path, fingerprint = founding.found_trust(
                outside,
                [people / "root.key"],
                [people / "jane.pub", people / "omar.pub"],
                root_threshold=1,
                approver_threshold=2,
            )
            founding.pin_trust(inside, path, fingerprint)

    @contextmanager
    def site(self, side: str) -> Iterator[Site]:
        """One side, opened, on the scene's day."""
        with open_site(self.root / side, clock=FixedClock(self.now)) as site:
            yield site

    def run_outside(self) -> Run:
        self.configure()
        with self.site("outside") as site:
            return pipeline.run_outside(site)

    def run_inside(self) -> Run:
        with self.site("inside") as site:
            return pipeline.run_inside(site)

    def edit(self, side: str, before: str, after: str) -> None:
        """Change one line of a configuration, as an engineer would."""
        path = self.root / side / NAME
        text = path.read_text()
        assert before in text
        path.write_text(text.replace(before, after))

    @property
    def usb(self) -> Path:
        return self.root / "usb"

    def bundles(self) -> list[Path]:
        """The bundles on the medium, oldest first."""
        return sorted(path for path in self.usb.iterdir() if path.name.startswith("ship-7-"))

    def lose_bundles(self) -> None:
        """The medium is lost on the way."""
        for path in self.bundles():
            shutil.rmtree(path)

    def tomorrow(self) -> None:
        self.now += timedelta(days=1)


@pytest.fixture
def scene(tmp_path: Path, archive_builder: Any, lying: Any) -> Iterator[Scene]:
    """A scene with an empty upstream."""
    with ExitStack() as stack:
        lies: dict[str, bytes] = {}
        upstream = stack.enter_context(open_store(tmp_path / "upstream"))
        serving = stack.enter_context(serve(lying(make_app(upstream, writable=False), lies)))
        yield Scene(tmp_path, archive_builder, upstream, serving.registry, lies=lies)
