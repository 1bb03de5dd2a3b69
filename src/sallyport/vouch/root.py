"""Sigstore's trusted root: whose certificates and logs are believed, and when they were.

Source: sigstore protobuf-specs, sigstore_trustroot.proto, in its JSON form.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sallyport.errors import MalformedError, SallyportError
from sallyport.oci import JSON, parse_json

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
    from cryptography.x509 import Certificate

_LIMIT = 4 * 1024 * 1024  # bytes; the public one has 7,000
_MEND = "give the trusted_root.json of the sigstore that signed; `cosign trusted-root create` writes one"


@dataclass(frozen=True, slots=True)
class Span:
    """From when to when something was in use; both ends belong to it."""

    start: datetime | None
    end: datetime | None

    def covers(self, when: datetime) -> bool:
        return (self.start is None or self.start <= when) and (self.end is None or when <= self.end)


@dataclass(frozen=True, slots=True)
class Authority:
    """Who makes certificates."""

    chain: tuple[Certificate, ...]  # the root last
    span: Span


@dataclass(frozen=True, slots=True)
class Log:
    """Who keeps a log, of signatures or of certificates."""

    id: bytes
    key: PublicKeyTypes
    span: Span


@dataclass(frozen=True, slots=True)
class TrustedRoot:
    """What is believed about one sigstore."""

    raw: bytes
    authorities: tuple[Authority, ...]
    logs: tuple[Log, ...]  # of signatures: Rekor
    certificate_logs: tuple[Log, ...]

    @classmethod
    def parse(cls, raw: bytes) -> TrustedRoot:
        """Read one.

        Raises:
            MalformedError: it is none, or names no authority or no log.
        """
        try:
            value = parse_json(raw, what="the trusted root", limit=_LIMIT)
            if not isinstance(value, dict) or not str(value.get("mediaType", "")).startswith(
                "application/vnd.dev.sigstore.trustedroot"
            ):
                raise MalformedError("that is not a sigstore trusted root", _MEND)
            authorities = tuple(_authority(item) for item in _list(value, "certificateAuthorities"))
            logs = tuple(_log(item) for item in _list(value, "tlogs"))
            certificate_logs = tuple(_log(item) for item in _list(value, "ctlogs"))
        except SallyportError:
            raise
        except (ValueError, TypeError, AttributeError, KeyError, binascii.Error) as error:
            raise MalformedError(f"the trusted root is broken: {str(error)[:120]}", _MEND) from error
        if not (authorities and logs and certificate_logs):
            raise MalformedError("the trusted root names no certificate authority, or no log", _MEND)
        return cls(raw, authorities, logs, certificate_logs)


def find_log(logs: tuple[Log, ...], key_id: bytes, when: datetime) -> Log | None:
    """The log of that id, if it was in use then."""
    return next((log for log in logs if log.id == key_id and log.span.covers(when)), None)


def _authority(item: dict[str, JSON]) -> Authority:
    from cryptography.x509 import load_der_x509_certificate

    chain = item["certChain"]
    if not isinstance(chain, dict):
        raise MalformedError("an authority in the trusted root has no chain", _MEND)
    certificates = [load_der_x509_certificate(_bytes(one["rawBytes"])) for one in _list(chain, "certificates")]
    if not certificates:
        raise MalformedError("an authority in the trusted root has no certificates", _MEND)
    return Authority(tuple(certificates), _span(item.get("validFor")))


def _log(item: dict[str, JSON]) -> Log:
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    key, identifier = item["publicKey"], item["logId"]
    if not isinstance(key, dict) or not isinstance(identifier, dict):
        raise MalformedError("a log in the trusted root has no key", _MEND)
    return Log(_bytes(identifier["keyId"]), load_der_public_key(_bytes(key["rawBytes"])), _span(key.get("validFor")))


def _span(value: JSON) -> Span:
    if not isinstance(value, dict):
        return Span(None, None)
    return Span(_time(value.get("start")), _time(value.get("end")))


def _time(value: JSON) -> datetime | None:
    if value is None:
        return None
    when = datetime.fromisoformat(str(value))
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def _bytes(value: JSON) -> bytes:
    return b64decode(str(value), validate=True)


def _list(value: dict[str, JSON], name: str) -> list[dict[str, JSON]]:
    items = value.get(name) or []
    if not isinstance(items, list):
        raise MalformedError(f"{name} in the trusted root is not a list", _MEND)
    return [item for item in items if isinstance(item, dict)]
