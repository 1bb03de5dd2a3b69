"""Takes a folder -> gives the whole crossing, once, on real outdated images: both sides and an upstream between.

Everything lives under one folder: ``upstream`` (a registry's store, which plays the public one), ``outside`` and
``inside`` (two sites as a user would set them up), ``people`` (keys of root holders and approvers), ``usb`` (a folder
that stands for the medium) and ``cache``.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sallyport import founding, pipeline
from sallyport.compose import Upstream, compose_all
from sallyport.config import NAME, ArchiveSection, example
from sallyport.engine import Http, Progress, SystemClock, Threads, write_file
from sallyport.gitops import init_demo_repository
from sallyport.ledger import Candidate, Ledger
from sallyport.oci import Descriptor, Digest, load_images
from sallyport.pipeline import Run, Step
from sallyport.registry import RegistryClient, make_app, push_image, serve
from sallyport.site import open_archive, open_site
from sallyport.store import DirectoryStore, Store, open_store

DESTINATION = "ship-7"
UPSTREAM = "upstream.example"
REGISTRY = "127.0.0.1:5000"
"""The name under which the inside pulls; ``make demo SERVE=1`` listens there."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the user may say about the archive and the sources."""

    mirror: str = ""
    security: str = ""
    suite: str = "bookworm"
    osv: str = ""


@dataclass(frozen=True, slots=True)
class ImageLine:
    """One image of the summary."""

    upstream: str  # repository:tag as it was published
    released: str  # repository:tag inside; empty where it was not released
    digest: Digest
    platforms: tuple[str, ...]
    before: int  # distinct known vulnerabilities over all platforms
    after: int
    upgraded: int  # packages, over all platforms each once
    bytes: int  # of the image as it is now, all platforms
    carried: int  # of them, on the medium by this run; what images share counts for each


@dataclass(frozen=True, slots=True)
class Crossing:
    """What the demonstration did."""

    images: tuple[ImageLine, ...]
    steps: tuple[Step, ...]
    carried: int  # bytes on the medium by this run
    refused: tuple[str, ...]
    report: Path
    fleet: Path  # the bare Git repository
    inside: Path  # the inside's folder
    seconds: float

    @property
    def new(self) -> bool:
        """Whether anything crossed."""
        return self.carried > 0


def demonstrate(workspace: Path, options: Options, progress: Progress) -> Crossing:
    """Do it, or, where it was done before, look for anything new.

    Raises:
        NoMirrorError: no Debian mirror is known.
        UntrustedError, UnreachableError, DamagedError, StorageError: as each step does.
    """
    started = time.monotonic()
    workspace = workspace.resolve()
    steps: list[Step] = []
    with open_store(workspace / "upstream") as upstream:
        composed = _compose(workspace, upstream, options, progress)
        steps.append(composed)
        progress.say(f"{composed.name:8} {composed.seconds:6.1f} s  {composed.summary}")
        with serve(make_app(upstream, writable=False)) as serving:
            _prepare(workspace, options, upstream, serving.registry)
            with open_site(workspace / "outside", progress=progress) as outside:
                sent = pipeline.run_outside(outside)
    with open_site(workspace / "inside", progress=progress) as inside:
        arrived = pipeline.run_inside(inside)
        report = inside.path(inside.config.inside.report)
    with open_site(workspace / "outside") as outside:
        ledger = Ledger(outside.store.state)
        lines = tuple(_line(outside.store, ledger, candidate, arrived) for candidate in ledger.candidates())
    return Crossing(
        lines,
        (*steps, *sent.steps, *arrived.steps),
        sent.carried,
        sent.refused + arrived.refused,
        report,
        workspace / "fleet.git",
        workspace / "inside",
        time.monotonic() - started,
    )


# --- the upstream -----------------------------------------------------------------------------


def _compose(workspace: Path, upstream: Store, options: Options, progress: Progress) -> Step:
    """Images as the release suite alone has them, which are outdated; made once for each point release."""
    started = time.monotonic()
    section = ArchiveSection(mirror=options.mirror, security=options.security, suite=options.suite)
    now = SystemClock().now()
    # Without the security suite: the images shall be as outdated as the last point release is.
    with open_archive(section, workspace, workspace / "cache", now=now, progress=progress, security=False) as archive:
        key = ",".join(str(release.digest) for release in archive.releases)
        version = archive.releases[0].version
        if upstream.state.fact("composed", "release") == key.encode():
            summary = f"Debian {version} images are there already"
        else:
            workshop = workspace / "workshop"
            images = compose_all(
                archive, DirectoryStore(workshop, durable=False), executor=Threads(4), progress=progress
            )
            _push(upstream, workshop, images, progress)
            shutil.rmtree(workshop)
            upstream.state.put_fact("composed", "release", key.encode())
            summary = f"{len(images)} images of Debian {version} without its security suite, amd64 and arm64"
    return Step("upstream", time.monotonic() - started, summary)


