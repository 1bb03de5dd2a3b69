"""Envelopes around a payload. Source: DSSE 1.0.2, protocol.md and envelope.md."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass

from sallyport.errors import MalformedError, UnsignedError, WrongSignatureError
from sallyport.oci import JSON
from sallyport.sign.interface import Signer
from sallyport.sign.public import PublicKey

IN_TOTO = "application/vnd.in-toto+json"
_MEND = "the statement is broken: fetch it again; twice the same: do not use the image it stands beside"


@dataclass(frozen=True, slots=True)
class Envelope:
    """A payload, what it is, and one signature over both."""

    payload_type: str
    payload: bytes
    signature: bytes

    @classmethod
    def seal(cls, payload_type: str, payload: bytes, signer: Signer) -> Envelope:
        """Sign ``payload`` as a ``payload_type``."""
        return cls(payload_type, payload, signer.sign(pae(payload_type, payload)))

    def signed_by(self, keys: Iterable[PublicKey]) -> PublicKey:
        """The one of ``keys`` that signed.

        Raises:
            WrongSignatureError: none of them.
        """
        return signed_by(self.signature, pae(self.payload_type, self.payload), keys)

    def to_json(self) -> dict[str, JSON]:
        return {
            "payload": to_base64(self.payload),
            "payloadType": self.payload_type,
            "signatures": [{"sig": to_base64(self.signature)}],
        }

    @classmethod
    def from_json(cls, value: JSON, *, what: str) -> Envelope:
        """Read an envelope with exactly one signature, as sigstore's bundle 0.3 demands.

        Raises:
            UnsignedError: no signature.
            MalformedError: several, or a field is missing or of another type.
        """
        if not isinstance(value, dict):
            raise MalformedError(f"{what}: the envelope is not an object", _MEND)
        payload, kind, signatures = value.get("payload"), value.get("payloadType"), value.get("signatures")
        if not isinstance(payload, str) or not isinstance(kind, str) or not isinstance(signatures, list):
            raise MalformedError(f"{what}: the envelope lacks payload, payloadType or signatures", _MEND)
        if not signatures:
            raise UnsignedError(f"{what}: the envelope has no signature", "ask whoever released the image to sign it")
        first = signatures[0]
        signature = first.get("sig") if isinstance(first, dict) else None
        if len(signatures) != 1 or not isinstance(signature, str):
            raise MalformedError(f"{what}: the envelope has not exactly one signature", _MEND)
        return cls(kind, from_base64(payload, what=what), from_base64(signature, what=what))


def pae(payload_type: str, payload: bytes) -> bytes:
    """What is signed: lengths and values, so that type and payload cannot run into each other."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def signed_by(signature: bytes, data: bytes, keys: Iterable[PublicKey]) -> PublicKey:
    """The one of ``keys`` whose ``signature`` over ``data`` this is.

    Raises:
        WrongSignatureError: none of them.
    """
    for key in keys:
        if key.signed(signature, data):
            return key
    raise WrongSignatureError(
        "the signature is by none of the trusted keys, or what it signs was changed",
        "compare the trusted key's fingerprint with the signer's; do not use the image meanwhile",
    )


def to_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def from_base64(text: str, *, what: str) -> bytes:
    """Strict: one text for one value, or a changed last character would pass unnoticed.

    Raises:
        MalformedError: not RFC 4648 base64 with padding, or its unused bits are not zero.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error) as error:
        raise MalformedError(f"{what} is not base64", _MEND) from error
    if to_base64(data) != text:
        raise MalformedError(f"{what} is not base64 in its one proper form", _MEND)
    return data
