"""Others' public keys, of every kind that cosign makes and takes.

Our own releases stay with ECDSA P-256 alone: see ``sign.PublicKey``. Sources: cosign, KEYS.md; sigstore's
algorithm registry, "Classic" part; NIST SP 800-131A rev. 2 (RSA from 2,048 bits on).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from sallyport.errors import MalformedError, WrongSignatureError
from sallyport.vouch.ed25519ph import verifies_prehashed

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

_LIMIT = 16 * 1024  # characters; RSA 4096 in PEM has 800
_RSA = range(2048, 8193)  # bits; above, a signature costs whoever checks it too much
_MEND = "give the PEM file of a public key: ECDSA P-256, P-384 or P-521, Ed25519, or RSA from 2048 bits on"


@dataclass(frozen=True, slots=True)
class UpstreamKey:
    """A public key of others; ``pem`` is brought to the one form, so equal keys are equal values."""

    pem: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "pem", _load(self.pem)[1])

    @property
    def id(self) -> str:
        """SHA-256 of the SubjectPublicKeyInfo, in hexadecimal, as cosign shows it."""
        return _load(self.pem)[2]

    def signed(self, signature: bytes, data: bytes) -> bool:
        """Whether ``signature`` is this key's over ``data``."""
        return verifies(_load(self.pem)[0], signature, data)


def signer_of(signature: bytes, data: bytes, keys: Iterable[UpstreamKey]) -> UpstreamKey:
    """The one of ``keys`` whose ``signature`` over ``data`` this is.

    Raises:
        WrongSignatureError: none of them.
    """
    for key in keys:
        if key.signed(signature, data):
            return key
    raise WrongSignatureError(
        "it is by none of the trusted keys, or what it signs was changed",
        "compare the trusted key with the one that the publisher names",
    )


def verifies(key: PublicKeyTypes, signature: bytes, data: bytes) -> bool:
    """Whether ``signature`` over ``data`` is by ``key``, in one of the ways that cosign signs with its kind."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512

    # The curve decides the least digest; cosign signs with SHA-256 for each, and bundles with the curve's own.
    for algorithm in (SHA256(), SHA384(), SHA512()):
        try:
            match key:
                case EllipticCurvePublicKey():
                    key.verify(signature, data, ECDSA(algorithm))
                case Ed25519PublicKey():
                    if not verifies_prehashed(key.public_bytes_raw(), signature, data):
                        key.verify(signature, data)
                case RSAPublicKey():
                    try:
                        key.verify(signature, data, PKCS1v15(), algorithm)
                    except InvalidSignature:
                        key.verify(signature, data, PSS(MGF1(algorithm), PSS.AUTO), algorithm)
                case _:
                    return False
        except InvalidSignature:
            continue
        return True
    return False


@lru_cache(maxsize=256)
def _load(pem: str) -> tuple[PublicKeyTypes, str, str]:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

    if len(pem) > _LIMIT or pem.count("-----BEGIN ") > 1:
        # Two keys in one file are two readers' two answers.
        raise MalformedError("a public key's PEM is too long, or holds more than one key", _MEND)
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise MalformedError("that is not a public key in PEM", _MEND) from error
    check_strength(key)
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    text = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    return key, text, hashlib.sha256(der).hexdigest()


def certificate_errors() -> tuple[type[Exception], ...]:
    """What the library raises of a stranger's certificate; it reads many parts only when they are asked for."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.x509 import DuplicateExtension, ExtensionNotFound, InvalidVersion, UnsupportedGeneralNameType

    return (
        ValueError,
        UnsupportedAlgorithm,
        DuplicateExtension,
        ExtensionNotFound,
        InvalidVersion,
        UnsupportedGeneralNameType,
    )


def check_strength(key: PublicKeyTypes) -> None:
    """Refuse kinds and sizes that prove nothing.

    Raises:
        MalformedError: neither ECDSA on a NIST curve, nor Ed25519, nor RSA of a sound size.
    """
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1, SECP521R1, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    match key:
        case EllipticCurvePublicKey() if isinstance(key.curve, SECP256R1 | SECP384R1 | SECP521R1):
            return
        case Ed25519PublicKey():
            return
        case RSAPublicKey() if key.key_size in _RSA:
            return
        case _:
            raise MalformedError("a public key is of a kind or size that is not taken for signatures", _MEND)