def _push(upstream: Store, workshop: Path, images: Sequence[Upstream], progress: Progress) -> None:
    """As anybody publishes an image: over HTTP, to a registry."""
    with serve(make_app(upstream)) as serving, Http() as http:
        client = RegistryClient(http, serving.registry)
        for image in images:
            blobs = DirectoryStore(workshop, durable=False)
            push_image(client, image.repository, [image.tag], blobs, image.images.descriptor, progress=progress)


# --- the two sites ----------------------------------------------------------------------------


def _prepare(workspace: Path, options: Options, upstream: Store, registry: str) -> None:
    """Set both sides up as their engineers would; what is there already stays."""
    names = [(repository, upstream.state.tags(repository)) for repository in upstream.state.repositories()]
    mirror = "".join(
        f"    - from: {UPSTREAM}/{repository}\n      tags: [{', '.join(repr(tag.name) for tag in tags)}]\n"
        f"      platforms: [linux/amd64, linux/arm64]\n      to: {repository}\n"
        for repository, tags in names
        if tags
    )
    outside = example(
        "outside",
        destination=DESTINATION,
        medium="../usb",
        registry_name=REGISTRY,
        mirror=mirror,
        registries=f"    - name: {UPSTREAM}\n      address: {registry}\n      plain-http: true\n",
        archive_mirror=options.mirror,
        archive_security=options.security,
        suite=options.suite,
        approvers="[../people/approver-a.key, ../people/approver-b.key]",
        receipt_key="../inside/keys/receipt.pub",
    ).replace("cache: cache ", "cache: ../cache ")
    if options.osv:
        location = options.osv if "://" in options.osv else Path(options.osv).resolve()
        outside = outside.replace("  # - kind: osv ", f"  - kind: osv\n    location: '{location}'\n  # - kind: osv ")
    inside = example(
        "inside",
        destination=DESTINATION,
        medium="../usb",
        registry_name=REGISTRY,
        listen=REGISTRY,
        gitops="../fleet.git",
    )
    # The upstream's port is another one each time, so the outside's file is written each time.
    write_file(workspace / "outside" / NAME, outside.encode())
    write_file(workspace / "inside" / NAME, inside.encode())
    (workspace / "usb").mkdir(exist_ok=True)
    if not (workspace / "fleet.git").exists():
        init_demo_repository(workspace / "fleet.git", _fleet([name for name, tags in names if tags]))
    _found(workspace)


def _found(workspace: Path) -> None:
    people = workspace / "people"
    for name in ("root-a", "root-b", "root-c", "approver-a", "approver-b"):
        if not (people / f"{name}.key").exists():
            founding.new_key(people / f"{name}.key", None)
    with open_site(workspace / "inside") as inside:
        founding.create_keys(inside)
        with open_site(workspace / "outside") as outside:
            founding.create_keys(outside)
            if not founding.root_files(outside):
                founding.found_trust(
                    outside,
                    [people / f"root-{name}.key" for name in "abc"],
                    [people / f"approver-{name}.pub" for name in "ab"],
                    root_threshold=2,
                    approver_threshold=2,
                )
            if not founding.is_trusting(inside):
                root = founding.root_files(outside)[0]
                # Here one program plays both sides; people compare the fingerprint by another way.
                founding.pin_trust(inside, root, Digest.of(root.read_bytes()).hex)


def _fleet(repositories: list[str]) -> dict[str, bytes]:
    """What the site's Kubernetes runs before the first crossing."""
    files: dict[str, bytes] = {}
    for repository in repositories:
        name = repository.rpartition("/")[2]
        files[f"{name}/deployment.yaml"] = f"""\
# The image is pinned by digest; sallyport moves the pin when a patched one has crossed.
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {name}
spec:
  replicas: 1
  selector:
    matchLabels: {{app: {name}}}
  template:
    metadata:
      labels: {{app: {name}}}
    spec:
      containers:
        - name: {name}
          image: {REGISTRY}/{repository}:unpatched
""".encode()
    return files


# --- the summary ------------------------------------------------------------------------------


def _line(store: Store, ledger: Ledger, candidate: Candidate, arrived: Run) -> ImageLine:
    def vulnerabilities(descriptor: Descriptor) -> set[str]:
        scans = (ledger.scan(image.descriptor.digest) for image in load_images(store.blobs, descriptor))
        return {identifier for scan in scans if scan is not None for identifier in scan.vulnerabilities}

    images = load_images(store.blobs, candidate.descriptor)
    released = [r for r in ledger.releases() if r.descriptor.digest == candidate.descriptor.digest]
    blobs = {blob.digest: blob.size for image in images for blob in image.manifest.blobs}
    return ImageLine(
        candidate.upstream.name,
        f"{released[-1].repository}:{released[-1].tag}" if released else "",
        candidate.descriptor.digest,
        tuple(str(image.config.platform) for image in images),
        len(vulnerabilities(candidate.upstream.descriptor)),
        len(vulnerabilities(candidate.descriptor)),
        len({upgrade.new.name for patched in candidate.patched for upgrade in patched.plan.upgrades}),
        sum(blobs.values()),
        sum(size for name, size in arrived.images if name.endswith(f"@{candidate.descriptor.digest}")),
    )
