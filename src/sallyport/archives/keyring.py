"""The keys that an archive is trusted by."""

from __future__ import annotations

import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from sallyport.errors import MalformedError, UntrustedError, UsageError

_LIMIT = 4 * 1024 * 1024  # bytes of a keyring file; Debian's is under 60 kB

HOST_KEYRINGS = (
    Path("/usr/share/keyrings/debian-archive-keyring.gpg"),
    Path("/usr/share/keyrings/debian-archive-keyring.pgp"),
)
"""Where Debian's package ``debian-archive-keyring`` puts its keys."""

PUBLISHED: Mapping[str, str] = MappingProxyType(
    {
        "1F89983E0081FDE018F3CC9673A4F27B8DD47936": "Debian Archive Automatic Signing Key (11/bullseye)",
        "AC530D520F2F3269F5E98313A48449044AAD5C5D": "Debian Security Archive Automatic Signing Key (11/bullseye)",
        "A4285295FC7B1A81600062A9605C66F00D6C9793": "Debian Stable Release Key (11/bullseye)",
        "B8B80B5B623EAB6AD8775C45B7C5D7D6350947F8": "Debian Archive Automatic Signing Key (12/bookworm)",
        "05AB90340C0C5E797F44A8C8254CF3B5AEC0A8F0": "Debian Security Archive Automatic Signing Key (12/bookworm)",
        "4D64FEC119C2029067D6E791F8D2585B8783D481": "Debian Stable Release Key (12/bookworm)",
        "04B54C3CDCA79751B16BC6B5225629DF75B188BD": "Debian Archive Automatic Signing Key (13/trixie)",
        "5E04A1E3223A19A20706E20F9904613D4CCE68C6": "Debian Security Archive Automatic Signing Key (13/trixie)",
        "41587F7DB8C774BCCF131416762F67A0B2C39DE4": "Debian Stable Release Key (13/trixie)",
    }
)
"""Fingerprints that the Debian project publishes, by which a keyring from the network is judged."""


@dataclass(frozen=True, slots=True)
class Keyring:
    """Certificates, in binary or armored OpenPGP, and where they came from."""

    certificates: tuple[bytes, ...] = field(repr=False)
    origin: str

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """Of the primary keys, upper-case hexadecimal, sorted.

        Raises:
            MalformedError: no OpenPGP certificates.
        """
        return tuple(sorted(fingerprint for raw in self.certificates for fingerprint in _split(raw, self.origin)))


def _split(raw: bytes, origin: str) -> Mapping[str, bytes]:
    import pysequoia

    try:
        found = {cert.fingerprint.upper(): bytes(cert) for cert in pysequoia.Cert.split_bytes(raw)}
    except (RuntimeError, ValueError) as error:
        raise MalformedError(f"{origin} is no OpenPGP keyring", "name a file of public keys") from error
    if not found:
        raise MalformedError(f"{origin} holds no key", "name a file of public keys")
    return found


def read_keyring(paths: Sequence[Path]) -> Keyring:
    """The keys of ``paths``, which the user named; all of them are trusted.

    Raises:
        UsageError: a file is not there, or absurdly long.
        MalformedError: no OpenPGP certificates.
    """
    parts: list[bytes] = []
    for path in paths:
        try:
            with path.open("rb") as file:
                raw = file.read(_LIMIT + 1)
        except OSError as error:
            raise UsageError(
                f"cannot read the keyring {path}: {error.strerror}", "name a file of public keys"
            ) from error
        if len(raw) > _LIMIT:
            raise UsageError(f"{path} is longer than {_LIMIT} bytes", "name a file of public keys")
        parts += _split(raw, str(path)).values()
    return Keyring(tuple(parts), ", ".join(str(path) for path in paths))


def host_keyring(candidates: Sequence[Path] = HOST_KEYRINGS) -> Keyring | None:
    """The keyring that the host's own package brought, where there is one.

    A file that others than the administrator may change is not taken.
    """
    for path in candidates:
        try:
            status = path.stat()
        except OSError:
            continue
        if stat.S_ISREG(status.st_mode) and status.st_uid == 0 and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return read_keyring((path,))
    return None


def published_keyring(raw: bytes, *, origin: str, published: Mapping[str, str] = PUBLISHED) -> Keyring:
    """The keys of ``raw``, which came over the network, that have a published fingerprint.

    Raises:
        UntrustedError: none has.
        MalformedError: no OpenPGP certificates.
    """
    found = _split(raw, origin)
    kept = tuple(cert for fingerprint, cert in found.items() if fingerprint in published)
    if not kept:
        raise UntrustedError(
            f"none of the {len(found)} keys in {origin} is one that the Debian project publishes",
            "install the package debian-archive-keyring, or name a keyring that you trust",
        )
    return Keyring(kept, origin)
