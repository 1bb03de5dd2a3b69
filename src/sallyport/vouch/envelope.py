"""Notation's signature envelopes, JWS and COSE -> one value; nothing is verified here.

Sources: Notary Project, signature-envelope-jws.md and signature-envelope-cose.md; RFC 7515; RFC 9052, 4.2 to 4.4.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sallyport.errors import MalformedError, OversizeError, SallyportError
from sallyport.oci import JSON, parse_json

JWS = "application/jose+json"
COSE = "application/cose"
PAYLOAD = "application/vnd.cncf.notary.payload.v1+json"
SCHEME, EXPIRY, TIME, AUTHENTIC_TIME = (
    f"io.cncf.notary.{name}" for name in ("signingScheme", "expiry", "signingTime", "authenticSigningTime")
)
_LIMIT = 256 * 1024  # bytes; ones with four RSA certificates and a time stamp have 12,000
_CERTIFICATES = 10
_ALGORITHMS = {-7: "ES256", -35: "ES384", -36: "ES512", -37: "PS256", -38: "PS384", -39: "PS512"}
_MEND = "the signature is broken: fetch it again, or ask its publisher to sign anew"


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a notation signature says; true only when ``signature`` over ``signed`` holds."""

    payload: bytes
    content_type: str
    algorithm: str  # by its name in JWS
    scheme: str
    time: datetime | None
    authentic_time: datetime | None
    expiry: datetime | None
    critical: frozenset[str]
    signed: bytes  # what the signature is over
    signature: bytes
    certificates: tuple[bytes, ...]  # DER, the signer's first; not signed


def parse_envelope(media_type: str, raw: bytes) -> Envelope:
    """Read an envelope.

    Raises:
        MalformedError: it is broken, or of another kind.
        OversizeError: it is too large, or nests too deep.
    """
    if len(raw) > _LIMIT:
        raise OversizeError(f"its envelope has {len(raw)} bytes; the limit is {_LIMIT}", _MEND)
    try:
        if media_type == JWS:
            found = _jws(raw)
        elif media_type == COSE:
            found = _cose(raw)
        else:
            raise MalformedError(f"its envelope is a {media_type[:80]!r}, neither JWS nor COSE", _MEND)
    except SallyportError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, binascii.Error, OverflowError) as error:
        raise MalformedError("its envelope is broken, or lacks a field", _MEND) from error
    if not 0 < len(found.certificates) <= _CERTIFICATES:
        raise MalformedError(f"its envelope does not have 1 to {_CERTIFICATES} certificates", _MEND)
    return found


def _jws(raw: bytes) -> Envelope:
    outer = _object(parse_json(raw, what="its envelope", limit=_LIMIT, depth=16))
    protected, payload = _text(outer["protected"]), _text(outer["payload"])
    header = _object(parse_json(_url(protected), what="its protected header", limit=_LIMIT, depth=16))
    critical, chain = header["crit"], _object(outer["header"])["x5c"]
    if not isinstance(critical, list) or not isinstance(chain, list):
        raise MalformedError("its envelope has no critical headers, or no certificates", _MEND)
    return Envelope(
        payload=_url(payload),
        content_type=_text(header["cty"]),
        algorithm=_text(header["alg"]),
        scheme=_text(header[SCHEME]),
        time=_instant(header.get(TIME)),
        authentic_time=_instant(header.get(AUTHENTIC_TIME)),
        expiry=_instant(header.get(EXPIRY)),
        critical=frozenset(_text(name) for name in critical),
        signed=f"{protected}.{payload}".encode("ascii"),
        signature=_url(_text(outer["signature"])),
        certificates=tuple(base64.b64decode(_text(one), validate=True) for one in chain),
    )


def _cose(raw: bytes) -> Envelope:
    import cbor2

    outer = _cbor(raw)
    if not isinstance(outer, cbor2.CBORTag) or outer.tag != 18 or len(outer.value) != 4:  # noqa: PLR2004 - COSE_Sign1
        raise MalformedError("its envelope is not a COSE_Sign1", _MEND)
    protected, unprotected, payload, signature = outer.value
    if not all(isinstance(part, bytes) for part in (protected, payload, signature)):
        raise MalformedError("its envelope is not a COSE_Sign1", _MEND)
    header = _cbor(protected)
    if not isinstance(header, Mapping) or not isinstance(unprotected, Mapping):
        raise MalformedError("its envelope has no headers", _MEND)
    chain = unprotected[33]  # x5chain: RFC 9360, 2
    chain = [chain] if isinstance(chain, bytes) else list(chain)
    if not all(isinstance(one, bytes) for one in chain):
        raise MalformedError("its envelope has no certificates", _MEND)
    return Envelope(
        payload=payload,
        content_type=_text(header[3]),
        algorithm=_ALGORITHMS.get(header[1], f"COSE algorithm {header[1]!r:.20}"),
        scheme=_text(header[SCHEME]),
        time=_moment(header.get(TIME)),
        authentic_time=_moment(header.get(AUTHENTIC_TIME)),
        expiry=_moment(header.get(EXPIRY)),
        critical=frozenset(_text(name) for name in header[2]),
        signed=cbor2.dumps(["Signature1", protected, b"", payload]),
        signature=signature,
        certificates=tuple(chain),
    )


def _cbor(raw: bytes) -> Any:
    import cbor2

    try:
        return cbor2.loads(
            raw,
            semantic_decoders={35: _refuse},  # a stranger's regular expression would be compiled
            max_depth=8,
            allow_indefinite=False,
            allow_duplicate_keys=False,
        )
    except Exception as error:  # the library has no one error for what strangers make it stumble over
        raise MalformedError("a part of its envelope is not plain CBOR", _MEND) from error


def _refuse(decoder: object, immutable: bool) -> object:  # noqa: FBT001 - the library's call
    raise ValueError(decoder, immutable)


def _object(value: JSON) -> dict[str, JSON]:
    if not isinstance(value, dict):
        raise MalformedError("a part of its envelope is not an object", _MEND)
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise MalformedError("a part of its envelope is not a text", _MEND)
    return value


def _url(text: str) -> bytes:
    """Base64url without padding, in its one form. Source: RFC 7515, 2."""
    data = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if base64.urlsafe_b64encode(data).rstrip(b"=").decode() != text:
        raise MalformedError("a part of its envelope is not base64url in its one proper form", _MEND)
    return data


def _instant(value: JSON) -> datetime | None:
    if value is None:
        return None
    when = datetime.fromisoformat(_text(value))
    if when.tzinfo is None:
        raise MalformedError("a time in its envelope has no zone", _MEND)
    return when.astimezone(UTC)


def _moment(value: object) -> datetime | None:
    """The library makes a datetime of tag 1, the only form that the specification allows."""
    if value is None:
        return None
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise MalformedError("a time in its envelope is not tagged as one", _MEND)
    return value.astimezone(UTC)
