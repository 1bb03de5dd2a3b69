"""Short-lived certificates for identities: chain, certificate log and who the identity is.

Sources: Fulcio, docs/certificate-specification.md and docs/oid-info.md; RFC 6962, 3.2 and 3.3.
"""

from __future__ import annotations

import hashlib
import struct
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sallyport.errors import MalformedError, WrongSignatureError
from sallyport.vouch.key import verifies
from sallyport.vouch.root import TrustedRoot, find_log

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from sallyport.vouch.model import Rule

_ISSUER = "1.3.6.1.4.1.57264.1.8"  # a UTF8String
_OLD_ISSUER = "1.3.6.1.4.1.57264.1.1"  # the bare text
_USER_NAME = "1.3.6.1.4.1.57264.1.7"
_MEND = "do not use the image; ask its publisher who signs it, and how"


def identity_of(certificate: Certificate) -> tuple[str, str]:
    """The identity and who proved it: subject and issuer.

    Raises:
        MalformedError: the certificate does not say, or names several.
    """
    from cryptography.x509 import (
        ExtensionNotFound,
        OtherName,
        RFC822Name,
        SubjectAlternativeName,
        UniformResourceIdentifier,
        UnrecognizedExtension,
    )

    try:
        extensions = certificate.extensions
        names = list(extensions.get_extension_for_class(SubjectAlternativeName).value)
    except ExtensionNotFound as error:
        raise MalformedError("the certificate names nobody", _MEND) from error
    except ValueError as error:
        raise MalformedError("the certificate's extensions are broken", _MEND) from error
    texts: list[str] = []
    for name in names:
        if isinstance(name, RFC822Name | UniformResourceIdentifier):
            texts.append(name.value)
        elif isinstance(name, OtherName) and name.type_id.dotted_string == _USER_NAME:
            texts.append(_utf8(name.value))
    if len(names) != 1 or len(texts) != 1:
        # Which of several was meant is a matter of who reads it.
        raise MalformedError("the certificate does not name exactly one identity", _MEND)
    values = {
        extension.oid.dotted_string: extension.value.value
        for extension in extensions
        if isinstance(extension.value, UnrecognizedExtension)
    }
    if _ISSUER in values:
        return texts[0], _utf8(values[_ISSUER])
    if _OLD_ISSUER in values:
        return texts[0], values[_OLD_ISSUER].decode("utf-8", errors="replace")
    raise MalformedError("the certificate does not say who proved the identity", _MEND)


def check_identity(certificate: Certificate, rule: Rule) -> str:
    """How the signer is called, if it is the rule's.

    Raises:
        WrongSignatureError: it is somebody else, or proven by somebody else.
        MalformedError: the certificate does not say.
    """
    identity, issuer = identity_of(certificate)
    if issuer != rule.issuer:
        raise WrongSignatureError(f"its identity was proven by {issuer[:200]!r}, not by {rule.issuer!r}", _MEND)
    if not rule.is_identity(identity):
        raise WrongSignatureError(f"it is by {identity[:200]!r}, not by {rule.identity!r}", _MEND)
    return f"{identity} ({issuer})"


def check_certificate(certificate: Certificate, root: TrustedRoot, when: datetime) -> None:
    """Prove a signing certificate, as it stood at the time of the signature.

    1. It was in force then, and leads to an authority that was trusted then.
    2. It is for signing code.
    3. A trusted log of certificates has promised to publish it.

    Raises:
        WrongSignatureError: one of these fails.
    """
    if not certificate.not_valid_before_utc <= when <= certificate.not_valid_after_utc:  # 1
        raise WrongSignatureError(f"its certificate was not in force on {when:%Y-%m-%d %H:%M:%S} UTC", _MEND)
    issuer = _chained(certificate, root, when)
    _check_use(certificate)  # 2
    _check_log(certificate, issuer, root)  # 3


def _chained(certificate: Certificate, root: TrustedRoot, when: datetime) -> Certificate:
    """Its issuer."""
    from cryptography.x509 import ExtendedKeyUsage, UnsupportedGeneralNameType
    from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, Store, VerificationError

    # What a certificate is for is checked apart: the library asks for TLS clients.
    authority = ExtensionPolicy.webpki_defaults_ca().may_be_present(ExtendedKeyUsage, Criticality.NON_CRITICAL, None)
    end = ExtensionPolicy.webpki_defaults_ee().may_be_present(ExtendedKeyUsage, Criticality.NON_CRITICAL, None)
    problem = "no authority was trusted then"
    for candidate in root.authorities:
        if not candidate.span.covers(when):
            continue
        builder = PolicyBuilder().store(Store(list(candidate.chain))).time(when)
        verifier = builder.extension_policies(ca_policy=authority, ee_policy=end).build_client_verifier()
        try:
            return verifier.verify(certificate, []).chain[1]
        except (VerificationError, UnsupportedGeneralNameType, ValueError) as error:
            problem = str(error)[:160]
    raise WrongSignatureError(f"its certificate is by no trusted authority ({problem})", _MEND)


def _check_use(certificate: Certificate) -> None:
    from cryptography.x509 import ExtendedKeyUsage, ExtensionNotFound, KeyUsage
    from cryptography.x509.oid import ExtendedKeyUsageOID

    try:
        usage = certificate.extensions.get_extension_for_class(KeyUsage).value
        purposes = certificate.extensions.get_extension_for_class(ExtendedKeyUsage).value
    except (ExtensionNotFound, ValueError) as error:
        raise WrongSignatureError("its certificate does not say what it is for", _MEND) from error
    if not usage.digital_signature or ExtendedKeyUsageOID.CODE_SIGNING not in purposes:
        raise WrongSignatureError("its certificate is not for signing code", _MEND)


def _check_log(certificate: Certificate, issuer: Certificate, root: TrustedRoot) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
    from cryptography.x509 import ExtensionNotFound, PrecertificateSignedCertificateTimestamps

    try:
        promises = list(certificate.extensions.get_extension_for_class(PrecertificateSignedCertificateTimestamps).value)
        covered = certificate.tbs_precertificate_bytes
    except (ExtensionNotFound, ValueError) as error:
        raise WrongSignatureError("its certificate was promised to no log of certificates", _MEND) from error
    spki = issuer.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    entry = hashlib.sha256(spki).digest() + len(covered).to_bytes(3, "big") + covered
    for promise in promises[:8]:
        when = promise.timestamp.replace(tzinfo=UTC)
        log = find_log(root.certificate_logs, promise.log_id, when)
        if log is None:
            continue
        milliseconds = round(when.timestamp() * 1000)
        extensions = promise.extension_bytes
        # Source: RFC 6962, 3.2: version 1, a certificate's timestamp, of a precertificate.
        signed = struct.pack("!BBQH", 0, 0, milliseconds, 1) + entry + struct.pack("!H", len(extensions)) + extensions
        if verifies(log.key, promise.signature, signed):
            return
    raise WrongSignatureError("its certificate was promised to no trusted log of certificates", _MEND)


def _utf8(der: bytes) -> str:
    """The text of a UTF8String in DER."""
    if len(der) < 2 or der[0] != 0x0C:  # noqa: PLR2004 - X.690: tag and length
        raise MalformedError("the certificate writes a name in another way than it should", _MEND)
    size, start = der[1], 2
    if size & 0x80:
        count = size & 0x7F
        size, start = int.from_bytes(der[2 : 2 + count], "big"), 2 + count
    if len(der) != start + size:
        raise MalformedError("the certificate writes a name in another way than it should", _MEND)
    return der[start:].decode("utf-8", errors="replace")
