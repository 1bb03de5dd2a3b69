"""Private keys under a passphrase. Sources: RFC 5958 (PKCS #8), RFC 8018 (PBES2), RFC 7914, 7 (scrypt in PBES2).

The library's own "best available" is 2,048 rounds of PBKDF2, which a stolen file does not withstand for long;
it reads scrypt, as openssl does, but does not write it.
"""

from __future__ import annotations

import base64
import os
import textwrap

_PBES2 = bytes.fromhex("06092a864886f70d01050d")
_SCRYPT = bytes.fromhex("06092b06010401da47040b")
_AES_256_CBC = bytes.fromhex("060960864801650304012a")
# 16 MiB of memory, the most that openssl's default bound reads without asking; the time is raised by P instead.
# Source: OWASP Password Storage Cheat Sheet, scrypt, the row N=2^14.
_N, _R, _P = 1 << 14, 8, 5


def encrypt_pkcs8(der: bytes, passphrase: str) -> bytes:
    """The private key ``der`` (PrivateKeyInfo) as an ``ENCRYPTED PRIVATE KEY`` in PEM."""
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.algorithms import AES
    from cryptography.hazmat.primitives.ciphers.modes import CBC
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
    from cryptography.hazmat.primitives.padding import PKCS7

    salt, vector = os.urandom(16), os.urandom(16)
    key = Scrypt(salt=salt, length=32, n=_N, r=_R, p=_P).derive(passphrase.encode())
    padder = PKCS7(128).padder()
    cipher = Cipher(AES(key), CBC(vector)).encryptor()
    sealed = cipher.update(padder.update(der) + padder.finalize()) + cipher.finalize()
    derivation = _sequence(_SCRYPT, _sequence(_octets(salt), _integer(_N), _integer(_R), _integer(_P)))
    scheme = _sequence(_PBES2, _sequence(derivation, _sequence(_AES_256_CBC, _octets(vector))))
    text = base64.b64encode(_sequence(scheme, _octets(sealed))).decode()
    lines = "\n".join(textwrap.wrap(text, 64))
    return f"-----BEGIN ENCRYPTED PRIVATE KEY-----\n{lines}\n-----END ENCRYPTED PRIVATE KEY-----\n".encode()


def _tagged(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:  # noqa: PLR2004 - X.690, 8.1.3.4: the short form
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def _sequence(*items: bytes) -> bytes:
    return _tagged(0x30, b"".join(items))


def _octets(content: bytes) -> bytes:
    return _tagged(0x04, content)


def _integer(value: int) -> bytes:
    return _tagged(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))
