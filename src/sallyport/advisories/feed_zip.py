"""Feeds as one zip of OSV records, so that the inside can run its own scan with what the outside knows.

Each vulnerability is one record, readable by any OSV reader; what OSV has no field for (evidence,
the rating, which source said it) stands in ``database_specific``. The member ``feed-metadata`` says
which sources were asked about what, and as of when. Equal feeds give equal bytes.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from sallyport.advisories.model import Advisory, Asked, Evidence, Feed, Severity, tidy
from sallyport.advisories.zip_members import open_members
from sallyport.engine import parse_time, render_time
from sallyport.errors import MalformedError, OversizeError, StorageError
from sallyport.oci import parse_json, render_json

FORMAT = "sallyport-feed/1"
METADATA = "feed-metadata"  # without .json: OSV readers take every such member for a record
SCHEMA = "1.7.3"
LIMIT = 1024 * 1024 * 1024  # bytes of the zip
_RECORD_LIMIT = 16 * 1024 * 1024  # bytes of one member
_TOTAL = 4 * 1024 * 1024 * 1024  # bytes of all of them
_PREFIX = "x_sallyport-"  # these are sallyport's records, not the CVE list's or a distribution's
_EPOCH = (1980, 1, 1, 0, 0, 0)  # a zip knows nothing earlier
_CVE = re.compile(r"CVE-[0-9]{4}-[0-9]{4,19}\Z")
_MEND = "the feed is broken or from another version: take it from the bundle again, or carry a new one"


class _Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    source: str
    as_of: str
    asked: tuple[tuple[str, str, str], ...]
    problems: tuple[str, ...]


class _Metadata(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: str
    records: int
    sources: tuple[_Source, ...]


class _Exact(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An advisory as it was; the fields of OSV beside it are for other readers."""

    source: int  # index into the metadata's sources
    id: str
    aliases: tuple[str, ...]
    introduced: str
    fixed: str | None
    last_affected: str | None
    severity: Severity
    evidence: tuple[Evidence, ...]


class _Package(msgspec.Struct, frozen=True):
    ecosystem: str
    name: str


