"""Reads a store's tags, facts and journal into one report; changes nothing.

A fact that is not there is shown as not there. A fact that cannot be read is a problem of the
report, because a report that breaks on the first damage hides all the other news.
"""

from __future__ import annotations

import contextlib
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from sallyport.audit.model import ImageReport, JournalReport, PlatformReport, Report, SourceReport
from sallyport.bundle import Receipt, Released
from sallyport.catalog import Bill
from sallyport.errors import DamagedError, SallyportError
from sallyport.gate import Verdict
from sallyport.match import Scan
from sallyport.oci import Descriptor, Digest, Index, decode, load_images, load_manifest
from sallyport.store import Event, Store, Tag

T = TypeVar("T")
RELEASE_TAG = re.compile(r"(?P<stem>.+)-(?P<day>[0-9]{8})\.(?P<number>[0-9]{1,6})\Z")
_ATTACHED_TAG = re.compile(r"sha(256|512)-[0-9a-f]{64,128}(\.[a-z]+)?\Z")  # cosign's signatures, the referrers fallback


@dataclass(frozen=True, slots=True)
class _Upstream:
    """What the report needs of the fact "candidate"."""

    repository: str
    tag: str
    reference: str


@dataclass(frozen=True, slots=True)
class _Candidate:
    upstream: _Upstream
    descriptor: Descriptor


@dataclass(slots=True)
class _Found:
    """An image before its platforms are read."""

    repository: str
    tag: str
    descriptor: Descriptor
    state: str
    at: datetime | None
    upstream: str
    channels: list[str] = field(default_factory=list)


def look(store: Store, *, title: str, now: datetime, lines: int = 200) -> Report:
    """The state of ``store`` now, with the journal's last ``lines`` lines."""
    return _Look(store, now).report(title, lines)


