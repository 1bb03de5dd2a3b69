"""Whom we believe over TLS, and who we say we are. ``ssl`` is imported when the first connection asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sallyport.errors import ConfigError

if TYPE_CHECKING:
    import ssl


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """Our own certificate for a host that asks for one (mTLS); both files are PEM."""

    certificate: Path
    key: Path


def make_context(authorities: Sequence[Path], ours: ClientCertificate | None) -> ssl.SSLContext:
    """Trust ``authorities`` beside the system's; show ``ours`` to whoever asks.

    Raises:
        ConfigError: a file cannot be read, is no PEM, or key and certificate do not belong together.
    """
    import ssl

    context = ssl.create_default_context()
    for file in authorities:
        try:
            context.load_verify_locations(file)
        except OSError as error:
            raise ConfigError(
                f"{file} is not a file of certificates: {error.strerror or error}",
                "name a PEM file with the authority's certificate",
            ) from error
    if ours is not None:
        try:
            # An empty password: a key that has one is an error, never a prompt in the middle of a run.
            context.load_cert_chain(ours.certificate, ours.key, password="")
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"{ours.certificate} and {ours.key} are not a certificate with its key: "
                f"{getattr(error, 'strerror', None) or error}",
                "name the PEM files of one certificate and its key, without a passphrase",
            ) from error
    return context
