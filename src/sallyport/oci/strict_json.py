"""JSON that two readers cannot read as two things. Source: RFC 8259; RFC 7493 (I-JSON), 2.3."""

from __future__ import annotations

import json
import math
from typing import Any, TypeAlias

from sallyport.errors import DuplicateKeyError, MalformedError, OversizeError

JSON: TypeAlias = "dict[str, JSON] | list[JSON] | str | int | float | bool | None"

MANIFEST_LIMIT = 4 * 1024 * 1024
"""Bytes. Source: OCI distribution-spec 1.1, "Pushing Manifests" (registries should accept 4 MiB)."""

_SURROGATE = b"\\ud"
_MEND = "the source sent a broken document: fetch it again, or report it to whoever made it"


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise DuplicateKeyError(f"the key {key[:60]!r} stands twice in one object", _MEND)
        result[key] = value
    return result


def _constant(name: str) -> None:
    raise MalformedError(f"{name} is not a JSON number", _MEND)


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise MalformedError(f"{text[:20]} is no number that JSON can hold", _MEND)
    return value


def parse_json(raw: bytes, *, what: str, limit: int = MANIFEST_LIMIT, depth: int = 64) -> JSON:
    """Parse ``raw``; ``what`` names it in errors.

    Raises:
        OversizeError: more than ``limit`` bytes, or nested deeper than ``depth``.
        DuplicateKeyError: an object names a key twice.
        MalformedError: not UTF-8, not JSON, NaN or Infinity.
    """
    if len(raw) > limit:
        raise OversizeError(
            f"{what} has {len(raw)} bytes; the limit is {limit}", "refuse it: no honest document is so large"
        )
    try:
        text = raw.decode("utf-8")
        value: JSON = json.loads(text, object_pairs_hook=_pairs, parse_constant=_constant, parse_float=_number)
        if _SURROGATE in raw.lower():
            # An escaped half of a pair is a text that nothing can write down again. Source: RFC 7493, 2.1.
            render_json(value)
        _check_depth(value, what, depth)
    except DuplicateKeyError as error:
        raise DuplicateKeyError(f"{what}: {error.message}", error.mend) from error
    except (UnicodeDecodeError, ValueError, MalformedError) as error:
        raise MalformedError(f"{what} is not valid JSON: {str(error)[:120]}", _MEND) from error
    except RecursionError as error:
        raise OversizeError(f"{what} nests too deep", "refuse it: no honest document nests so deep") from error
    return value


def _check_depth(value: JSON, what: str, depth: int) -> None:
    level: list[JSON] = [value]
    for _ in range(depth):
        below: list[JSON] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
        if not below:
            return
        level = below
    raise OversizeError(f"{what} nests deeper than {depth}", "refuse it: no honest document nests so deep")


def render_json(value: object) -> bytes:
    """Canonical bytes: sorted keys, no spaces, UTF-8; equal values give equal bytes.

    Raises:
        MalformedError: NaN, Infinity, or a text that is not Unicode.
    """
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    except ValueError as error:
        raise MalformedError(f"a value has no JSON form: {str(error)[:120]}", _MEND) from error