class _Specific(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    sallyport: _Exact


class _Affected(msgspec.Struct, frozen=True):
    package: _Package
    database_specific: _Specific
    versions: tuple[str, ...] = ()


class _Record(msgspec.Struct, frozen=True):
    id: str
    affected: tuple[_Affected, ...]


def export_feed(feeds: Sequence[Feed]) -> bytes:
    """The zip. :func:`read_feed` gives ``feeds`` back, exactly, where their advisories are in order."""
    records: dict[str, list[tuple[int, Advisory]]] = {}
    for index, feed in enumerate(feeds):
        for advisory in feed.advisories:
            records.setdefault(advisory.id, []).append((index, advisory))
    newest = max((feed.as_of for feed in feeds), default=datetime(1980, 1, 1, tzinfo=UTC))
    metadata = {
        "format": FORMAT,
        "records": len(records),
        "sources": [
            {
                "source": feed.source,
                "as_of": feed.as_of.astimezone(UTC).isoformat(),
                "asked": [[item.ecosystem, item.package, item.since] for item in feed.asked],
                "problems": list(feed.problems),
            }
            for feed in feeds
        ],
    }
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        _add(archive, METADATA, metadata)
        for identifier in sorted(records):
            _add(archive, f"{quote(identifier, safe='')}.json", _record(identifier, records[identifier], newest))
    return sink.getvalue()


def _add(archive: zipfile.ZipFile, name: str, value: object) -> None:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.create_system, info.external_attr, info.compress_type = 3, 0o644 << 16, zipfile.ZIP_DEFLATED
    archive.writestr(info, render_json(value))


def _record(identifier: str, found: list[tuple[int, Advisory]], modified: datetime) -> dict[str, Any]:
    aliases = sorted({alias for _, advisory in found for alias in advisory.aliases})
    record: dict[str, Any] = {
        "schema_version": SCHEMA,
        "id": f"{_PREFIX}{identifier}",
        "modified": render_time(modified),
        "upstream": [identifier],
        "related": aliases,
        "affected": [_affected(index, advisory) for index, advisory in found],
    }
    texts = [item.text for _, advisory in found for item in advisory.evidence if item.text]
    if texts:
        record["details"] = texts[0]
    return record


def _affected(index: int, advisory: Advisory) -> dict[str, Any]:
    result: dict[str, Any] = {
        "package": {"ecosystem": advisory.ecosystem, "name": advisory.package},
        "database_specific": {
            "sallyport": {
                "source": index,
                "id": advisory.id,
                "aliases": list(advisory.aliases),
                "introduced": advisory.introduced,
                "fixed": advisory.fixed,
                "last_affected": advisory.last_affected,
                "severity": advisory.severity.value,
                "evidence": [
                    {"source": item.source, "reference": item.reference, "text": item.text}
                    for item in advisory.evidence
                ],
            }
        },
    }
    if advisory.introduced:
        events = [{"introduced": advisory.introduced}]
        if advisory.fixed is not None:
            events.append({"fixed": advisory.fixed})
        elif advisory.last_affected is not None:
            events.append({"last_affected": advisory.last_affected})
        result["ranges"] = [{"type": "ECOSYSTEM", "events": events}]
    if advisory.versions:
        result["versions"] = list(advisory.versions)
    return result


def read_feed(source: bytes | Path) -> tuple[Feed, ...]:
    """The feeds of a zip that :func:`export_feed` wrote; all of them or an error.

    Verify whose it is before: this reads, it does not trust.

    Raises:
        MalformedError: a member that is missing, broken, foreign or there twice.
        OversizeError: larger than any honest feed.
    """
    try:
        size = len(source) if isinstance(source, bytes) else source.stat().st_size
    except OSError as error:
        raise StorageError(f"cannot read the feed {source!s}: {error.strerror}", "name an existing file") from error
    if size > LIMIT:
        raise OversizeError(f"the feed has {size} bytes; the limit is {LIMIT}", _MEND)
    metadata: _Metadata | None = None
    found: list[list[Advisory]] = []
    seen: set[str] = set()
    opened = io.BytesIO(source) if isinstance(source, bytes) else source
    with open_members(opened, member_limit=_RECORD_LIMIT, total=_TOTAL) as members:
        for name, raw in members:
            if not isinstance(raw, bytes):
                raise type(raw)(f"the feed's member {name!r}: {raw.message}", _MEND)
            if name in seen:
                raise MalformedError(f"the feed holds {name!r} twice", _MEND)
            seen.add(name)
            if metadata is None:
                metadata = _read_metadata(name, raw)
                found = [[] for _ in metadata.sources]
                continue
            for index, advisory in _read_record(name, raw):
                if not 0 <= index < len(found):
                    raise MalformedError(f"the feed's record {name!r} is by an unknown source", _MEND)
                found[index].append(advisory)
    if metadata is None or metadata.records != len(seen) - 1:
        raise MalformedError(f"the feed holds {max(0, len(seen) - 1)} records, not as many as it says", _MEND)
    return tuple(
        Feed(
            item.source,
            parse_time(item.as_of),
            tidy(advisories),
            tuple(Asked(*names) for names in item.asked),
            item.problems,
        )
        for item, advisories in zip(metadata.sources, found, strict=True)
    )


def _read_metadata(name: str, raw: bytes) -> _Metadata:
    if name != METADATA:
        raise MalformedError(f"the feed does not begin with {METADATA}", _MEND)
    metadata: _Metadata = _convert(raw, _Metadata, METADATA)
    if metadata.format != FORMAT:
        raise MalformedError(f"the feed's format is {metadata.format[:40]!r}, not {FORMAT!r}", _MEND)
    return metadata


def _read_record(name: str, raw: bytes) -> list[tuple[int, Advisory]]:
    record: _Record = _convert(raw, _Record, name)
    result: list[tuple[int, Advisory]] = []
    for affected in record.affected:
        exact = affected.database_specific.sallyport
        if record.id != f"{_PREFIX}{exact.id}" or name != f"{quote(exact.id, safe='')}.json":
            raise MalformedError(f"the feed's record {name!r} is about {exact.id[:60]!r}", _MEND)
        result.append(
            (
                exact.source,
                Advisory(
                    exact.id,
                    exact.aliases,
                    affected.package.ecosystem,
                    affected.package.name,
                    exact.introduced,
                    exact.fixed,
                    exact.severity,
                    exact.evidence,
                    exact.last_affected,
                    affected.versions,
                ),
            )
        )
    return result


def _convert(raw: bytes, kind: Any, name: str) -> Any:
    value = parse_json(raw, what=f"the feed's member {name!r}", limit=_RECORD_LIMIT)
    try:
        return msgspec.convert(value, kind, strict=True)
    except msgspec.ValidationError as error:
        raise MalformedError(f"the feed's member {name!r}: {str(error)[:200]}", _MEND) from error
