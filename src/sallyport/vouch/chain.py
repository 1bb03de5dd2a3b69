"""Certificates that sign code for years, with an authority that somebody named.

Source: Notary Project, signature-specification.md, "Certificate Requirements"; RFC 5280.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sallyport.errors import MalformedError, UsageError, WrongSignatureError
from sallyport.vouch.key import certificate_errors

if TYPE_CHECKING:
    from cryptography.x509 import Certificate, Name

_MEND = "do not use the image; ask its publisher which certificate signs it"
_DIGESTS = ("sha256", "sha384", "sha512")


def load_roots(pems: Iterable[str]) -> tuple[Certificate, ...]:
    """The certificates that are trusted.

    Raises:
        UsageError: a text holds none, or a broken one.
    """
    from cryptography.x509 import load_pem_x509_certificates

    found: list[Certificate] = []
    for pem in pems:
        try:
            found += load_pem_x509_certificates(pem.encode())
        except ValueError as error:
            raise UsageError("a file of certificates holds none in PEM", "name files with certificates") from error
    return tuple(found)


def parse_subject(text: str) -> Name:
    """A subject such as ``CN=x,O=y``.

    Raises:
        UsageError: it is none.
    """
    from cryptography.x509 import Name, NameOID

    names = {"S": NameOID.STATE_OR_PROVINCE_NAME, "E": NameOID.EMAIL_ADDRESS}
    try:
        found = Name.from_rfc4514_string(text, names)
    except ValueError as error:
        raise UsageError(f"{text[:120]!r} is not a certificate's subject", "write it like CN=x,O=y,C=z") from error
    if not list(found):
        raise UsageError("an empty subject would fit every certificate", "write it like CN=x,O=y,C=z")
    return found


def has_subject(certificate: Certificate, wanted: Sequence[Name]) -> bool:
    """Whether the certificate's subject has all that one of ``wanted`` says."""
    mine = {(one.oid, one.value) for one in certificate.subject}
    return any(all((one.oid, one.value) in mine for one in name) for name in wanted)


def check_chain(
    raw: Sequence[bytes], roots: tuple[Certificate, ...], times: Iterable[datetime]
) -> tuple[Certificate, ...]:
    """Prove the chain, the signer's certificate first, and return it.

    1. Each is issued by the next, the last by itself; one of them is trusted.
    2. Each was in force at each of ``times``.
    3. The first is for signing and nothing else; the others are authorities.

    Raises:
        WrongSignatureError: one of these fails.
        MalformedError: a certificate is broken.
    """
    from cryptography.x509 import load_der_x509_certificate

    try:
        chain = tuple(load_der_x509_certificate(one) for one in raw)
    except certificate_errors() as error:
        raise MalformedError("one of its certificates is broken", _MEND) from error
    for certificate, issuer in zip(chain, (*chain[1:], chain[-1]), strict=True):  # 1
        _check_issued(certificate, issuer)
    if not any(certificate in roots for certificate in chain):
        name = chain[-1].subject.rfc4514_string()[:160]
        raise WrongSignatureError(f"its certificate leads to {name!r}, which no certificate of the rule is", _MEND)
    for when in times:  # 2
        for certificate in chain:
            if not certificate.not_valid_before_utc <= when <= certificate.not_valid_after_utc:
                name = certificate.subject.rfc4514_string()[:160]
                raise WrongSignatureError(f"its certificate {name!r} is not in force on {when:%Y-%m-%d}", _MEND)
    try:
        _check_signer(chain[0])  # 3
        for depth, certificate in enumerate(chain[1:]):
            _check_authority(certificate, depth)
    except certificate_errors() as error:
        raise MalformedError("the extensions of one of its certificates are broken", _MEND) from error
    return chain


def _check_issued(certificate: Certificate, issuer: Certificate) -> None:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

    try:
        digest = certificate.signature_hash_algorithm
        if digest is None or digest.name not in _DIGESTS:
            raise WrongSignatureError("a certificate in its chain is signed by way of a weak or unknown digest", _MEND)
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm) as error:
        name = certificate.subject.rfc4514_string()[:160]
        raise WrongSignatureError(f"its certificate {name!r} is not issued by the next in the chain", _MEND) from error


def _check_signer(certificate: Certificate) -> None:
    from cryptography.x509 import BasicConstraints, ExtendedKeyUsage, KeyUsage
    from cryptography.x509.oid import ExtendedKeyUsageOID

    constraints = _extension(certificate, BasicConstraints)
    usage = _extension(certificate, KeyUsage)
    purposes = _extension(certificate, ExtendedKeyUsage)
    if constraints is not None and constraints.value.ca:
        raise WrongSignatureError("it is by an authority's certificate, not by a signer's", _MEND)
    if usage is None or not usage.critical or not usage.value.digital_signature:
        raise WrongSignatureError("its certificate is not for signatures", _MEND)
    may = usage.value
    if may.key_encipherment or may.data_encipherment or may.key_agreement or may.key_cert_sign or may.crl_sign:
        raise WrongSignatureError("its certificate is for other things than signatures, too", _MEND)
    if purposes is not None:
        excluded = {
            ExtendedKeyUsageOID.SERVER_AUTH,
            ExtendedKeyUsageOID.CLIENT_AUTH,
            ExtendedKeyUsageOID.EMAIL_PROTECTION,
            ExtendedKeyUsageOID.TIME_STAMPING,
            ExtendedKeyUsageOID.OCSP_SIGNING,
        }
        listed = set(purposes.value)
        if ExtendedKeyUsageOID.CODE_SIGNING not in listed or listed & excluded:
            raise WrongSignatureError("its certificate is not for signing code, or not only for that", _MEND)


def _check_authority(certificate: Certificate, below: int) -> None:
    from cryptography.x509 import BasicConstraints, KeyUsage

    constraints = _extension(certificate, BasicConstraints)
    usage = _extension(certificate, KeyUsage)
    name = certificate.subject.rfc4514_string()[:160]
    if constraints is None or not constraints.critical or not constraints.value.ca:
        raise WrongSignatureError(f"{name!r} in its chain is no authority", _MEND)
    if constraints.value.path_length is not None and constraints.value.path_length < below:
        raise WrongSignatureError(f"{name!r} may not have so many authorities below it", _MEND)
    if usage is None or not usage.critical or not usage.value.key_cert_sign:
        raise WrongSignatureError(f"{name!r} in its chain may not sign certificates", _MEND)


def _extension(certificate: Certificate, kind: Any) -> Any:
    from cryptography.x509 import ExtensionNotFound

    try:
        return certificate.extensions.get_extension_for_class(kind)
    except ExtensionNotFound:
        return None
