"""What the inside holds, signed and carried back: the only thing that lets a bundle leave something out.

A receipt is a DSSE envelope. Source: DSSE 1.0.2, protocol.md (envelope.md for its JSON form).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass

from sallyport.bundle.errors import ForeignReceiptError
from sallyport.bundle.model import FORMAT, Receipt
from sallyport.errors import MalformedError, SallyportError, UnsignedError, WrongSignatureError
from sallyport.oci import decode, encode
from sallyport.sign import PublicKey, Signer

PAYLOAD_TYPE = "application/vnd.sallyport.receipt+json"
RECEIPT_LIMIT = 128 * 1024 * 1024  # bytes; more than a million blobs
_MEND = "bring the receipt back again; a bundle without one carries everything, which is never wrong"


@dataclass(frozen=True, slots=True)
class _Signature:
    keyid: str
    sig: str


@dataclass(frozen=True, slots=True)
class _Envelope:
    payload: str
    payloadType: str  # noqa: N815 - the standard's name
    signatures: tuple[_Signature, ...]


def sign_receipt(receipt: Receipt, signer: Signer) -> bytes:
    """The receipt's file."""
    payload = encode(receipt)
    signature = base64.b64encode(signer.sign(_pae(payload))).decode()
    envelope = _Envelope(base64.b64encode(payload).decode(), PAYLOAD_TYPE, (_Signature(signer.public.id, signature),))
    return encode(envelope)


def verify_receipt(raw: bytes, key: PublicKey, *, destination: str, what: str = "the receipt") -> Receipt:
    """Prove that ``raw`` is a receipt of ``destination``, signed by its receipt key.

    Raises:
        UnsignedError, WrongSignatureError: it is not signed, or by another.
        ForeignReceiptError: it is another destination's.
        MalformedError: it is no receipt, or one of a format that is not known here.
    """
    envelope = decode(raw, _Envelope, what=what, limit=RECEIPT_LIMIT)
    if envelope.payloadType != PAYLOAD_TYPE:
        raise MalformedError(f"{what} is a {envelope.payloadType[:60]!r}, not a receipt", _MEND)
    if not envelope.signatures:
        raise UnsignedError(f"{what} is not signed", _MEND)
    signature, *others = envelope.signatures
    if others or encode(envelope) != raw:
        raise MalformedError(f"{what} is not in the canonical form, with one signature", _MEND)
    payload = _decoded(envelope.payload, what)
    if signature.keyid != key.id or not key.signed(_decoded(signature.sig, what), _pae(payload)):
        raise WrongSignatureError(
            f"{what} is not signed by the receipt key of {destination} ({key.id[:16]})",
            "compare the key with the inside's; until then the next bundle has to carry everything",
        )
    receipt = decode(payload, Receipt, what=what, limit=RECEIPT_LIMIT)
    if receipt.format != FORMAT:
        raise MalformedError(f"{what} has format {receipt.format}; this sallyport reads {FORMAT}", _MEND)
    if receipt.destination != destination:
        raise ForeignReceiptError(f"{what} is of {receipt.destination}, not of {destination}", _MEND)
    return receipt


def newest_receipt(
    raws: Iterable[tuple[str, bytes]], key: PublicKey, *, destination: str
) -> tuple[Receipt | None, tuple[SallyportError, ...]]:
    """The newest one that verifies, by position and then by time; and why others do not count.

    A receipt that does not verify costs bytes, no more, so it does not stop a bundle; show the reasons.
    """
    best: Receipt | None = None
    wrong: list[SallyportError] = []
    for name, raw in raws:
        try:
            receipt = verify_receipt(raw, key, destination=destination, what=name)
        except SallyportError as error:
            wrong.append(error)
            continue
        if best is None or (receipt.position, receipt.received_at) > (best.position, best.received_at):
            best = receipt
    return best, tuple(wrong)


def _decoded(text: str, what: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedError(f"{what} has a field that is not base64", _MEND) from error
    # The last character has bits that say nothing; changed, they would go unseen.
    if base64.b64encode(data).decode() != text:
        raise MalformedError(f"{what} has base64 that is not in its one proper form", _MEND)
    return data


def _pae(payload: bytes) -> bytes:
    """Source: DSSE 1.0.2, "Signature Definition" (pre-authentication encoding)."""
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)
