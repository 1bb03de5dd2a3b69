"""What signing asks of whatever holds the private key."""

from __future__ import annotations

from typing import Protocol

from sallyport.sign.public import PublicKey


class Signer(Protocol):
    """Holds one private key: a file, a token, a service."""

    @property
    def public(self) -> PublicKey:
        """The half that anyone may know."""
        ...

    def sign(self, data: bytes) -> bytes:
        """ECDSA P-256 over SHA-256 of ``data``, in DER. The promise: the same data gives the same bytes
        (RFC 6979), so that signing again what was signed before changes, and carries, nothing.
        """
        ...
