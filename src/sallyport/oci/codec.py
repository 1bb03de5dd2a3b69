"""Frozen values to canonical JSON and back, the same way in every room.

A :class:`Digest` becomes its string. Decoding is strict:
duplicate keys, unknown types and missing fields are errors, and the input is bounded.
"""

from __future__ import annotations

from collections.abc import Hashable
from contextlib import suppress
from functools import lru_cache
from pathlib import PurePath
from threading import Lock
from typing import Any, TypeVar, cast

import msgspec

from sallyport.errors import MalformedError, SallyportError
from sallyport.oci.digest import Digest
from sallyport.oci.strict_json import parse_json, render_json

T = TypeVar("T")
# msgspec 0.22 reads a dataclass while another thread is still preparing it, and crashes the process.
_PREPARING = Lock()
_DEFECT = "this is a defect of sallyport: report it"


def _encode_hook(value: object) -> object:
    if isinstance(value, Digest):
        return str(value)
    if isinstance(value, PurePath):  # for showing: nothing that is read back holds a path
        return str(value)
    raise SallyportError(f"{type(value).__name__} has no JSON form", _DEFECT)


def _decode_hook(kind: type[Any], value: object) -> object:
    if kind is not Digest:
        raise SallyportError(f"{kind.__name__} has no JSON form", _DEFECT)
    try:
        return Digest.parse(value if isinstance(value, str) else "")
    except MalformedError as error:
        raise ValueError(error.message) from error  # msgspec says where it stands


@lru_cache(maxsize=256)
def _check_keys(kind: Hashable) -> None:
    """A mapping by digests would come back by strings, without a word from msgspec: refuse such a shape."""
    from msgspec import inspect

    waiting: list[object] = [inspect.type_info(kind)]
    seen: set[int] = set()
    while waiting:
        item = waiting.pop()
        if isinstance(item, tuple):
            waiting.extend(item)
        elif isinstance(item, inspect.DictType) and isinstance(item.key_type, inspect.CustomType):
            raise SallyportError(f"{kind} has a mapping whose keys no JSON can hold", _DEFECT)
        elif isinstance(item, inspect.Type | inspect.Field) and id(getattr(item, "cls", item)) not in seen:
            seen.add(id(getattr(item, "cls", item)))  # a class may hold itself
            waiting.extend(getattr(item, name) for name in item.__struct_fields__)
    with suppress(msgspec.ValidationError):
        msgspec.convert(None, kind, dec_hook=_decode_hook)


def to_builtins(value: object) -> Any:
    """``value`` as dictionaries, lists and strings, for rendering only; sets are sorted."""
    return msgspec.to_builtins(value, enc_hook=_encode_hook, str_keys=True, order="deterministic")


def encode(value: object) -> bytes:
    """``value`` as canonical JSON; equal values give equal bytes."""
    return render_json(to_builtins(value))


def decode(raw: bytes, kind: type[T], *, what: str, limit: int = 256 * 1024 * 1024) -> T:
    """Read ``raw`` as a ``kind``.

    Mappings have strings, numbers, times or enumerations as keys, no digests.

    Raises:
        MalformedError: not JSON, or not of this shape; the message names the field.
        DuplicateKeyError, OversizeError: see :func:`parse_json`.
    """
    with _PREPARING:
        _check_keys(cast("Hashable", kind))
    parsed = parse_json(raw, what=what, limit=limit)
    try:
        return msgspec.convert(parsed, kind, dec_hook=_decode_hook, strict=True, str_keys=True)
    except msgspec.ValidationError as error:
        raise MalformedError(
            f"{what}: {error}", "it was written by another version or tool, or it is damaged: make it again"
        ) from error
