"""Signed indexes and packages of apk, version 2: gzip members in a row. Source: apk's "APKv2 package format".

A signed file starts with a member that holds the signature over the bytes of all that follow. A package's C: in
the index is the SHA-1 of its control member, whose .PKGINFO names the SHA-256 of its data.
"""

from __future__ import annotations

import base64
import hashlib
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sallyport.depot.keep import mismatch
from sallyport.depot.model import Repository
from sallyport.errors import MalformedError, OversizeError, UnsignedError, WrongSignatureError
from sallyport.oci import decompress, read_tar

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

INDEX_LIMIT = 64 * 1024 * 1024  # bytes, packed
_INFLATED = 512 * 1024 * 1024
_SMALL = 8 * 1024 * 1024  # bytes of a signature's or control member, inflated
_SIGN = re.compile(r"\.SIGN\.(RSA|RSA256)\.([A-Za-z0-9@._+-]{1,200}\.rsa\.pub)\Z")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]{0,127}\Z")
_VERSION = re.compile(r"[0-9][A-Za-z0-9._~-]{0,127}\Z")
_DATAHASH = re.compile(r"^datahash *= *([0-9a-f]{64})$", re.MULTILINE)
_STEP = 64 * 1024
_MEND = "do not use this upstream, and tell who runs it"


@dataclass(frozen=True, slots=True)
class Package:
    """A package as the signed index names it."""

    name: str
    size: int
    checksum: bytes  # SHA-1 of the control member


def verify_index(raw: bytes, keys: Mapping[str, RSAPublicKey], *, what: str) -> bytes:
    """The text of the signed APKINDEX.

    Raises:
        UnsignedError, WrongSignatureError: not signed by one of ``keys``.
        DamagedError: no index.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

    if len(raw) > INDEX_LIMIT:
        raise OversizeError(f"{what} has more than {INDEX_LIMIT} bytes", _MEND)
    head, signed = _first_member(raw, what)
    signatures = {name: content for name, content in _files(head, what).items() if name.startswith(".SIGN.")}
    if not signatures:
        raise UnsignedError(f"{what} is not signed", "the address is wrong, or upstream is broken")
    for name, signature in signatures.items():
        match = _SIGN.match(name)
        key = keys.get(match[2]) if match else None
        if match is None or key is None:
            continue
        # The format's own choice is SHA-1; newer archives also sign with SHA-256.
        algorithm = hashes.SHA256() if match[1] == "RSA256" else hashes.SHA1()  # noqa: S303
        try:
            key.verify(signature, signed, PKCS1v15(), algorithm)
        except InvalidSignature:
            continue
        inflated = b"".join(decompress([signed], "gz", what=what, limit=_INFLATED))
        text = _files(inflated, what).get("APKINDEX")
        if text is None:
            raise MalformedError(f"{what} holds no APKINDEX", _MEND)
        return text
    raise WrongSignatureError(f"{what} is not signed by any trusted key", "name the keys of this repository")


def read_index(text: bytes, repository: Repository, *, what: str) -> Mapping[str, Package]:
    """The packages that ``repository`` allows, by the name of their file.

    Raises:
        MalformedError: the index is broken.
    """
    found: dict[str, Package] = {}
    try:
        stanzas = text.decode("utf-8").split("\n\n")
    except UnicodeDecodeError as error:
        raise MalformedError(f"{what} is not UTF-8", _MEND) from error
    for stanza in stanzas:
        fields = dict(line.split(":", 1) for line in stanza.split("\n") if line[1:2] == ":")
        name, version, size = fields.get("P", ""), fields.get("V", ""), fields.get("S", "")
        if not name or not repository.allows(name):
            continue
        checksum = _checksum(fields.get("C", ""))
        if (
            checksum is None
            or not _NAME.match(name)
            or not _VERSION.match(version)
            or not re.match(r"\d{1,13}\Z", size)
        ):
            raise MalformedError(f"{what} has a broken entry for {name[:80]}", _MEND)
        found[f"{name}-{version}.apk"] = Package(name, int(size), checksum)
    return found


def package_check(package: Package, what: str) -> Callable[[Iterator[bytes]], Iterator[bytes]]:
    """A check for :meth:`Keeper.checked`: size, the control member's SHA-1, and the SHA-256 that it names."""

    def check(chunks: Iterator[bytes]) -> Iterator[bytes]:
        parts, size = _Parts(what), 0
        for chunk in chunks:
            size += len(chunk)
            if size > package.size:
                raise mismatch(what)
            for at in range(0, len(chunk), _STEP):
                parts.feed(chunk[at : at + _STEP])
            yield chunk
        if size != package.size or not parts.hold(package.checksum):
            raise mismatch(what)

    return check


class _Parts:
    """A package taken apart as it comes: signature, control, and the data, which is only hashed."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._number = 0
        self._inflater = zlib.decompressobj(31)
        self._control = bytearray()
        self._sha1 = hashlib.sha1(usedforsecurity=False)
        self._sha256 = hashlib.sha256()
        self._inflated = 0

    def feed(self, piece: bytes) -> None:
        while piece:
            if self._number > 1:
                self._sha256.update(piece)
                return
            try:
                out = self._inflater.decompress(piece, _SMALL + 1)
            except zlib.error as error:
                raise MalformedError(f"{self._what} is no package", _MEND) from error
            self._inflated += len(out)
            if self._inflated > _SMALL:
                raise OversizeError(f"{self._what} has too much before its data", _MEND)
            rest = self._inflater.unused_data
            if self._number == 1:
                self._control += out
                self._sha1.update(piece[: len(piece) - len(rest)])
            if self._inflater.eof:
                self._number += 1
                self._inflated = 0
                self._inflater = zlib.decompressobj(31)
            piece = rest

    def hold(self, checksum: bytes) -> bool:
        if self._number < 2 or self._sha1.digest() != checksum:  # noqa: PLR2004 - signature and control
            return False
        described = _files(bytes(self._control), self._what).get(".PKGINFO", b"")
        match = _DATAHASH.search(described.decode("utf-8", "replace"))
        return match is not None and match[1] == self._sha256.hexdigest()


def _first_member(raw: bytes, what: str) -> tuple[bytes, bytes]:
    inflater = zlib.decompressobj(31)
    try:
        out = inflater.decompress(raw, _SMALL)
    except zlib.error as error:
        raise MalformedError(f"{what} is no signed archive", _MEND) from error
    if not inflater.eof:
        raise MalformedError(f"{what} is no signed archive", _MEND)
    return out, inflater.unused_data


def _files(raw: bytes, what: str) -> Mapping[str, bytes]:
    """The files of a tar, which may lack its end: apk cuts it off where another member follows."""
    return {entry.path: b"".join(content) for entry, content in read_tar([raw], what=what, end_mark=False)}


def _checksum(text: str) -> bytes | None:
    if not text.startswith("Q1"):
        return None
    try:
        value = base64.b64decode(text[2:], validate=True)
    except ValueError:
        return None
    return value if len(value) == 20 else None  # noqa: PLR2004 - SHA-1
