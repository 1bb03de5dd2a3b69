"""Which signatures and attestations hold; offline, from the artifacts and the trusted keys alone.

Stricter than cosign: it takes any statement by a key for a signature by it, and does not compare the reference.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sallyport.errors import (
    DamagedError,
    SallyportError,
    UnsignedError,
    UntrustedError,
    UsageError,
    WrongSignatureError,
)
from sallyport.oci import Descriptor, Digest
from sallyport.sign.cosign import (
    SIGN_PREDICATE,
    classic_signature,
    is_classic,
    parse_payload,
)
from sallyport.sign.dsse import IN_TOTO, signed_by
from sallyport.sign.model import Artifact, Attested, Form, Purpose, Signature, TrustedKeys, Verified
from sallyport.sign.public import PublicKey
from sallyport.sign.sigstore import is_bundle, parse_bundle
from sallyport.sign.statement import Statement

LAYERS = 64
"""Classic signatures of one image that are looked at; a bound against hostile input."""


def verify_release(
    artifacts: Iterable[Artifact],
    image: Descriptor | Digest,
    keys: TrustedKeys,
    *,
    reference: str | None,
    purpose: Purpose = Purpose.RELEASE,
) -> Verified:
    """The signatures that say that ``image`` may run under ``reference``.

    With None it may have any name, or none, as in what cosign 3 itself signs: for images of others only.

    A signature holds when
    1. its bytes are those that the artifact's manifest names,
    2. it is by a key that is trusted for ``purpose``, over exactly these bytes,
    3. they are a signature of an image, and not another kind of statement,
    4. they name this image's digest and no other,
    5. and this reference.
    Signatures that do not hold are passed over, since strangers may add some; if none holds, it says why.

    Raises:
        UnsignedError: there is no signature.
        WrongSignatureError: there are some, and none holds.
        UsageError: no key is trusted for ``purpose``, or it does not sign images.
    """
    if purpose not in (Purpose.RELEASE, Purpose.ADMISSION):
        raise UsageError(f"a {purpose.value} key does not sign images", "ask for release or admission")
    digest = image if isinstance(image, Digest) else image.digest
    trusted = _keys(keys, purpose)
    found: list[Signature] = []
    faults: list[str] = []
    for artifact in artifacts:
        for form, reader in _signatures(artifact):
            try:
                name, about, key = reader(trusted)
                if about != digest:  # 4
                    raise WrongSignatureError(f"a signature is for {about}", _MEND)
                if reference is not None and name != reference:  # 5
                    raise WrongSignatureError(f"a signature is for the name {name!r}, not {reference!r}", _MEND)
            except (DamagedError, UntrustedError) as error:
                faults.append(f"{form.value}: {error.message}")
            else:
                found.append(Signature(form, name, key))
    if found:
        return Verified(digest, purpose, tuple(dict.fromkeys(found)))
    raise _none_holds(f"{purpose.value} signature", digest, faults)


def verify_attestation(
    artifacts: Iterable[Artifact],
    image: Descriptor | Digest,
    keys: TrustedKeys,
    *,
    predicate_type: str,
    purpose: Purpose = Purpose.SCAN,
) -> tuple[Attested, ...]:
    """The attestations of this type about ``image``, by the keys that are trusted for ``purpose``; at least one.

    Raises:
        UnsignedError: there is none of this type.
        WrongSignatureError: there are some, and none holds.
        UsageError: no key is trusted for ``purpose``, or signatures were asked for.
    """
    if predicate_type == SIGN_PREDICATE:
        raise UsageError("a signature is not an attestation", "use verify_release")
    digest = image if isinstance(image, Digest) else image.digest
    trusted = _keys(keys, purpose)
    found: list[Attested] = []
    faults: list[str] = []
    for artifact in artifacts:
        if not is_bundle(artifact.manifest):
            continue
        try:
            statement, key = _statement(artifact, trusted)
            if statement.predicate_type != predicate_type:
                continue
            if statement.digest != digest:
                raise WrongSignatureError(f"an attestation is about {statement.digest}", _MEND)
        except (DamagedError, UntrustedError) as error:
            faults.append(error.message)
        else:
            found.append(
                Attested(digest, predicate_type, statement.predicate, statement.name, key, artifact.manifest.digest)
            )
    if found:
        return tuple(found)
    raise _none_holds(f"attestation of the type {predicate_type}", digest, faults)


_MEND = "do not use it for this image; ask whoever released the image to sign it"


class _Classic:
    """One layer of a classic artifact."""

    def __init__(self, artifact: Artifact, layer: Descriptor) -> None:
        self._artifact, self._layer = artifact, layer

    def __call__(self, trusted: tuple[PublicKey, ...]) -> tuple[str, Digest, PublicKey]:
        what = str(self._layer.digest)
        raw = self._artifact.blob(self._layer)  # 1
        key = signed_by(classic_signature(self._layer, what=what), raw, trusted)  # 2
        payload = parse_payload(raw, what=what)  # 3
        return payload.reference, payload.digest, key


class _Bundle:
    """The statement in a bundle."""

    def __init__(self, artifact: Artifact) -> None:
        self._artifact = artifact

    def __call__(self, trusted: tuple[PublicKey, ...]) -> tuple[str, Digest, PublicKey]:
        statement, key = _statement(self._artifact, trusted)  # 1, 2
        if statement.predicate_type != SIGN_PREDICATE:  # 3
            raise WrongSignatureError(f"a statement is a {statement.predicate_type}, not a signature", _MEND)
        return statement.name, statement.digest, key


def _signatures(artifact: Artifact) -> Iterator[tuple[Form, _Classic | _Bundle]]:
    if is_classic(artifact.manifest):
        for layer in artifact.manifest.layers[:LAYERS]:
            yield Form.CLASSIC, _Classic(artifact, layer)
    elif is_bundle(artifact.manifest):
        yield Form.BUNDLE, _Bundle(artifact)


def _statement(artifact: Artifact, trusted: tuple[PublicKey, ...]) -> tuple[Statement, PublicKey]:
    layer = artifact.manifest.layers[0]
    what = str(layer.digest)
    envelope = parse_bundle(artifact.blob(layer), what=what)
    key = envelope.signed_by(trusted)
    if envelope.payload_type != IN_TOTO:
        raise WrongSignatureError(f"{what} holds a {envelope.payload_type[:80]}, not an in-toto statement", _MEND)
    return Statement.parse(envelope.payload, what=what), key


def _keys(keys: TrustedKeys, purpose: Purpose) -> tuple[PublicKey, ...]:
    trusted = keys.trusted(purpose)
    if not trusted:
        raise UsageError(f"no key is trusted for {purpose.value}", f"give the public key: {purpose.value}.pub")
    return trusted


def _none_holds(what: str, digest: Digest, faults: list[str]) -> SallyportError:
    if not faults:
        return UnsignedError(f"{digest} has no {what}", "ask whoever released the image to sign it")
    several = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return WrongSignatureError(f"{digest} has no {what} that holds: {faults[0]}{several}", _MEND)
