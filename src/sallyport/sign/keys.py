"""Private keys in files, one per kind of statement. Sources: RFC 5958 (PKCS #8), RFC 6979 (deterministic ECDSA)."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from sallyport.engine import exclusive, write_file
from sallyport.errors import ConflictError, MalformedError, StorageError, UntrustedError, UsageError
from sallyport.sign.interface import Signer
from sallyport.sign.model import Purpose
from sallyport.sign.pkcs8 import encrypt_pkcs8
from sallyport.sign.public import PublicKey

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

_LIMIT = 16 * 1024  # bytes of a key file
_PRIVATE = ".key"
_PUBLIC = ".pub"


class FileSigner:
    """A :class:`Signer` whose private key is a PKCS #8 PEM file of mode 0600; the public half lies beside it."""

    def __init__(self, key: EllipticCurvePrivateKey) -> None:
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        self._key = key
        self._public = PublicKey(pem)

    def __repr__(self) -> str:
        return f"FileSigner({self._public.id[:16]})"

    @classmethod
    def generate(cls, path: Path, passphrase: str | None = None) -> FileSigner:
        """Make a key at ``path`` (encrypted where there is a passphrase), and its public half at ``….pub``.

        Raises:
            ConflictError: there is a key already; it is never overwritten.
        """
        from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

        if path.exists():
            raise ConflictError(
                f"there is a key at {path} already",
                "choose another name; move the old key away only when it is retired",
            )
        key = generate_private_key(SECP256R1())
        if passphrase:
            der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
            pem = encrypt_pkcs8(der, passphrase)
        else:
            pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        signer = cls(key)
        # The private half last: while it is missing, nobody can have trusted the public one.
        write_file(path.with_suffix(_PUBLIC), signer.public.pem.encode())
        write_file(path, pem, mode=0o600)
        return signer

    @classmethod
    def load(cls, path: Path, passphrase: str | None = None) -> FileSigner:
        """Read the key at ``path``.

        Raises:
            UsageError: there is none, or the passphrase is wrong or missing.
            UntrustedError: others than its owner may read it, or it belongs to another user.
            MalformedError: no key, or none on P-256.
        """
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        pem = _read_private(path)
        sealed = b"-----BEGIN ENCRYPTED PRIVATE KEY-----" in pem
        if sealed and not passphrase:
            raise UsageError(f"the key {path} needs its passphrase", "give the passphrase, or the file that holds it")
        try:
            # A passphrase given for all keys of a folder does not turn a plain key away.
            key = load_pem_private_key(pem, passphrase.encode() if sealed and passphrase else None)
        except ValueError as error:
            if sealed:
                raise UsageError(f"the passphrase does not open the key {path}", "give the right one") from error
            raise MalformedError(f"{path} is not a private key in PKCS #8 PEM", _MEND) from error
        except (TypeError, UnsupportedAlgorithm) as error:
            raise MalformedError(f"{path} is not a private key in PKCS #8 PEM", _MEND) from error
        if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
            raise MalformedError(f"the key {path} is not ECDSA P-256, the only kind that sallyport uses", _MEND)
        return cls(key)

    @property
    def public(self) -> PublicKey:
        return self._public

    def sign(self, data: bytes) -> bytes:
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
        from cryptography.hazmat.primitives.hashes import SHA256

        return self._key.sign(data, ECDSA(SHA256(), deterministic_signing=True))


_MEND = "make one with `sallyport key`, or `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`"


class KeyFolder:
    """A folder with ``release.key`` and ``release.pub``, ``scan.key`` and ``scan.pub``, and so on."""

    def __init__(self, folder: Path, passphrase: str | None = None) -> None:
        self.folder = folder
        self._passphrase = passphrase

    def path(self, purpose: Purpose) -> Path:
        """Where the private key for ``purpose`` lies, or would."""
        return self.folder / f"{purpose.value}{_PRIVATE}"

    def signer(self, purpose: Purpose) -> FileSigner:
        """The signer for ``purpose``. Raises as :meth:`FileSigner.load` does, and UntrustedError where the
        public key beside it is another one's.
        """
        signer = FileSigner.load(self.path(purpose), self._passphrase)
        public = self.path(purpose).with_suffix(_PUBLIC)
        if public.exists() and self.public(purpose) != signer.public:
            raise UntrustedError(
                f"{public} is not the public half of {self.path(purpose)}",
                "find out which of the two was replaced; what the wrong one signed or trusted is not to be used",
            )
        return signer

    def public(self, purpose: Purpose) -> PublicKey:
        """The public key for ``purpose``; the private one need not be here.

        Raises:
            UsageError: there is none.
            MalformedError: it is no ECDSA P-256 key.
        """
        path = self.path(purpose).with_suffix(_PUBLIC)
        return PublicKey(_read(path, "public key").decode("ascii", errors="replace"))

    def create(self, purposes: Iterable[Purpose]) -> tuple[Purpose, ...]:
        """Make the keys that are missing, each its own; returns the purposes for which one was made."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise StorageError(f"cannot make {self.folder}: {error.strerror}", "choose another folder") from error
        made = []
        with exclusive(self.folder / ".lock"):
            for purpose in purposes:
                if not self.path(purpose).exists():
                    FileSigner.generate(self.path(purpose), self._passphrase)
                    made.append(purpose)
        return tuple(made)


def _read_private(path: Path) -> bytes:
    data, status = _open(path, "private key")
    if status.st_mode & 0o077:
        raise UntrustedError(
            f"others than its owner may use the private key {path} (mode {stat.S_IMODE(status.st_mode):04o})",
            f"run `chmod 600 {path}`; where strangers could have read it, make a new key",
        )
    if status.st_uid not in (os.geteuid(), 0):
        raise UntrustedError(
            f"the private key {path} belongs to user {status.st_uid}, who can read and replace it",
            f"run as that user, or `chown {os.geteuid()} {path}`",
        )
    return data


def _read(path: Path, what: str) -> bytes:
    return _open(path, what)[0]


def _open(path: Path, what: str) -> tuple[bytes, os.stat_result]:
    """The file's bytes and its status, both of the same open file."""
    try:
        # A pipe or device in the file's place must not hold the program up.
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise UsageError(f"there is no {what} at {path}", "make the keys with `sallyport key`") from error
    except OSError as error:
        raise UsageError(f"cannot read the {what} {path}: {error.strerror}", "check its owner and mode") from error
    with open(handle, "rb", buffering=0) as file:  # noqa: PTH123 - a descriptor, not a path
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_size > _LIMIT:
            raise MalformedError(f"{path} is no {what}: not a regular file, or over {_LIMIT} bytes", _MEND)
        return file.read(_LIMIT), status


if TYPE_CHECKING:
    _fits: type[Signer] = FileSigner