class _Look:
    def __init__(self, store: Store, now: datetime) -> None:
        self._store, self._now = store, now
        self._problems: list[str] = []

    def report(self, title: str, lines: int) -> Report:
        journal, seen = self._journal(lines)
        found = self._images(seen)
        newest = _newest(found)
        current: list[tuple[_Found, str]] = []
        old: list[tuple[_Found, str]] = []
        for image in found:
            newer = newest.get((image.repository, _stem(image.tag)), image.tag)
            (current if newer == image.tag or image.channels else old).append((image, newer))
        images = tuple(self._image(image, newer) for image, newer in current)
        return Report(
            title,
            self._now,
            images,
            tuple(self._image(image, newer) for image, newer in old),
            self._sources(images),
            tuple(sorted(self._facts("receipt", Receipt), key=lambda receipt: receipt.position, reverse=True)),
            journal,
            tuple(self._problems),
        )

    # --- facts --------------------------------------------------------------------------------

    def _read(self, kind: str, key: str, body: bytes, shape: Any) -> Any:
        try:
            return decode(body, shape, what=f"the {kind} of {key}")
        except DamagedError as error:
            self._problems.append(error.message)
            return None

    def _fact(self, kind: str, key: Digest | str, shape: Any) -> Any:
        body = self._store.state.fact(kind, str(key))
        return None if body is None else self._read(kind, str(key), body, shape)

    def _facts(self, kind: str, shape: type[T]) -> list[T]:
        values = (self._read(kind, key, body, shape) for key, body in self._store.state.facts(kind))
        return [value for value in values if value is not None]

    # --- images -------------------------------------------------------------------------------

    def _images(self, seen: dict[str, datetime]) -> list[_Found]:
        """Releases, imported tags, candidates and mirrored tags, each image once."""
        found: dict[tuple[str, str], _Found] = {}
        for released in self._facts("release", Released):
            at = seen.get(f"{released.repository}:{released.tag}")
            found[released.repository, released.tag] = _Found(
                released.repository, released.tag, released.descriptor, "released", at, released.upstream
            )
        movable: list[Tag] = []
        for tag in self._tags():
            known = found.get((tag.repository, tag.name))
            if known is not None:
                known.at = known.at or tag.set_at
            elif tag.immutable:
                found[tag.repository, tag.name] = _Found(
                    tag.repository, tag.name, tag.descriptor, "imported", tag.set_at, ""
                )
            else:
                movable.append(tag)
        names = {(image.repository, image.descriptor.digest) for image in found.values()}
        stems = {(image.repository, _stem(image.tag)) for image in found.values()}
        for candidate in self._facts("candidate", _Candidate):
            key = (candidate.upstream.repository, candidate.upstream.tag)
            stems.add(key)
            if (key[0], candidate.descriptor.digest) not in names:
                found[key] = _Found(*key, candidate.descriptor, "candidate", None, candidate.upstream.reference)
        for tag in movable:
            same = [
                image
                for image in found.values()
                if image.repository == tag.repository and image.descriptor.digest == tag.descriptor.digest
            ]
            for image in same:
                if image.tag != tag.name:
                    image.channels.append(tag.name)
            if not same and (tag.repository, tag.name) not in stems:
                found[tag.repository, tag.name] = _Found(
                    tag.repository, tag.name, tag.descriptor, "mirrored", tag.set_at, ""
                )
        return sorted(found.values(), key=lambda image: (image.repository, image.tag))

    def _tags(self) -> Iterator[Tag]:
        for repository in self._store.state.repositories():
            for tag in self._store.state.tags(repository):
                if not _ATTACHED_TAG.match(tag.name):
                    yield tag

    def _image(self, image: _Found, newer: str) -> ImageReport:
        return ImageReport(
            image.repository,
            image.tag,
            image.descriptor.digest,
            image.state,
            image.at,
            image.upstream,
            tuple(sorted(image.channels)),
            "" if newer == image.tag else newer,
            self._fact("verdict", f"{image.repository}@{image.descriptor.digest}", Verdict),
            tuple(self._platform(descriptor, image.repository) for descriptor in self._children(image.descriptor)),
        )

    def _children(self, descriptor: Descriptor) -> tuple[Descriptor, ...]:
        """The images of an index; what was named itself where it is one image, or cannot be read."""
        with contextlib.suppress(SallyportError):
            if images := load_images(self._store.blobs, descriptor):
                return tuple(image.descriptor for image in images)
        # Some platform's bytes are not here: an index may be mirrored in part, or the store is damaged.
        try:
            document = load_manifest(self._store.blobs, descriptor)
        except SallyportError as error:
            self._problems.append(error.message)
            return (descriptor,)
        here = document.manifests if isinstance(document, Index) else (descriptor,)
        return tuple(child for child in here if self._store.blobs.has(child.digest))

    def _platform(self, descriptor: Descriptor, repository: str) -> PlatformReport:
        digest = descriptor.digest
        bill: Bill | None = self._fact("bill", digest, Bill)
        scan: Scan | None = self._fact("scan", digest, Scan)
        known = next((found.platform for found in (scan, bill) if found is not None), descriptor.platform)
        return PlatformReport(
            "" if known is None else str(known),
            digest,
            None if bill is None else len(bill.packages),
            scan,
            self._fact("scan.before", digest, Scan),
            self._fact("verdict", f"{repository}@{digest}", Verdict),
        )

    def _sources(self, images: tuple[ImageReport, ...]) -> tuple[SourceReport, ...]:
        oldest: dict[str, datetime] = {}
        for image in images:
            for platform in image.platforms:
                for source in platform.scan.sources if platform.scan is not None else ():
                    oldest[source.source] = min(source.as_of, oldest.get(source.source, source.as_of))
        return tuple(SourceReport(name, at, max((self._now - at).days, 0)) for name, at in sorted(oldest.items()))

    # --- journal ------------------------------------------------------------------------------

    def _journal(self, limit: int) -> tuple[JournalReport, dict[str, datetime]]:
        """The journal, and when each released tag first appeared in it."""
        recent: deque[Event] = deque(maxlen=max(limit, 0))
        seen: dict[str, datetime] = {}
        count, whole, problem = 0, True, ""
        head: Digest | None = None
        try:
            for event in self._store.state.events():
                count, head = count + 1, event.digest
                recent.append(event)
                if event.verb in {"released", "received", "imported"}:
                    seen.setdefault(event.subject.partition("@")[0], event.at)
            self._store.state.verify_journal()
        except DamagedError as error:
            whole, problem = False, error.message
        return JournalReport(count, whole, problem, head, tuple(reversed(recent))), seen


def _stem(tag: str) -> str:
    """The upstream tag in an immutable one: ``12-slim`` of ``12-slim-20260711.1``."""
    match = RELEASE_TAG.match(tag)
    return match["stem"] if match else tag


def _newest(found: list[_Found]) -> dict[tuple[str, str], str]:
    """The newest immutable tag by repository and upstream tag."""
    best: dict[tuple[str, str], tuple[tuple[str, int], str]] = {}
    for image in found:
        match = RELEASE_TAG.match(image.tag)
        if match is not None and image.state in {"released", "imported"}:
            order = (match["day"], int(match["number"]))
            key = (image.repository, match["stem"])
            if key not in best or best[key][0] < order:
                best[key] = (order, image.tag)
    return {key: tag for key, (_, tag) in best.items()}
