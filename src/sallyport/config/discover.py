"""Images that others name: manifests, charts, Compose files, Dockerfiles, a cluster."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from sallyport.config.section import Section
from sallyport.oci import Platform

Meta = msgspec.Meta


class DiscoverSection(Section, frozen=True, kw_only=True):
    """Mirror what these files, or this cluster, run."""

    source: Annotated[
        str,
        Meta(
            min_length=1,
            description="file or folder; cluster: or cluster:CONTEXT for a running one (needs kubectl); "
            "git:FOLDER#BRANCH for a branch of a repository",
        ),
    ] = msgspec.field(name="from")
    kind: Annotated[
        Literal["auto", "kubernetes", "kustomize", "helm", "compose", "dockerfile", "list"],
        Meta(description="what it is; list: one reference a line; auto looks"),
    ] = "auto"
    values: Annotated[tuple[str, ...], Meta(description="helm: values files")] = ()
    only: Annotated[
        tuple[str, ...], Meta(description="REGISTRY/REPOSITORY globs of what counts; all when left out")
    ] = ()
    platforms: Annotated[tuple[str, ...], Meta(description="such as linux/amd64; all when left out")] = ()
    to: Annotated[str, Meta(description="prefix of our repositories; as upstream's when left out")] = ""

    def parsed_platforms(self) -> tuple[Platform, ...]:
        """As nouns."""
        return tuple(Platform.parse(text) for text in self.platforms)
