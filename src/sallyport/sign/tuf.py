"""The same keys for TUF's metadata. Source: TUF 1.0, 4.2 (keytype ``ecdsa``, scheme ``ecdsa-sha2-nistp256``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sallyport.sign.interface import Signer
from sallyport.sign.public import PublicKey

if TYPE_CHECKING:
    from securesystemslib.signer import Signer as TufSigner  # type: ignore[attr-defined]
    from securesystemslib.signer import SSlibKey  # type: ignore[attr-defined]


def tuf_key(public: PublicKey) -> SSlibKey:
    """``public`` as python-tuf knows keys; its key id is the library's own, over the key's canonical JSON."""
    from cryptography.hazmat.primitives.serialization import load_pem_public_key
    from securesystemslib.signer import SSlibKey  # type: ignore[attr-defined]

    return SSlibKey.from_crypto(load_pem_public_key(public.pem.encode()), scheme="ecdsa-sha2-nistp256")


def tuf_signer(signer: Signer) -> TufSigner:
    """``signer`` as python-tuf knows signers; its signatures stay deterministic."""
    from sallyport.sign.securesystems import SecureSystemsSigner

    return SecureSystemsSigner(signer, tuf_key(signer.public))
