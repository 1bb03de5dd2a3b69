"""Takes a site and the name of a destination -> gives what is there now that was not before.

What goes is decided here (releases, what the channel names, or everything), how it goes in the room ``deliver``.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from sallyport import steps
from sallyport.bundle import Released
from sallyport.config import DestinationSection, duration
from sallyport.deliver import (
    Attachment,
    Delivered,
    Destination,
    Item,
    Made,
    Rename,
    Settings,
    deliver,
    make_destination,
)
from sallyport.errors import ConfigError, UsageError
from sallyport.gate import Passed
from sallyport.ledger import Ledger
from sallyport.oci import walk
from sallyport.registry import http_for, is_loopback, load_credentials
from sallyport.sign import attached
from sallyport.site import Site
from sallyport.store import State


@dataclass(frozen=True, slots=True)
class Delivery:
    """What one destination got, or would get."""

    destination: str
    images: tuple[Delivered, ...]
    made: tuple[Made, ...]
    dry_run: bool

    @property
    def failed(self) -> tuple[Delivered, ...]:
        return tuple(one for one in self.images if one.state == "failed")


@dataclass(frozen=True, slots=True)
class UploadSessions:
    """Where uploads were begun, kept among the facts: a killed delivery is continued in the middle of a blob."""

    state: State

    def begun(self, key: str) -> str:
        return (self.state.fact("upload", key) or b"").decode()

    def remember(self, key: str, url: str) -> None:
        self.state.put_fact("upload", key, url.encode())

    def forget(self, key: str) -> None:
        self.state.delete_fact("upload", key)

    def forget_all(self, hosts: Collection[str]) -> None:
        """Nothing is under way at these hosts: what a kill left behind after the last byte is of no use."""
        for key, _ in [*self.state.facts("upload")]:
            if key.partition("/")[0] in hosts:
                self.forget(key)


def deliver_all(site: Site, *, name: str = "", dry_run: bool = False) -> tuple[Delivery, ...]:
    """Bring each configured destination, or the one called ``name``, up to date.

    Raises:
        UsageError: no destination is called so.
        ConfigError: none is configured, or its settings do not fit it.
        DeniedError, UnreachableError: its management interface does not let us make what images need.
    """
    sections = site.config.deliver
    if not sections:
        raise ConfigError("no destination is configured", "add one to deliver: in sallyport.yaml")
    wanted = [section for section in sections if name in ("", section.name)]
    if not wanted:
        raise UsageError(
            f"no destination is called {name[:60]!r}", f"name one of: {', '.join(one.name for one in sections)}"
        )
    return tuple(_deliver_one(site, section, dry_run=dry_run) for section in wanted)


def _deliver_one(site: Site, section: DestinationSection, *, dry_run: bool) -> Delivery:
    settings = _settings(site, section)
    login = load_credentials(settings.registry).login(settings.registry)
    # The management interface has the certificates and the proxy of its registry.
    *_, route = site.reach().routes(settings.registry, "a", by_digest=True)
    place = replace(route.endpoint, location=urlsplit(settings.api).netloc or settings.registry)
    sessions = UploadSessions(site.store.state)
    with (
        http_for(place) as http,
        site.clients(sessions=sessions) as client_for,
        # The lease keeps the collector out while blobs are read.
        site.store.lease(),
    ):
        destination = make_destination(settings, http, login)
        items = _items(site, section)
        names = destination.names(sorted({item.repository for item in items}))
        made = destination.prepare(sorted(set(names.values())), dry_run=dry_run) if names else ()
        images = deliver(
            client_for(destination.registry),
            names,
            items,
            site.store.blobs,
            dry_run=dry_run,
            absent={name for thing in made for name in thing.repositories},
            progress=site.progress,
            executor=site.executor,
        )
        if not dry_run:
            made += _finish(site, destination, items, images, dict(names))
    if not dry_run and not any(one.state == "failed" for one in images):
        sessions.forget_all({destination.registry, route.endpoint.host})
    for one in images:
        if one.state == "sent":
            detail = {"destination": section.name, "there": one.reference, "bytes": str(one.bytes)}
            site.store.state.append("delivered", f"{one.name}@{one.digest}", detail)
    return Delivery(section.name, images, made, dry_run)


def _finish(
    site: Site, destination: Destination, items: Sequence[Item], images: Sequence[Delivered], names: dict[str, str]
) -> tuple[Made, ...]:
    new = {one.name for one in images if one.state == "sent"}
    pushed = [(names[item.repository], tag) for item in items if item.name in new for tag in item.tags]
    return destination.finish(pushed, now=site.clock.now())


def _settings(site: Site, section: DestinationSection) -> Settings:
    token = ""
    if section.token_file:
        path = site.path(section.token_file)
        try:
            token = path.read_text(encoding="utf-8")[:65536].strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"cannot read the token of {section.name}: {path}", "write the token into that file, and nothing else"
            ) from error
        if not token or not token.isascii() or not token.isprintable():
            raise ConfigError(f"{path} holds no token", "write the token into that file, and nothing else")
    return Settings(
        section.name,
        section.kind,
        section.registry,
        section.prefix.strip("/"),
        tuple(Rename(rule.images, rule.to) for rule in section.rename),
        section.api,
        section.create,
        section.robot,
        duration(section.expire) if section.expire else None,
        section.layout,
        token,
        is_loopback(section.registry),
    )


def _items(site: Site, section: DestinationSection) -> tuple[Item, ...]:
    if section.what == "everything":
        return _everything(site)
    ledger = Ledger(site.store.state)
    if section.what == "channel":
        return _channel(site)
    return tuple(
        _item(site, released.repository, (released.tag,), released)
        for released in steps.newest_releases(ledger)
        # What would not pass today is not carried to the inside, and not delivered either.
        if site.config.side == "inside"
        or isinstance(ledger.verdict(released.repository, released.descriptor.digest), Passed)
    )


def _channel(site: Site) -> tuple[Item, ...]:
    releases = Ledger(site.store.state).releases()
    items: dict[tuple[str, str], Item] = {}
    for released in releases:
        channel = steps.channel_of(released, site.config.inside.channel, releases)
        tag = site.store.state.tag(released.repository, channel)
        if tag is not None and tag.descriptor.digest == released.descriptor.digest:
            items[released.repository, channel] = _item(site, released.repository, (released.tag, channel), released)
    return tuple(items.values())


def _everything(site: Site) -> tuple[Item, ...]:
    state = site.store.state
    items: list[Item] = []
    for repository in state.repositories():
        found = [Released(repository, tag.name, tag.descriptor, "") for tag in state.tags(repository)]
        images = [one for one in found if not one.tag.startswith("sha256-")]
        made = [_item(site, repository, (one.tag,), one) for one in images]
        gone = {attachment.tag for item in made for attachment in item.attached}
        # A signature whose image has no tag is delivered under its own.
        left = [one for one in found if one.tag.startswith("sha256-") and one.tag not in gone]
        items += [*made, *(Item(repository, (one.tag,), one.descriptor) for one in left)]
    return tuple(items)


def _item(site: Site, repository: str, tags: tuple[str, ...], released: Released) -> Item:
    """With everything that is attached now, to it and to each manifest below it."""
    subjects = dict.fromkeys(below.digest for below, _ in walk(site.store.blobs, released.descriptor))
    found: dict[tuple[str, str], Attachment] = {}
    for subject in subjects:
        for one in attached(site.store, repository, subject):
            found[str(one.descriptor.digest), one.tag] = Attachment(one.descriptor, subject, one.tag)
    return Item(repository, tags, released.descriptor, tuple(found.values()))
