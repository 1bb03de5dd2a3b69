"""A :class:`~sallyport.sign.Signer` behind securesystemslib's interface."""

from __future__ import annotations

# The package re-exports these without saying so in its types.
from securesystemslib.signer import Key, SecretsHandler, Signature, SSlibKey  # type: ignore[attr-defined]
from securesystemslib.signer import Signer as TufSigner  # type: ignore[attr-defined]

from sallyport.errors import UsageError
from sallyport.sign.interface import Signer


class SecureSystemsSigner(TufSigner):
    """Signs TUF metadata with one of our signers."""

    def __init__(self, signer: Signer, key: SSlibKey) -> None:
        self._signer = signer
        self._key = key

    @property
    def public_key(self) -> SSlibKey:
        return self._key

    def sign(self, payload: bytes) -> Signature:
        return Signature(self._key.keyid, self._signer.sign(payload).hex())

    @classmethod
    def from_priv_key_uri(
        cls, priv_key_uri: str, public_key: Key, secrets_handler: SecretsHandler | None = None
    ) -> SecureSystemsSigner:
        raise UsageError(
            f"a key is not opened by the address {priv_key_uri!r} here ({public_key.keyid}, {secrets_handler})",
            "open it with FileSigner and wrap it with tuf_signer",
        )
