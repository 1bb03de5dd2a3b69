"""Public keys. Source: RFC 5480 (SubjectPublicKeyInfo for elliptic curves), RFC 7468 (PEM)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from sallyport.errors import MalformedError, WrongSignatureError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

_LIMIT = 16 * 1024  # characters; a P-256 key in PEM has 178
_MEND = "give the PEM file of an ECDSA P-256 public key, such as `sallyport key` and `cosign public-key` write"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """An ECDSA P-256 public key; ``pem`` is brought to the one form, so equal keys are equal values."""

    pem: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "pem", _load(self.pem)[1])

    @property
    def der(self) -> bytes:
        """The SubjectPublicKeyInfo."""
        return _load(self.pem)[2]

    @property
    def id(self) -> str:
        """SHA-256 of the SubjectPublicKeyInfo, in hexadecimal; shown to people and used as a hint, never as proof."""
        return hashlib.sha256(self.der).hexdigest()

    def verify(self, signature: bytes, data: bytes) -> None:
        """Prove that ``signature`` (DER) is this key's over ``data``.

        Raises:
            WrongSignatureError: it is not.
        """
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
        from cryptography.hazmat.primitives.hashes import SHA256

        try:
            _load(self.pem)[0].verify(signature, data, ECDSA(SHA256()))
        except InvalidSignature as error:
            raise WrongSignatureError(
                f"a signature is not by the key {self.id[:16]}, or what it signs was changed",
                "do not use what it stands for; fetch it again, and compare the key's fingerprint with its owner",
            ) from error

    def signed(self, signature: bytes, data: bytes) -> bool:
        """Whether :meth:`verify` holds."""
        try:
            self.verify(signature, data)
        except WrongSignatureError:
            return False
        return True


@lru_cache(maxsize=256)
def _load(pem: str) -> tuple[EllipticCurvePublicKey, str, bytes]:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

    if len(pem) > _LIMIT or pem.count("-----BEGIN ") > 1:
        # Two keys in one file are two readers' two answers.
        raise MalformedError("a public key's PEM is too long, or holds more than one key", _MEND)
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise MalformedError("that is not a public key in PEM", _MEND) from error
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
        raise MalformedError("that public key is not ECDSA P-256, the only kind that sallyport uses", _MEND)
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return key, key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(), der
