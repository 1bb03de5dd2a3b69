"""The whole file, and its two sides."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from sallyport.config.access import AccessSection
from sallyport.config.archive import ArchiveSection
from sallyport.config.deliver import DestinationSection
from sallyport.config.discover import DiscoverSection
from sallyport.config.gateway import GatewaySection
from sallyport.config.mirror import MirrorSection, RegistrySection
from sallyport.config.policy import AdvisorySection, PolicySection
from sallyport.config.section import Address, Section
from sallyport.config.storage import RetentionSection, ScrubSection, StorageSection
from sallyport.config.trust import TrustSection

Meta = msgspec.Meta


class OutsideSection(Section, frozen=True, kw_only=True):
    """The connected side."""

    mirror: Annotated[tuple[MirrorSection, ...], Meta(description="what to mirror")] = ()
    discover: Annotated[
        tuple[DiscoverSection, ...], Meta(description="what to mirror because files or a cluster name it")
    ] = ()
    trust: Annotated[
        tuple[TrustSection, ...],
        Meta(description="whose signatures upstream images need; when left out none are asked for"),
    ] = ()
    registries_conf: Annotated[
        str, Meta(description="a registries.conf of container tools (version 2) to reach registries by, too")
    ] = ""
    registries: Annotated[
        tuple[RegistrySection, ...], Meta(description="registries that are reached in another way than by their name")
    ] = ()
    archive: Annotated[ArchiveSection, Meta(description="where packages come from")] = ArchiveSection()
    patch: Annotated[
        Literal["fixes", "everything"],
        Meta(
            description="fixes: the smallest set of newer packages that closes the findings; everything: all newer ones"
        ),
    ] = "fixes"
    approvers: Annotated[
        tuple[str, ...], Meta(description="private key files of the approvers, as many as the root asks for")
    ] = ("keys/targets.key",)
    receipt_key: Annotated[
        str, Meta(description="the inside's public receipt key; only receipts signed by it count")
    ] = "keys/receipt.pub"


class GitopsSection(Section, frozen=True, kw_only=True):
    """The Git repository that rolls images out."""

    repository: Annotated[str, Meta(description="folder of the repository, bare or not; made bare where it is missing")]
    branch: Annotated[str, Meta(description="the branch that gets the commits")] = "main"
    author: Annotated[str, Meta(description="author of the commits: Name <address>")] = (
        "sallyport <sallyport@localhost>"
    )


class InsideSection(Section, frozen=True, kw_only=True):
    """The isolated side."""

    channel: Annotated[str, Meta(description="the tag that promotion moves")] = "stable"
    gitops: Annotated[GitopsSection | None, Meta(description="where digests are pinned; nowhere when left out")] = None
    report: Annotated[str, Meta(description="file of the HTML report")] = "audit.html"


class Config(Section, frozen=True, kw_only=True):
    """The whole file."""

    side: Annotated[
        Literal["outside", "inside"], Meta(description="outside: the connected side; inside: the isolated one")
    ]
    destination: Annotated[
        str,
        Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$", description="name of the isolated site; the same on both sides"),
    ]
    store: Annotated[str, Meta(description="folder of blobs, tags, facts and journal")] = "store"
    cache: Annotated[str, Meta(description="folder of what was fetched from the archive; may be removed")] = "cache"
    keys: Annotated[str, Meta(description="folder of this side's keys; outside with roots/, inside with trust/")] = (
        "keys"
    )
    medium: Annotated[
        str,
        Meta(description="folder, or address of a transport (media:/media/usb0), of bundles one way and receipts back"),
    ] = "medium"
    registry_name: Annotated[
        str, Meta(description="the inside registry's name, as images are pulled; signatures carry it")
    ] = "127.0.0.1:5000"
    listen: Annotated[Address, Meta(description="host:port on which sallyport serve listens")] = "127.0.0.1:5000"
    schedule: Annotated[
        str,
        Meta(description="cron expression in UTC for run --schedule: minute hour day month weekday"),
    ] = ""
    storage: Annotated[StorageSection, Meta(description="where blobs rest")] = StorageSection()
    retention: Annotated[tuple[RetentionSection, ...], Meta(description="which tags gc --retention lets go")] = ()
    scrub: Annotated[ScrubSection | None, Meta(description="read blobs again while serving; not when left out")] = None
    access: Annotated[AccessSection, Meta(description="who may do what at the registry")] = AccessSection()
    gateway: Annotated[GatewaySection, Meta(description="the vetted pull-through: sallyport serve gateway")] = (
        GatewaySection()
    )
    deliver: Annotated[
        tuple[DestinationSection, ...], Meta(description="registries that get what is released: sallyport deliver")
    ] = ()
    policy: Annotated[PolicySection, Meta(description="what may cross")] = PolicySection()
    advisories: Annotated[
        tuple[AdvisorySection, ...],
        Meta(description="sources of advisories; the inside also uses the feeds that crossed"),
    ] = ()
    outside: Annotated[OutsideSection, Meta(description="settings of the connected side")] = OutsideSection()
    inside: Annotated[InsideSection, Meta(description="settings of the isolated side")] = InsideSection()
