"""Registries that get what is released."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from sallyport.config.section import Duration, Section

Meta = msgspec.Meta


class RenameSection(Section, frozen=True, kw_only=True):
    """Another name over there."""

    images: Annotated[str, Meta(description="our repositories; * and ? as in a glob")]
    to: Annotated[
        str, Meta(description="their repository; {repository}, {name} (its last part) and {project} stand for ours")
    ]


class DestinationSection(Section, frozen=True, kw_only=True):
    """One registry that `sallyport deliver` brings up to date."""

    name: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$", description="what it is called here")]
    kind: Annotated[
        str, Meta(description="registry, harbor, quay, nexus, artifactory, or the name of an installed plug-in")
    ] = "registry"
    registry: Annotated[str, Meta(description="host, or host:port")]
    prefix: Annotated[
        str, Meta(description="what stands before our repository: a project, an organisation, a repository key")
    ] = ""
    rename: Annotated[
        tuple[RenameSection, ...], Meta(description="the first that fits counts; after it the prefix is not added")
    ] = ()
    what: Annotated[
        Literal["releases", "channel", "everything"],
        Meta(description="newest releases; what the inside's channel names; every tag"),
    ] = "releases"
    api: Annotated[str, Meta(description="address of its management interface; https://registry when left out")] = ""
    token_file: Annotated[
        str,
        Meta(description="file with the token of its management interface; the registry's login when left out"),
    ] = ""
    create: Annotated[
        bool, Meta(description="make missing projects and repositories, and their immutability rules")
    ] = True
    robot: Annotated[
        str, Meta(description="harbor: make a pull-only robot account of this name, and say its secret once")
    ] = ""
    expire: Annotated[Duration | None, Meta(description="quay: how long tags live there")] = None
    layout: Annotated[
        Literal["path", "port", "subdomain"],
        Meta(description="nexus, artifactory: how it tells its repositories apart"),
    ] = "path"
