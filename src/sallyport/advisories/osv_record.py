"""One OSV record -> advisories. Pure. Source: OSV schema 1.7, https://ossf.github.io/osv-schema/."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from datetime import datetime
from itertools import groupby
from typing import Any

import msgspec

from sallyport.advisories.interface import VersionOrder
from sallyport.advisories.model import Advisory, Evidence, Severity
from sallyport.advisories.severity import rate_vector, rate_word, worst
from sallyport.advisories.text import is_name, plain
from sallyport.advisories.versions import Stretch, concerns, order_of
from sallyport.engine import parse_time
from sallyport.errors import MalformedError
from sallyport.oci import parse_json

LIMIT = 16 * 1024 * 1024  # bytes of one record; real ones stay under 2 MiB
NAME = "osv"
_CVE = re.compile(r"CVE-[0-9]{4}-[0-9]{4,19}\Z")
_PREFIXED = re.compile(r"[A-Z]+-(CVE-[0-9]{4}-[0-9]{4,19})\Z")
_INTRODUCED, _FIXED, _LAST = range(3)
_MEND = "the feed is broken there: the other records are used; report it to whoever publishes it"


class _Event(msgspec.Struct, frozen=True):
    introduced: str | None = None
    fixed: str | None = None
    last_affected: str | None = None


class _Range(msgspec.Struct, frozen=True):
    type: str
    events: tuple[_Event, ...] = ()


class _Package(msgspec.Struct, frozen=True):
    ecosystem: str
    name: str


class _Score(msgspec.Struct, frozen=True):
    type: str
    score: str


class _Affected(msgspec.Struct, frozen=True):
    package: _Package | None = None
    ranges: tuple[_Range, ...] | None = None
    versions: tuple[str, ...] | None = None
    severity: tuple[_Score, ...] | None = None
    ecosystem_specific: dict[str, Any] | None = None
    database_specific: dict[str, Any] | None = None


class Record(msgspec.Struct, frozen=True):
    """The parts of a record that sallyport reads."""

    id: str
    modified: str
    withdrawn: str | None = None
    aliases: tuple[str, ...] | None = None
    upstream: tuple[str, ...] | None = None
    summary: str | None = None
    details: str | None = None
    severity: tuple[_Score, ...] | None = None
    affected: tuple[_Affected, ...] | None = None
    database_specific: dict[str, Any] | None = None

    @property
    def modified_at(self) -> datetime:
        """When it last changed."""
        return parse_time(self.modified)


with suppress(msgspec.ValidationError):
    # msgspec prepares a shape when it is first used, and several threads must not do that at once.
    msgspec.convert(None, Record)


def parse_record(raw: bytes, *, what: str) -> Record:
    """Read one record, strictly.

    Raises:
        MalformedError, DuplicateKeyError, OversizeError: it is none.
    """
    value = parse_json(raw, what=what, limit=LIMIT)
    try:
        record = msgspec.convert(value, Record)
    except msgspec.ValidationError as error:
        raise MalformedError(f"{what}: {plain(str(error), 200)}", _MEND) from error
    for text in (record.id, *(record.aliases or ()), *(record.upstream or ())):
        if not is_name(text):
            raise MalformedError(f"{what}: {plain(text, 60)!r} is not an identifier", _MEND)
    _ = record.modified_at
    return record


def advisories_of(record: Record, wanted: Mapping[str, AbstractSet[str]]) -> Iterator[Advisory]:
    """What the record says about the packages of ``wanted``: source names by the bill's ecosystem.

    Each vulnerability that it is about gets its own advisory, for each stretch of affected versions.

    Raises:
        MalformedError: a bound of a wanted package is no version of its ecosystem.
    """
    if record.withdrawn is not None:
        return
    ids, others = _identifiers(record)
    evidence = (Evidence(NAME, record.id, plain(record.summary or record.details or "")),)
    for affected in record.affected or ():
        package = affected.package
        if package is None or not is_name(package.name):
            continue
        if not any(package.name in names for release, names in wanted.items() if concerns(package.ecosystem, release)):
            continue
        severity = _severity(record, affected)
        for introduced, fixed, last, versions in _stretches(affected, package.ecosystem):
            for identifier in ids:
                aliases = tuple(item for item in others if item != identifier)
                yield Advisory(
                    identifier,
                    aliases,
                    package.ecosystem,
                    package.name,
                    introduced,
                    fixed,
                    severity,
                    evidence,
                    last,
                    versions,
                )


def ecosystems_of(record: Record) -> frozenset[str]:
    """What the record speaks about, so that a feed without a single word on a release is not taken for a clean one."""
    return frozenset(item.package.ecosystem for item in record.affected or () if item.package is not None)


def _identifiers(record: Record) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The vulnerabilities, and the names that go with all of them."""
    names = dict.fromkeys((record.id, *(record.aliases or ()), *(record.upstream or ())))
    cves = tuple(sorted(name for name in names if _CVE.match(name)))
    prefixed = _PREFIXED.match(record.id)
    if not cves and prefixed is not None:
        cves = (prefixed[1],)
    # An advisory about five vulnerabilities is no alias of one of them; five CVEs are none of each other.
    others = tuple(sorted(name for name in names if name not in cves))
    return (cves, others) if cves else ((record.id,), others)


