"""What the log of signatures promised beside a classic signature. The log is not asked: the promise is its signature.

Sources: cosign, specs/SIGNATURE_SPEC.md, "bundle"; Rekor, types/hashedrekord and types/dsse 0.0.1.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sallyport.errors import MalformedError, UnsignedError, WrongSignatureError
from sallyport.oci import JSON, parse_json
from sallyport.sign import from_base64
from sallyport.vouch.key import certificate_errors, check_strength, verifies
from sallyport.vouch.root import TrustedRoot, find_log

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

CERTIFICATE = "dev.sigstore.cosign/certificate"
PROMISE = "dev.sigstore.cosign/bundle"
_LIMIT = 1024 * 1024  # characters of an annotation
_MEND = "the signature is broken: fetch it again, or ask its publisher to sign anew"


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the log, whose promise holds."""

    when: datetime
    body: dict[str, JSON]


def certificate_of(annotations: Mapping[str, str]) -> Certificate:
    """The certificate beside a classic signature.

    Raises:
        UnsignedError: there is none.
        MalformedError: it is none, or its key proves nothing.
    """
    text = annotations.get(CERTIFICATE, "")
    if not text:
        raise UnsignedError("it has no certificate; it was made with a key", "use a rule that requires cosign")
    return load_certificate(text)


def load_certificate(text: str) -> Certificate:
    """One certificate in PEM.

    Raises:
        MalformedError: it is none, or its key proves nothing.
    """
    from cryptography.x509 import load_pem_x509_certificate

    try:
        if len(text) > _LIMIT or text.count("-----BEGIN ") != 1:
            raise MalformedError("there is not exactly one certificate beside it", _MEND)
        certificate = load_pem_x509_certificate(text.encode())
        check_strength(certificate.public_key())
    except certificate_errors() as error:
        raise MalformedError("its certificate is broken", _MEND) from error
    return certificate


def promised(annotations: Mapping[str, str], root: TrustedRoot) -> Entry:
    """The entry that a trusted log promised to keep.

    Raises:
        UnsignedError: there is no promise.
        WrongSignatureError: it is by no trusted log.
        MalformedError: it is broken.
    """
    text = annotations.get(PROMISE, "")
    if not text:
        raise UnsignedError("no log of signatures has promised to keep it", "ask its publisher to use the log")
    value = parse_json(text.encode(errors="replace"), what="the log's promise", limit=_LIMIT)
    payload = value.get("Payload") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(payload, dict):
        raise MalformedError("the log's promise has no payload", _MEND)
    body, seconds, index, log_id, promise = (
        *(payload.get(name) for name in ("body", "integratedTime", "logIndex", "logID")),
        value.get("SignedEntryTimestamp"),
    )
    if not isinstance(body, str) or not isinstance(log_id, str) or not isinstance(promise, str):
        raise MalformedError("the log's promise lacks a field", _MEND)
    if type(seconds) is not int or type(index) is not int or not 0 < seconds < 1 << 36:
        raise MalformedError("the log's promise has a wrong number", _MEND)
    when = datetime.fromtimestamp(seconds, tz=UTC)
    log = find_log(root.logs, bytes.fromhex(log_id) if _is_hex(log_id) else b"", when)
    # Source: RFC 8785, for values that have one form anyway.
    signed = json.dumps(
        {"body": body, "integratedTime": seconds, "logID": log_id, "logIndex": index}, separators=(",", ":")
    ).encode()
    if log is None or not verifies(log.key, from_base64(promise, what="the log's promise"), signed):
        raise WrongSignatureError("the promise to keep it is by no trusted log of signatures", _MEND)
    entry = parse_json(from_base64(body, what="the log's entry"), what="the log's entry", limit=_LIMIT)
    if not isinstance(entry, dict):
        raise MalformedError("the log's entry is not an object", _MEND)
    return Entry(when, entry)


def check_signature(entry: Entry, certificate: Certificate, signature: str, data: bytes) -> None:
    """Prove that the entry is of this signature, by this certificate, over ``data``.

    Raises:
        WrongSignatureError: it is of another.
    """
    spec = _spec(entry, "hashedrekord")
    hashed, held = _at(spec, "data", "hash"), _at(spec, "signature")
    key = held.get("publicKey")
    _same(
        (
            hashed.get("algorithm") == "sha256",
            hashed.get("value") == hashlib.sha256(data).hexdigest(),
            held.get("content") == signature,
            isinstance(key, dict) and _is(key.get("content"), certificate),
        )
    )


def check_envelope(entry: Entry, certificate: Certificate, signature: str, payload: bytes) -> None:
    """Prove that the entry is of this envelope, by this certificate.

    Raises:
        WrongSignatureError: it is of another.
    """
    spec = _spec(entry, "dsse")
    hashed, signatures = _at(spec, "payloadHash"), spec.get("signatures")
    first = signatures[0] if isinstance(signatures, list) and len(signatures) == 1 else None
    _same(
        (
            hashed.get("algorithm") == "sha256",
            hashed.get("value") == hashlib.sha256(payload).hexdigest(),
            isinstance(first, dict) and first.get("signature") == signature,
            isinstance(first, dict) and _is(first.get("verifier"), certificate),
        )
    )


def check_by(certificate: Certificate, signature: bytes, data: bytes) -> None:
    """Prove that the certificate's key signed ``data``.

    Raises:
        WrongSignatureError: it did not.
    """
    if not verifies(certificate.public_key(), signature, data):
        raise WrongSignatureError("it is not by its certificate's key, or what it signs was changed", _MEND)


def _spec(entry: Entry, kind: str) -> dict[str, JSON]:
    if (entry.body.get("kind"), entry.body.get("apiVersion")) != (kind, "0.0.1"):
        found = f"{entry.body.get('kind')!s:.40} {entry.body.get('apiVersion')!s:.20}"
        raise WrongSignatureError(f"the log's entry is a {found!r}, not a {kind} 0.0.1", _MEND)
    return _at(entry.body, "spec")


def _at(value: dict[str, JSON], *path: str) -> dict[str, JSON]:
    for name in path:
        below = value.get(name)
        if not isinstance(below, dict):
            raise MalformedError(f"the log's entry has no {name}", _MEND)
        value = below
    return value


def _is(content: JSON, certificate: Certificate) -> bool:
    if not isinstance(content, str):
        return False
    text = from_base64(content, what="the log's certificate").decode("ascii", errors="replace")
    return load_certificate(text) == certificate


def _same(conditions: tuple[bool, ...]) -> None:
    if not all(conditions):
        raise WrongSignatureError("the log's entry is of another signature", _MEND)


def _is_hex(text: str) -> bool:
    return len(text) == 64 and all(letter in "0123456789abcdef" for letter in text)  # noqa: PLR2004 - SHA-256
