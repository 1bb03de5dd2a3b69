"""The first rule that means an image decides; where none does, the image is refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import islice

from sallyport.errors import SallyportError, UnsignedError, UntrustedError, WrongSignatureError
from sallyport.oci import BlobReader, Descriptor, Digest, Reference
from sallyport.sign import Artifact, Attachment
from sallyport.vouch.gather import gather
from sallyport.vouch.interface import Check
from sallyport.vouch.keyed import said_by_keys
from sallyport.vouch.keyless import Identities
from sallyport.vouch.model import Need, Rule, Said, Vouched
from sallyport.vouch.notation import Certificates

Reading = tuple[list[Said], list[str]]
"""What trusted signers said about the image, and why other signatures do not hold."""
Reader = Callable[[Sequence[Artifact], Descriptor], Reading]
_SHOWN = 4  # reasons
_MEND = "ask its publisher to sign it, or correct the trust rule; do not loosen the rule to let it pass"


def make_check(rules: Sequence[Rule], blobs: BlobReader, *, now: datetime) -> Check:
    """A check of images against ``rules``, whose attachments are in ``blobs``.

    Raises UsageError or MalformedError where a rule's certificates, subjects or trusted root are none. The check raises
        UntrustedError: no rule means the image.
        UnsignedError: there is no signature of the kind that the rule requires, or an attestation is missing.
        WrongSignatureError: there are some, and none holds; the message says of each why.
    """
    kept = tuple(rules)
    readers = {rule: _reader(rule, now) for rule in kept if rule.need is not Need.NOTHING}

    def check(reference: Reference, image: Descriptor, attachments: tuple[Attachment, ...]) -> Vouched:
        rule = next((rule for rule in kept if rule.means(reference)), None)
        if rule is None:
            raise UntrustedError(
                f"{reference} is not trusted: no rule under trust: means it",
                "add a rule for it; require: nothing says in so many words that it needs no signature",
            )
        name = f"{rule.images}: {rule.need.value}"
        if rule.need is Need.NOTHING:
            return Vouched(name, ())
        artifacts, faults = gather(blobs, image.digest, attachments)
        said, why = readers[rule](artifacts, image)
        return Vouched(name, _judge(reference, image.digest, rule, said, [*why, *faults]))

    return check


def _reader(rule: Rule, now: datetime) -> Reader:
    if rule.need is Need.IDENTITY:
        return Identities(rule)
    if rule.need is Need.CERTIFICATE:
        return Certificates(rule, now)
    return lambda artifacts, image: said_by_keys(artifacts, image.digest, rule.keys)


def _judge(reference: Reference, digest: Digest, rule: Rule, said: list[Said], faults: list[str]) -> tuple[str, ...]:
    signers = tuple(dict.fromkeys(one.signer for one in said if not one.kind))
    if not signers:
        raise _nobody(f"{reference} ({digest.short})", rule, faults)
    # One signer has to have said all of it: otherwise each could be asked for the half that the other refuses.
    missing: dict[str, list[str]] = {
        signer: [kind for kind in rule.attestations if Said(kind, signer) not in said] for signer in signers
    }
    whole = tuple(signer for signer in signers if not missing[signer])
    if not whole:
        lacks = ", ".join(missing[signers[0]])
        raise UnsignedError(
            f"{reference} ({digest.short}) is signed by {signers[0]}, who attests no {lacks}{_because(faults)}",
            "ask its publisher for the attestation, or take it out of the rule's attestations",
        )
    return whole


def _nobody(what: str, rule: Rule, faults: list[str]) -> SallyportError:
    need = f"{what} needs a {rule.need.value} signature (rule {rule.images})"
    if not faults:
        return UnsignedError(f"{need} and has none", _MEND)
    return WrongSignatureError(f"{need}, and none holds{_because(faults)}", _MEND)


def _because(faults: list[str]) -> str:
    if not faults:
        return ""
    more = f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
    return ": " + "; ".join(islice(faults, _SHOWN)) + more
