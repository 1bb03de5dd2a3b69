"""What identities say about an image: certificates of a sigstore, its logs, both of cosign's forms; offline.

Bundles are verified by sigstore's own library. The classic form has the log's promise and no proof of inclusion,
which the library does not take: see ``fulcio.py`` and ``rekor.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from sallyport.errors import DamagedError, MalformedError, UntrustedError, WrongSignatureError
from sallyport.oci import Descriptor, Digest, parse_json
from sallyport.sign import (
    Artifact,
    Envelope,
    classic_signature,
    is_bundle,
    is_classic,
    pae,
    parse_payload,
    to_base64,
)
from sallyport.vouch.fulcio import check_certificate, check_identity
from sallyport.vouch.gather import LAYERS, is_attested
from sallyport.vouch.key import certificate_errors
from sallyport.vouch.keyed import check_subject, kind_of, read_statement
from sallyport.vouch.model import Rule, Said
from sallyport.vouch.rekor import certificate_of, check_by, check_envelope, check_signature, promised
from sallyport.vouch.root import TrustedRoot

if TYPE_CHECKING:
    from cryptography.x509 import Certificate
    from sigstore.verify import Verifier

_MEND = "do not use the image; ask its publisher who signs it, and how"


class Identities:
    """What the identities of one rule say; the trusted root is read once.

    Raises MalformedError where the trusted root is broken.
    """

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._root = TrustedRoot.parse(rule.trusted_root)
        self._verifier = _verifier(self._root)

    def __call__(self, artifacts: Sequence[Artifact], image: Descriptor) -> tuple[list[Said], list[str]]:
        """What they say about the image, and why the other signatures do not hold."""
        said: list[Said] = []
        faults: list[str] = []
        for artifact in artifacts:
            for what, read in self._parts(artifact):
                try:
                    about, one = read()
                    check_subject(about, image.digest)
                except (DamagedError, UntrustedError) as error:
                    faults.append(f"{what}: {error.message}")
                except certificate_errors():
                    faults.append(f"{what}: its certificate is broken")
                else:
                    said.append(one)
        return said, faults

    def _parts(self, artifact: Artifact) -> Iterator[tuple[str, _Read]]:
        manifest = artifact.manifest
        if is_classic(manifest):
            for layer in manifest.layers[:LAYERS]:
                yield f"cosign signature {layer.digest.short}", partial(self._signed, artifact, layer)
        elif is_attested(manifest):
            for layer in manifest.layers[:LAYERS]:
                yield f"cosign attestation {layer.digest.short}", partial(self._attested, artifact, layer)
        elif is_bundle(manifest):
            yield f"sigstore bundle {manifest.digest.short}", partial(self._bundled, artifact)

    def _signed(self, artifact: Artifact, layer: Descriptor) -> tuple[Digest, Said]:
        what = str(layer.digest)
        raw = artifact.blob(layer)
        certificate = certificate_of(layer.annotations)
        signature = classic_signature(layer, what=what)
        entry = promised(layer.annotations, self._root)
        check_certificate(certificate, self._root, entry.when)
        check_by(certificate, signature, raw)
        check_signature(entry, certificate, to_base64(signature), raw)
        return parse_payload(raw, what=what).digest, Said("", check_identity(certificate, self._rule))

    def _attested(self, artifact: Artifact, layer: Descriptor) -> tuple[Digest, Said]:
        what = str(layer.digest)
        raw = artifact.blob(layer)
        envelope = Envelope.from_json(parse_json(raw, what=what, limit=len(raw)), what=what)
        certificate = certificate_of(layer.annotations)
        entry = promised(layer.annotations, self._root)
        check_certificate(certificate, self._root, entry.when)
        check_by(certificate, envelope.signature, pae(envelope.payload_type, envelope.payload))
        check_envelope(entry, certificate, to_base64(envelope.signature), envelope.payload)
        signer = check_identity(certificate, self._rule)
        statement = read_statement(envelope.payload_type, envelope.payload, what=what)
        return statement.digest, Said(kind_of(statement), signer)

    def _bundled(self, artifact: Artifact) -> tuple[Digest, Said]:
        layer = artifact.manifest.layers[0]
        what = str(layer.digest)
        raw = artifact.blob(layer)
        value = parse_json(raw, what=what, limit=len(raw))  # depth and double names, which the library does not look at
        material = value.get("verificationMaterial") if isinstance(value, dict) else None
        if not isinstance(value, dict) or not isinstance(material, dict) or "certificate" not in material:
            raise MalformedError("it was not made with an identity's certificate", _MEND)
        if "messageSignature" in value:
            raise MalformedError("it holds no statement", _MEND)
        Envelope.from_json(value.get("dsseEnvelope"), what=what)  # exactly one signature
        policy = _Policy(self._rule)
        payload_type, payload = _verify(self._verifier, raw, policy)
        statement = read_statement(payload_type, payload, what=what)
        return statement.digest, Said(kind_of(statement), policy.signer)


_Read = Callable[[], tuple[Digest, Said]]


class _Policy:
    """Who may have signed, as sigstore's library asks for it."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self.signer = ""

    def verify(self, cert: Certificate) -> None:
        self.signer = check_identity(cert, self._rule)


def _verifier(root: TrustedRoot) -> Verifier:
    from sigstore.models import TrustedRoot as Root
    from sigstore.verify import Verifier
    from sigstore_models.trustroot.v1 import TrustedRoot as Inner

    try:
        return Verifier(trusted_root=Root(Inner.from_json(root.raw)))
    except Exception as error:  # the library has no one error for what it does not understand
        raise MalformedError(
            f"the trusted root cannot be used: {str(error)[:160]}", "give the trusted_root.json of the sigstore"
        ) from error


def _verify(verifier: Verifier, raw: bytes, policy: _Policy) -> tuple[str, bytes]:
    from sigstore.models import Bundle

    try:
        return verifier.verify_dsse(Bundle.from_json(raw), policy)
    except (DamagedError, UntrustedError):
        raise
    except Exception as error:  # whatever a bundle of a stranger makes the library stumble over: it does not hold
        reason = " ".join(str(error).split())[:240] or type(error).__name__
        raise WrongSignatureError(f"it does not hold: {reason}", _MEND) from error
