"""The profile of TUF metadata that a bundle uses: every field, its type and its bounds. Source: TUF 1.0.31, 4.

python-tuf accepts more (delegations, other hashes, fields it does not know, upper-case hexadecimal); what is
not here is refused, so that no two readers can see two things in one file.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from sallyport.bundle.errors import LongFileError, MalformedMetadataError
from sallyport.errors import MalformedError, OversizeError
from sallyport.oci import parse_json, render_json

METADATA = "metadata"
MARK = "sallyport"
"""The signed field in which ours stand; TUF leaves unknown fields to whoever signs."""
ROOT_LIMIT = 512 * 1024  # bytes; hundreds of keys
TIMESTAMP_LIMIT = 64 * 1024
MAX_ROOTS = 1024  # in one chain: decades of yearly rotation

_Hex64 = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
_Count = Annotated[int, msgspec.Meta(ge=1, le=10**12)]
_Time = Annotated[str, msgspec.Meta(pattern=r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z\Z")]
_Spec = Annotated[str, msgspec.Meta(pattern=r"\A1\.0\.[0-9]{1,3}\Z")]
_Destination = Annotated[str, msgspec.Meta(pattern=r"\A[a-z0-9][a-z0-9-]{0,62}\Z")]
_Signature = Annotated[str, msgspec.Meta(pattern=r"\A(?:[0-9a-f]{2}){8,160}\Z")]


class Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """No field more, none less."""


class SignatureShape(Strict, frozen=True):
    keyid: _Hex64
    sig: _Signature


class Hashes(Strict, frozen=True):
    sha256: _Hex64


class FileShape(Strict, frozen=True):
    length: Annotated[int, msgspec.Meta(ge=0, le=1 << 40)]
    hashes: Hashes


class MetaShape(Strict, frozen=True):
    version: _Count
    length: Annotated[int, msgspec.Meta(ge=0, le=256 * 1024 * 1024)]
    hashes: Hashes


class KeyValue(Strict, frozen=True):
    public: Annotated[str, msgspec.Meta(max_length=1024)]


class KeyShape(Strict, frozen=True):
    keytype: Literal["ecdsa"]
    scheme: Literal["ecdsa-sha2-nistp256"]
    keyval: KeyValue


class RoleShape(Strict, frozen=True):
    keyids: Annotated[tuple[_Hex64, ...], msgspec.Meta(min_length=1, max_length=256)]
    threshold: Annotated[int, msgspec.Meta(ge=1, le=256)]


class Roles(Strict, frozen=True):
    root: RoleShape
    targets: RoleShape
    snapshot: RoleShape
    timestamp: RoleShape


class RootMark(Strict, frozen=True):
    destination: _Destination


class TargetsMark(Strict, frozen=True):
    destination: _Destination
    epoch: Annotated[int, msgspec.Meta(ge=1, le=10**9)]
    root: _Count  # version of the newest root: without it, nobody would miss one that was taken out


class SignedShape(Strict, frozen=True):
    """What the four have in common."""

    spec_version: _Spec
    version: _Count
    expires: _Time

    @property
    def ends(self) -> datetime:
        """When it expires."""
        return datetime.strptime(self.expires, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


class RootSigned(SignedShape, frozen=True):
    type: Literal["root"] = msgspec.field(name="_type")
    consistent_snapshot: bool
    keys: Annotated[dict[_Hex64, KeyShape], msgspec.Meta(max_length=1024)]
    roles: Roles
    mark: RootMark = msgspec.field(name=MARK)


class TargetsSigned(SignedShape, frozen=True):
    type: Literal["targets"] = msgspec.field(name="_type")
    targets: Annotated[dict[str, FileShape], msgspec.Meta(max_length=16)]
    mark: TargetsMark = msgspec.field(name=MARK)


class SnapshotFiles(Strict, frozen=True):
    targets: MetaShape = msgspec.field(name="targets.json")


class SnapshotSigned(SignedShape, frozen=True):
    type: Literal["snapshot"] = msgspec.field(name="_type")
    meta: SnapshotFiles


class TimestampFiles(Strict, frozen=True):
    snapshot: MetaShape = msgspec.field(name="snapshot.json")


class TimestampSigned(SignedShape, frozen=True):
    type: Literal["timestamp"] = msgspec.field(name="_type")
    meta: TimestampFiles


_Signatures = Annotated[tuple[SignatureShape, ...], msgspec.Meta(max_length=512)]


class RootFile(Strict, frozen=True):
    signatures: _Signatures
    signed: RootSigned


class TargetsFile(Strict, frozen=True):
    signatures: _Signatures
    signed: TargetsSigned


class SnapshotFile(Strict, frozen=True):
    signatures: _Signatures
    signed: SnapshotSigned


class TimestampFile(Strict, frozen=True):
    signatures: _Signatures
    signed: TimestampSigned


F = TypeVar("F", RootFile, TargetsFile, SnapshotFile, TimestampFile)
_MEND = "copy the bundle to the medium again; if it happens twice, keep the medium as evidence"


def read_shape(raw: bytes, kind: type[F], *, what: str, limit: int) -> F:
    """Read one metadata file; ``what`` is its path in the bundle.

    Raises:
        LongFileError: over ``limit`` bytes.
        MalformedMetadataError: not strict JSON, not of the profile, or not in the canonical form.
    """
    if len(raw) > limit:
        raise LongFileError(f"{what} has {len(raw)} bytes; the limit is {limit}", _MEND)
    try:
        value: Any = parse_json(raw, what=what, limit=limit, depth=16)
        shape = msgspec.convert(value, kind, strict=True)
        if render_json(value) != raw:
            raise MalformedMetadataError(f"{what} is not in the canonical form", _MEND)
        ends = shape.signed.ends
        order = [signature.keyid for signature in shape.signatures]
    except OversizeError as error:
        raise LongFileError(error.message, error.mend) from error
    except MalformedMetadataError:
        raise
    except (MalformedError, msgspec.ValidationError, ValueError) as error:
        text = str(error)[:200]
        raise MalformedMetadataError(text if what in text else f"{what}: {text}", _MEND) from error
    if order != sorted(set(order)):
        raise MalformedMetadataError(f"{what} does not list each signing key once, in order", _MEND)
    if ends.year < 1970:  # noqa: PLR2004 - before there were clocks to count from
        raise MalformedMetadataError(f"{what} ends in {ends.year}", _MEND)
    return shape