def _severity(record: Record, affected: _Affected) -> Severity:
    """The first that rates: the distribution for this package, a vector for it, a vector, the database for all."""
    own, database = affected.ecosystem_specific or {}, affected.database_specific or {}
    words = (own.get("urgency"), own.get("severity"), database.get("severity"))
    ratings = [rate_word(word) for word in words]
    ratings += (
        worst(*(rate_vector(score.score) for score in scores or () if score.type == "CVSS_V3"))
        for scores in (affected.severity, record.severity)
    )
    ratings.append(rate_word((record.database_specific or {}).get("severity")))
    return next((rating for rating in ratings if rating is not Severity.UNKNOWN), Severity.UNKNOWN)


_Bounds = tuple[str, str | None, str | None, tuple[str, ...]]


def _stretches(affected: _Affected, ecosystem: str) -> Iterator[_Bounds]:
    order = order_of(ecosystem)
    found: list[tuple[str, str | None, str | None]] = []
    for item in affected.ranges or ():
        if item.type in ("ECOSYSTEM", "SEMVER"):
            found += _pairs(item.events, order, ecosystem)
    rest = affected.versions or ()
    if order is not None:
        held = [Stretch(order, *bounds) for bounds in found]
        # Lists repeat what the ranges say, for readers that cannot compare versions; that is most of the bytes.
        rest = tuple(version for version in rest if is_name(version) and not _held(version, held, order))
    for bounds in found:
        yield (*bounds, ())
    if rest:
        yield "", None, None, tuple(sorted(set(rest)))


def _held(version: str, held: list[Stretch], order: VersionOrder) -> bool:
    try:
        key = order.key(version)
    except MalformedError:
        return False
    return any(stretch.holds(key) for stretch in held)


def _pairs(
    events: tuple[_Event, ...], order: VersionOrder | None, ecosystem: str
) -> list[tuple[str, str | None, str | None]]:
    """Each introduction with what ends it. Events need not stand in order; without a known order they are taken so."""
    flat = [
        (version, kind)
        for event in events
        for version, kind in ((event.introduced, _INTRODUCED), (event.fixed, _FIXED), (event.last_affected, _LAST))
        if version is not None
    ]
    if not any(kind == _INTRODUCED for _, kind in flat):
        raise MalformedError(f"a range of {plain(ecosystem, 60)} introduces nothing", _MEND)
    for version, _ in flat:
        if not is_name(version):
            raise MalformedError(f"{plain(version, 60)!r} is not a version", _MEND)
    keyed: list[tuple[Any, str, int]] = [
        ((index,) if order is None else (-1,) if version == "0" else (0, order.key(version)), version, kind)
        for index, (version, kind) in enumerate(flat)
    ]
    pairs: list[tuple[str, str | None, str | None]] = []
    start: str | None = None
    for _, group in groupby(sorted(keyed, key=lambda item: item[0]), key=lambda item: item[0]):
        at = {kind: version for _, version, kind in group}
        # At one version an end comes before a new beginning ([1, 2) and [2, 3) touch), and what begins
        # and ends there is empty.
        if start is not None and _FIXED in at:
            pairs.append((start, at[_FIXED], None))
            start = at.get(_INTRODUCED)
        elif start is None and _FIXED not in at:
            start = at.get(_INTRODUCED)
        if start is not None and _LAST in at:
            pairs.append((start, None, at[_LAST]))
            start = None
    if start is not None:
        pairs.append((start, None, None))
    return pairs
