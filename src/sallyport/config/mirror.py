"""What to mirror, and how its registries are reached."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from sallyport.config.section import Section
from sallyport.oci import Platform

Meta = msgspec.Meta


class MirrorSection(Section, frozen=True, kw_only=True):
    """Images to mirror from one upstream repository."""

    source: Annotated[
        str,
        Meta(
            min_length=1,
            description="upstream's registry/repository, without a tag; or oci:FOLDER, oci-archive:FILE, "
            "docker-archive:FILE",
        ),
    ] = msgspec.field(name="from")
    tags: Annotated[
        tuple[str, ...],
        Meta(
            description="tags (12-slim), globs (12.*), re:…, semver:>=1.2 <2 -slim, calendar:>=2026.01; "
            "!… takes some away again"
        ),
    ] = ()
    digests: Annotated[tuple[str, ...], Meta(description="images by digest: sha256:…")] = ()
    newest: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="only so many of each series (1.2, 1.3, …-slim), the highest versions"),
    ] = None
    deny: Annotated[
        tuple[str, ...], Meta(description="digests and tag patterns that never come, whatever else says")
    ] = ()
    immutable: Annotated[
        tuple[str, ...],
        Meta(description="patterns of tags that upstream never moves: once here, never asked for again"),
    ] = ()
    platforms: Annotated[tuple[str, ...], Meta(description="such as linux/amd64; all when left out")] = ()
    require: Annotated[
        tuple[Literal["signature", "bill", "provenance"], ...],
        Meta(description="what must be attached upstream; without it the tag is not mirrored"),
    ] = ()
    attachments: Annotated[bool, Meta(description="bring signatures, attestations and other referrers along")] = True
    to: Annotated[str, Meta(description="our repository; as upstream's when left out")] = ""

    def parsed_platforms(self) -> tuple[Platform, ...]:
        """As nouns."""
        return tuple(Platform.parse(text) for text in self.platforms)


class AlternativeSection(Section, frozen=True, kw_only=True):
    """A mirror of a registry, asked first."""

    address: Annotated[str, Meta(description="host:port, with a path where its repositories stand below one")]
    plain_http: Annotated[
        bool | None, Meta(description="HTTP without TLS; when left out only for addresses of this host")
    ] = None
    ca: Annotated[str, Meta(description="file with the CA certificates to trust for it, PEM")] = ""
    digests_only: Annotated[bool, Meta(description="ask it by digest only; tags are asked of the registry itself")] = (
        False
    )


class RegistrySection(Section, frozen=True, kw_only=True):
    """How to reach a registry: another address for its name, plain HTTP, a CA of its own, mirrors."""

    name: Annotated[
        str,
        Meta(
            description="the registry as outside.mirror writes it; or registry/prefix, or *.domain; "
            "the longest that fits counts"
        ),
    ]
    address: Annotated[
        str,
        Meta(
            description="host:port to connect to instead, with a path where it has one; it takes the whole name's place"
        ),
    ] = ""
    plain_http: Annotated[
        bool | None, Meta(description="HTTP without TLS; when left out only for addresses of this host")
    ] = None
    ca: Annotated[str, Meta(description="file with the CA certificates to trust for it, PEM")] = ""
    certificate: Annotated[str, Meta(description="our own certificate for it (mTLS), PEM")] = ""
    key: Annotated[str, Meta(description="the certificate's key, PEM")] = ""
    proxy: Annotated[str, Meta(description="proxy for it, or none; when left out the environment's")] = ""
    mirrors: Annotated[
        tuple[AlternativeSection, ...],
        Meta(description="asked first, in this order; what they lack comes from the registry"),
    ] = ()
    blocked: Annotated[bool, Meta(description="never ask it")] = False
    connections: Annotated[Annotated[int, Meta(ge=1, le=64)], Meta(description="most requests at a time")] = 8
