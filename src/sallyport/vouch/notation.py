"""What holders of certificates say about an image: notation's signatures; offline.

Stricter than notation where it asks others: without a time stamp that we verify, the certificates must be in force
today, also for signing authorities. Revocation is not looked up: take the authority out of the rule.
Source: Notary Project, signature-specification.md and trust-store-trust-policy.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from sallyport.errors import DamagedError, ExpiredError, MalformedError, UntrustedError, WrongSignatureError
from sallyport.oci import Descriptor, Digest, parse_json
from sallyport.sign import Artifact
from sallyport.vouch.chain import check_chain, has_subject, load_roots, parse_subject
from sallyport.vouch.envelope import AUTHENTIC_TIME, EXPIRY, PAYLOAD, SCHEME, Envelope, parse_envelope
from sallyport.vouch.gather import is_notation
from sallyport.vouch.key import certificate_errors
from sallyport.vouch.keyed import check_subject
from sallyport.vouch.model import Rule, Said

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

_X509 = "notary.x509"
_AUTHORITY = "notary.x509.signingAuthority"
_RSA = {2048: "PS256", 3072: "PS384", 4096: "PS512"}
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_MEND = "do not use the image; ask its publisher how it is signed"


class Certificates:
    """What the holders of one rule's certificates say.

    Raises UsageError where the rule's certificates or subjects are none.
    """

    def __init__(self, rule: Rule, now: datetime) -> None:
        self._roots = load_roots(rule.certificates)
        self._subjects = tuple(parse_subject(text) for text in rule.subjects)
        self._now = now

    def __call__(self, artifacts: Sequence[Artifact], image: Descriptor) -> tuple[list[Said], list[str]]:
        """What they say about the image, and why the other signatures do not hold."""
        said: list[Said] = []
        faults: list[str] = []
        for artifact in artifacts:
            if not is_notation(artifact.manifest):
                continue
            try:
                said.append(Said("", self._signer(artifact, image)))
            except (DamagedError, UntrustedError) as error:
                faults.append(f"notation signature {artifact.manifest.digest.short}: {error.message}")
            except certificate_errors():
                faults.append(f"notation signature {artifact.manifest.digest.short}: one of its certificates is broken")
        return said, faults

    def _signer(self, artifact: Artifact, image: Descriptor) -> str:
        """Who signed this image.

        1. The envelope is whole, of a known scheme, and all that is critical in it is understood.
        2. Its certificates lead to one of the rule's, and are in force.
        3. It is by the first of them, in the one algorithm that fits its key.
        4. It has not expired.
        5. It is about this image: media type, size and digest.
        6. Its subject is one of the rule's.
        """
        layers = artifact.manifest.layers
        if len(layers) != 1:
            raise MalformedError("it does not have exactly one envelope", _MEND)
        envelope = parse_envelope(layers[0].media_type, artifact.blob(layers[0]))
        _check_headers(envelope)  # 1
        times = [self._now, *([envelope.authentic_time] if envelope.authentic_time else [])]
        signer = check_chain(envelope.certificates, self._roots, times)[0]  # 2
        _check_signature(signer.public_key(), envelope)  # 3
        if envelope.expiry is not None and self._now >= envelope.expiry:  # 4
            raise ExpiredError(f"it expired on {envelope.expiry:%Y-%m-%d %H:%M:%S} UTC", "ask for a newer one")
        _check_target(envelope.payload, image)  # 5
        name = signer.subject.rfc4514_string()
        if self._subjects and not has_subject(signer, self._subjects):  # 6
            raise WrongSignatureError(f"it is by {name[:200]!r}, who is none of the rule's subjects", _MEND)
        return name


def _check_headers(envelope: Envelope) -> None:
    if envelope.content_type != PAYLOAD:
        raise WrongSignatureError(f"it signs a {envelope.content_type[:80]!r}, not an image", _MEND)
    needed = {SCHEME} | ({EXPIRY} if envelope.expiry is not None else set())
    if envelope.scheme == _AUTHORITY:
        needed.add(AUTHENTIC_TIME)
    elif envelope.scheme != _X509:
        raise WrongSignatureError(f"its scheme {envelope.scheme[:80]!r} is not known", _MEND)
    if (envelope.authentic_time is not None) != (envelope.scheme == _AUTHORITY):
        raise WrongSignatureError("it has the time of another scheme", _MEND)
    if unknown := sorted(envelope.critical - needed):
        # Such as a plug-in that must look at it.
        raise WrongSignatureError(f"it says that {unknown[0][:80]!r} is critical, which is not understood here", _MEND)
    if missing := sorted(needed - envelope.critical):
        raise WrongSignatureError(f"it does not say that {missing[0]!r} is critical", _MEND)


def _check_signature(key: PublicKeyTypes, envelope: Envelope) -> None:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
    from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512

    match key:
        case RSAPublicKey():
            fits = _RSA.get(key.key_size, "")
        case EllipticCurvePublicKey():
            fits = _CURVES.get(key.curve.name, "")
        case _:
            fits = ""
    if not fits or envelope.algorithm != fits:
        raise WrongSignatureError(
            f"its algorithm {envelope.algorithm[:40]!r} is not the one for its certificate's key", _MEND
        )
    digest = {"256": SHA256(), "384": SHA384(), "512": SHA512()}[fits[2:]]
    try:
        if isinstance(key, RSAPublicKey):
            key.verify(envelope.signature, envelope.signed, PSS(MGF1(digest), PSS.DIGEST_LENGTH), digest)
        elif isinstance(key, EllipticCurvePublicKey):
            size = (key.curve.key_size + 7) // 8
            if len(envelope.signature) != 2 * size:
                raise WrongSignatureError("its signature has a wrong length", _MEND)
            r, s = (int.from_bytes(half, "big") for half in (envelope.signature[:size], envelope.signature[size:]))
            key.verify(encode_dss_signature(r, s), envelope.signed, ECDSA(digest))
    except InvalidSignature as error:
        raise WrongSignatureError("it is not by its certificate's key, or what it signs was changed", _MEND) from error


def _check_target(payload: bytes, image: Descriptor) -> None:
    value = parse_json(payload, what="its payload", limit=len(payload), depth=16)
    target = value.get("targetArtifact") if isinstance(value, dict) else None
    if not isinstance(target, dict) or not isinstance(target.get("digest"), str):
        raise MalformedError("its payload names no image", _MEND)
    check_subject(Digest.parse(str(target["digest"])), image.digest)
    if (target.get("mediaType"), target.get("size")) != (image.media_type, image.size):
        raise WrongSignatureError("it says another size or media type of the image", _MEND)
