"""The journal's chain: each line's digest covers the line and the digest of the one before it.

The chain shows a line that was changed, moved or taken out; the head, kept beside it, shows lines
that were cut off at the end. Who can rewrite the whole file can rewrite both: a receipt or a
report that was carried away names a digest that such a file no longer has.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sallyport.engine import parse_time, render_time
from sallyport.errors import DamagedError, MalformedError
from sallyport.oci import Digest, parse_json, render_json
from sallyport.store.model import Event

GENESIS = Digest("sha256", "0" * 64)
"""What the first line names as its previous one."""
_MEND = "keep the file as evidence, find out who changed it, and restore it from a backup"


def seal(*, sequence: int, at: datetime, verb: str, subject: str, detail: Mapping[str, str], previous: Digest) -> Event:
    """A line with its digest, which is over canonical JSON so that other programs can recompute it."""
    line: dict[str, Any] = {
        "sequence": sequence,
        "at": render_time(at),
        "verb": verb,
        "subject": subject,
        "detail": dict(detail),
        "previous": str(previous),
    }
    whole_seconds = parse_time(render_time(at))
    return Event(sequence, whole_seconds, verb, subject, dict(detail), previous, Digest.of(render_json(line)))


def read_line(row: tuple[Any, ...]) -> Event:
    """A line from its columns; its digest is not proven yet.

    Raises:
        DamagedError: a column does not hold what was written there.
    """
    sequence, at, verb, subject, raw, previous, digest = row
    try:
        detail = parse_json(bytes(raw), what="the detail")
        if not isinstance(detail, dict) or not all(isinstance(value, str) for value in detail.values()):
            raise MalformedError("the detail is not an object of strings", _MEND)
        pairs = {key: str(value) for key, value in detail.items()}
        return Event(sequence, parse_time(at), verb, subject, pairs, Digest.parse(previous), Digest.parse(digest))
    except DamagedError as error:
        raise DamagedError(f"line {sequence} of the journal was changed: {error.message}", _MEND) from error


def verify_chain(lines: Iterable[Event], *, head: tuple[int, str]) -> int:
    """Prove all ``lines``, oldest first; ``head`` is number and digest of the last one known.

    Returns the number of lines.

    Raises:
        DamagedError: names the first line that is missing, changed or out of place.
    """
    count, previous = 0, GENESIS
    for line in lines:
        if line.sequence != count + 1:
            raise DamagedError(f"line {count + 1} of the journal is missing", _MEND)
        if line.previous != previous:
            raise DamagedError(f"line {line.sequence} of the journal does not continue the line before it", _MEND)
        proven = seal(
            sequence=line.sequence,
            at=line.at,
            verb=line.verb,
            subject=line.subject,
            detail=line.detail,
            previous=previous,
        ).digest
        if proven != line.digest or (line.sequence == head[0] and str(proven) != head[1]):
            raise DamagedError(f"line {line.sequence} of the journal was changed", _MEND)
        count, previous = line.sequence, proven
    if count < head[0]:
        raise DamagedError(f"line {count + 1} of the journal is missing; it had {head[0]} lines", _MEND)
    return count
