"""Frozen values to canonical JSON and back, the same way in every room.

A :class:`Digest` becomes its string. Decoding is strict:
duplicate keys, unknown types and missing fields are errors, and the input is bounded.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from sallyport.errors import MalformedError
from sallyport.oci.digest import Digest
from sallyport.oci.strict_json import parse_json, render_json

T = TypeVar("T")


def _encode_hook(value: object) -> object:
    if isinstance(value, Digest):
        return str(value)
    raise NotImplementedError(f"{type(value).__name__} has no JSON form")


def _decode_hook(kind: type[Any], value: object) -> object:
    if kind is Digest and isinstance(value, str):
        return Digest.parse(value)
    raise NotImplementedError(f"{kind.__name__} has no JSON form")


def to_builtins(value: object) -> Any:
    """``value`` as dictionaries, lists and strings, for rendering only."""
    return msgspec.to_builtins(value, enc_hook=_encode_hook)


def encode(value: object) -> bytes:
    """``value`` as canonical JSON."""
    return render_json(to_builtins(value))


def decode(raw: bytes, kind: type[T], *, what: str, limit: int = 256 * 1024 * 1024) -> T:
    """Read ``raw`` as a ``kind``.

    Raises:
        MalformedError: not JSON, or not of this shape; the message names the field.
        DuplicateKeyError, OversizeError: see :func:`parse_json`.
    """
    parsed = parse_json(raw, what=what, limit=limit)
    try:
        return msgspec.convert(parsed, kind, dec_hook=_decode_hook, strict=True)
    except msgspec.ValidationError as error:
        raise MalformedError(
            f"{what}: {error}", "it was written by another version or tool, or it is damaged: make it again"
        ) from error
