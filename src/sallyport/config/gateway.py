"""The vetted pull-through of a DMZ."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from sallyport.config.section import Address, Duration, Section

Meta = msgspec.Meta


class AllowSection(Section, frozen=True, kw_only=True):
    """Images that may be pulled through, if they pass."""

    images: Annotated[str, Meta(description="REGISTRY/REPOSITORY globs: registry.example/library/*")]
    tags: Annotated[tuple[str, ...], Meta(description="patterns as in outside.mirror; all when left out")] = ()
    platforms: Annotated[tuple[str, ...], Meta(description="such as linux/amd64; all when left out")] = ()
    prefer: Annotated[
        Literal["patched", "upstream"], Meta(description="which variant is served where there are both")
    ] = "patched"


class PackagesSection(Section, frozen=True, kw_only=True):
    """A package repository that rebuilds inside need, served under /packages/NAME/."""

    name: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$", description="what it is called in the address")]
    kind: Annotated[Literal["apt", "apk", "pypi", "npm"], Meta(description="which protocol it speaks")]
    upstream: Annotated[
        str,
        Meta(
            description="its address: for apt the folder with `dists`, for pypi the one that ends in /simple; "
            "for apt the host's mirror when left out"
        ),
    ] = ""
    files: Annotated[
        str,
        Meta(description="pypi, npm: address of its files, where that is another host; files elsewhere are left out"),
    ] = ""
    allow: Annotated[
        tuple[str, ...], Meta(description="names of packages; * and ? as in a glob; nothing when left out")
    ] = ()
    keyring: Annotated[
        str,
        Meta(
            description="file or folder with the keys that sign it, relative to this file: OpenPGP for apt, where the "
            "host's keyring is taken when left out, *.rsa.pub for apk"
        ),
    ] = ""
    fresh_for: Annotated[
        Duration,
        Meta(
            description="how old an index may be before upstream is asked again; served longer while upstream is down"
        ),
    ] = "1h"


class GatewaySection(Section, frozen=True, kw_only=True):
    """`serve gateway`: a registry that fetches, scans and judges what is asked for, and serves what passes."""

    listen: Annotated[Address, Meta(description="host:port on which it listens")] = "127.0.0.1:5001"
    allow: Annotated[tuple[AllowSection, ...], Meta(description="what may be asked for; nothing when left out")] = ()
    default_registry: Annotated[
        str, Meta(description="the upstream of a name without a registry, where the client does not say ?ns=")
    ] = ""
    fresh_for: Annotated[
        Duration, Meta(description="how long a vetted tag is served before upstream is asked again, in the background")
    ] = "1h"
    serve_stale_for: Annotated[Duration, Meta(description="how long it is served while upstream cannot be reached")] = (
        "4w"
    )
    wait_s: Annotated[
        Annotated[int, Meta(ge=1, le=3600)],
        Meta(description="seconds that a first pull waits before it is told to come again"),
    ] = 300
    packages: Annotated[tuple[PackagesSection, ...], Meta(description="package repositories behind the same door")] = ()
