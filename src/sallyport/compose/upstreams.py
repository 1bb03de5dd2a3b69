"""The images of the demonstration's upstream: real, small, and as old as the archive's last point release.

``minimal``: Debian's essential packages without apt. ``web``: the same and a web server. ``distroless``: a few
libraries without a shell, recorded in ``status.d``. ``app``: two layers on that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from sallyport.archives import Archive, BinaryPackage
from sallyport.compose import finish
from sallyport.compose.compose import ImageSpec, LayerSpec, compose_image, keep_blob, wanted_packages
from sallyport.compose.dpkg import Style
from sallyport.engine import Executor, Inline, Progress
from sallyport.oci import Descriptor, Image, Index, Platform, build_index
from sallyport.store import BlobStore

PLATFORMS = (Platform("linux", "amd64"), Platform("linux", "arm64"))

MINIMAL = ImageSpec(
    "minimal",
    (
        LayerSpec(
            # Named, or the first alternative of a dependency would bring a program that merges, and perl modules.
            ("usr-is-merged",),
            before=(finish.merge_usr, finish.base_folders),
            after=(finish.profiles, finish.accounts, finish.awk, finish.slim_configuration),
            essential=True,
        ),
    ),
    exclude=finish.slim,
    cmd=("bash",),
)
WEB = ImageSpec(
    "web",
    (LayerSpec(("ca-certificates", "curl", "nginx-light", "openssl"), after=(finish.certificates, finish.nginx_site)),),
    exclude=finish.slim,
    entrypoint=("nginx", "-g", "daemon off;"),
    labels={"org.opencontainers.image.title": "web"},
)
DISTROLESS = ImageSpec(
    "distroless",
    (
        LayerSpec(
            ("base-files", "ca-certificates", "libc6", "libssl3 | libssl3t64", "netbase", "tzdata"),
            after=(finish.few_accounts, finish.certificates),
            without=("awk", "debconf", "openssl"),  # which only the packages' scripts ask for
        ),
    ),
    style=Style.STATUS_D,
    exclude=finish.slim,
    env=(
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt",
    ),
)
_PAGE = b"""<!doctype html>
<title>Timetable</title>
<link rel="stylesheet" href="site.css">
<h1>Timetable</h1>
<p>All ferries run.</p>
"""
APP = replace(
    DISTROLESS,
    name="app",
    layers=(
        LayerSpec(
            ("openssl",),
            after=(finish.files([("etc/site/site.conf", b"root = /srv/site\nport = 8443\n")]),),
            note="the server and its configuration",
        ),
        LayerSpec(
            after=(
                finish.files(
                    [
                        ("srv/site/index.html", _PAGE),
                        ("srv/site/site.css", b"body { font-family: sans-serif; margin: 3rem; }\n"),
                    ]
                ),
            ),
            note="the site",
        ),
    ),
    entrypoint=(
        *("/usr/bin/openssl", "s_server", "-WWW", "-accept", "8443"),
        *("-cert", "/run/secrets/tls.crt", "-key", "/run/secrets/tls.key"),
    ),
    user="65532",
    working_dir="/srv/site",
)
_CHAINS = ((MINIMAL, WEB), (DISTROLESS, APP))


class Upstream(NamedTuple):
    """One image for all platforms, and the name that it is published under."""

    repository: str
    tag: str
    images: Index


def compose_all(
    archive: Archive,
    blobs: BlobStore,
    *,
    platforms: Sequence[Platform] = PLATFORMS,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> tuple[Upstream, ...]:
    """The four images, one index each, kept in ``blobs``; the tag is the release's version.

    Open ``archive`` with the release suite alone: what its security suite fixed is then still open in the images.

    Raises:
        as :func:`compose_image` does.
    """
    run = executor or Inline()
    _fetch(archive, platforms, run, progress)
    chains = [(chain, platform) for chain in _CHAINS for platform in platforms]

    def chain_of(item: tuple[tuple[ImageSpec, ...], Platform]) -> list[tuple[str, Image]]:
        chain, platform = item
        images: list[tuple[str, Image]] = []
        for spec in chain:
            base = images[-1][1] if images else None
            image = compose_image(archive, spec, platform, blobs, base=base, progress=progress)
            images.append((spec.name, image))
        return images

    made = [image for images in run.map(chain_of, chains) for image in images]
    release = archive.releases[0]
    result: list[Upstream] = []
    for chain in _CHAINS:
        for spec in chain:
            children = [_child(image) for name, image in made if name == spec.name]
            index = build_index(children)
            keep_blob(blobs, index.media_type, index.raw)
            result.append(Upstream(spec.name, release.version or release.codename, index))
    return tuple(result)


def _fetch(archive: Archive, platforms: Sequence[Platform], executor: Executor, progress: Progress | None) -> None:
    """Every package of every image at once, so that the connections are busy and the composing never waits."""
    wanted: list[BinaryPackage] = []
    for platform in platforms:
        for chain in _CHAINS:
            there: list[BinaryPackage] = []
            for spec in chain:
                for packages in wanted_packages(archive, spec, platform, base=there):
                    there += packages
            wanted += there
    archive.fetch_all(wanted, executor=executor, progress=progress)


def _child(image: Image) -> Descriptor:
    return Descriptor(
        image.descriptor.media_type, image.descriptor.size, image.descriptor.digest, image.config.platform
    )
