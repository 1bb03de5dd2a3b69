"""What the owners of public keys say about an image: cosign's signatures and attestations, in both forms.

Sources: cosign, specs/SIGNATURE_SPEC.md, ATTESTATION_SPEC.md and BUNDLE_SPEC.md; what cosign 2.6.5 and 3.1.3 write.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from sallyport.errors import DamagedError, UntrustedError, WrongSignatureError
from sallyport.oci import Descriptor, Digest, parse_json
from sallyport.sign import (
    IN_TOTO,
    SIGN_PREDICATE,
    Artifact,
    Envelope,
    Statement,
    classic_signature,
    is_bundle,
    is_classic,
    pae,
    parse_bundle,
    parse_payload,
)
from sallyport.vouch.gather import LAYERS, is_attested
from sallyport.vouch.key import UpstreamKey, signer_of
from sallyport.vouch.model import Said

_MEND = "do not use it for this image"


def said_by_keys(
    artifacts: Sequence[Artifact], digest: Digest, keys: tuple[UpstreamKey, ...]
) -> tuple[list[Said], list[str]]:
    """What the owners of ``keys`` say about the image, and why the other signatures do not hold."""
    said: list[Said] = []
    faults: list[str] = []
    for artifact in artifacts:
        for what, read in _parts(artifact, keys):
            try:
                about, one = read()
                check_subject(about, digest)
            except (DamagedError, UntrustedError) as error:
                faults.append(f"{what}: {error.message}")
            else:
                said.append(one)
    return said, faults


def check_subject(about: Digest, digest: Digest) -> None:
    """Raise unless both are the same image."""
    if about != digest:
        raise WrongSignatureError(f"it is for another image, {about}", _MEND)


def kind_of(statement: Statement) -> str:
    """The predicate type; "" for a signature of the image."""
    return "" if statement.predicate_type == SIGN_PREDICATE else statement.predicate_type


def read_statement(payload_type: str, payload: bytes, *, what: str) -> Statement:
    """The statement in an envelope whose signature was verified.

    Raises:
        WrongSignatureError: it is something else.
        MalformedError: it is broken.
    """
    if payload_type != IN_TOTO:
        raise WrongSignatureError(f"it holds a {payload_type[:80]!r}, not an in-toto statement", _MEND)
    return Statement.parse(payload, what=what)


def _parts(artifact: Artifact, keys: tuple[UpstreamKey, ...]) -> Iterator[tuple[str, _Read]]:
    manifest = artifact.manifest
    if is_classic(manifest):
        for layer in manifest.layers[:LAYERS]:
            what = f"cosign signature {layer.digest.short}"
            yield what, partial(_signed, artifact, layer, keys, what)
    elif is_attested(manifest):
        for layer in manifest.layers[:LAYERS]:
            what = f"cosign attestation {layer.digest.short}"
            yield what, partial(_attested, artifact, layer, keys, what)
    elif is_bundle(manifest):
        what = f"sigstore bundle {manifest.digest.short}"
        yield what, partial(_bundled, artifact, keys, what)


_Read = Callable[[], tuple[Digest, Said]]


def _signed(artifact: Artifact, layer: Descriptor, keys: tuple[UpstreamKey, ...], what: str) -> tuple[Digest, Said]:
    raw = artifact.blob(layer)
    key = signer_of(classic_signature(layer, what=what), raw, keys)
    return parse_payload(raw, what=what).digest, Said("", name_of(key))


def _attested(artifact: Artifact, layer: Descriptor, keys: tuple[UpstreamKey, ...], what: str) -> tuple[Digest, Said]:
    raw = artifact.blob(layer)
    return _sealed(Envelope.from_json(parse_json(raw, what=what, limit=len(raw)), what=what), keys, what)


def _bundled(artifact: Artifact, keys: tuple[UpstreamKey, ...], what: str) -> tuple[Digest, Said]:
    return _sealed(parse_bundle(artifact.blob(artifact.manifest.layers[0]), what=what), keys, what)


def _sealed(envelope: Envelope, keys: tuple[UpstreamKey, ...], what: str) -> tuple[Digest, Said]:
    key = signer_of(envelope.signature, pae(envelope.payload_type, envelope.payload), keys)
    statement = read_statement(envelope.payload_type, envelope.payload, what=what)
    return statement.digest, Said(kind_of(statement), name_of(key))


def name_of(key: UpstreamKey) -> str:
    """How a key is called in reports."""
    return f"key {key.id[:16]}"
