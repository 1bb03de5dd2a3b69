"""The archive's signature over its InRelease, read so that only what was signed is ever used.

A clear-signed file invites two readings: text before or after the signed part, escaped dashes, blanks at line
ends, a second block. Debian's files have none of these, so each is refused, and the OpenPGP library's reading of
the signed text must be ours, byte for byte. Sources: RFC 9580, 7, "Cleartext Signature Framework"; RFC 9580, 6.2.
"""

from __future__ import annotations

import contextlib
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from sallyport.archives.keyring import Keyring
from sallyport.errors import ExpiredError, MalformedError, OversizeError, UnsignedError, WrongSignatureError

if TYPE_CHECKING:
    from pysequoia import Cert

RELEASE_LIMIT = 16 * 1024 * 1024  # bytes; real ones stay under a quarter of a megabyte
_SIGNATURES = 16
_BEGIN = "-----BEGIN PGP SIGNED MESSAGE-----"
_MIDDLE = "-----BEGIN PGP SIGNATURE-----"
_END = "-----END PGP SIGNATURE-----"
_HASH = re.compile(r"Hash: [A-Za-z0-9-]+(?:, ?[A-Za-z0-9-]+)*\Z")
_ARMOR = re.compile(r"[A-Za-z0-9+/=]{1,80}\Z")
_ARMOR_HEADER = re.compile(r"(?:Version|Comment|MessageID|Hash|Charset): ")
_MEND = "use another mirror; if it happens there too, do not use this archive and tell who runs it"


class SignedText(NamedTuple):
    """What was signed, and by whom."""

    text: str
    signed_by: tuple[str, ...]  # primary keys' fingerprints, upper-case hexadecimal, sorted


def verify_inrelease(raw: bytes, keyring: Keyring, *, now: datetime, what: str = "InRelease") -> SignedText:
    """The text that at least one trusted key signed.

    Raises:
        UnsignedError: no clear-signed message at all.
        WrongSignatureError: no signature by a trusted key verifies, or the file could be read in two ways.
        ExpiredError: it verifies, but only by keys that are expired at ``now``.
        OversizeError: absurdly long.
    """
    # 1. One block, nothing around it, nothing that two readers read differently.
    text, armor = _frame(raw, what)
    # 2. The armor holds signatures and nothing else.
    _only_signatures(armor, what)
    # 3. At least one signature by a key of the ring, over this very text.
    signers = _verify(raw, text, keyring, what)
    # 4. By a key that is good at the caller's time; the library asks only whether it was when it signed.
    return SignedText(text, _good(signers, keyring, now, what))


def verify_detached(
    raw: bytes, signature: bytes, keyring: Keyring, *, now: datetime, what: str = "Release"
) -> SignedText:
    """The text of ``raw``, a Release, that at least one trusted key signed in ``signature``, its Release.gpg.

    Raises:
        WrongSignatureError, ExpiredError, OversizeError, MalformedError: as :func:`verify_inrelease` does.
    """
    import pysequoia

    for part in (raw, signature):
        if len(part) > RELEASE_LIMIT:
            raise OversizeError(f"{what} has {len(part)} bytes; the limit is {RELEASE_LIMIT}", _MEND)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedError(f"{what} is not UTF-8", _MEND) from error
    certs = [cert for cert in _certs(keyring) if not cert.is_revoked]
    signers: list[tuple[str, str]] = []
    for one in _only_signatures(signature, what):
        # The library reads the first of several only, and an archive signs with its old key and its new one.
        with contextlib.suppress(RuntimeError, ValueError):
            result = pysequoia.verify(raw, lambda _wanted: certs, signature=pysequoia.Sig.from_bytes(one))
            signers += [(valid.certificate, valid.signing_key) for valid in result.valid_sigs]
    if not signers:
        raise WrongSignatureError(
            f"{what} is not signed by any trusted key ({keyring.origin})",
            "use another mirror, or name the keyring of this archive; never skip this check",
        )
    return SignedText(text, _good(signers, keyring, now, what))


def _good(signers: list[tuple[str, str]], keyring: Keyring, now: datetime, what: str) -> tuple[str, ...]:
    good, expired = set(), ""
    for fingerprint, key in signers:
        end = _expiry(keyring, fingerprint, key)
        if end is None or end > now:
            good.add(fingerprint.upper())
        else:
            expired = f"{fingerprint.upper()} expired on {end:%Y-%m-%d}"
    if not good:
        raise ExpiredError(
            f"{what} is signed only by a key that is no longer valid: {expired}",
            "install the current keyring package of the archive, or name a newer keyring",
        )
    return tuple(sorted(good))


def _frame(raw: bytes, what: str) -> tuple[str, bytes]:
    if len(raw) > RELEASE_LIMIT:
        raise OversizeError(f"{what} has {len(raw)} bytes; the limit is {RELEASE_LIMIT}", _MEND)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedError(f"{what} is not UTF-8", _MEND) from error
    lines = text.removesuffix("\n").split("\n")
    if _BEGIN not in lines:
        raise UnsignedError(f"{what} is not signed", "the address is wrong, or the mirror is broken: use another")
    if lines[0] != _BEGIN or lines[-1] != _END or len(lines) != len(text.splitlines()):
        raise WrongSignatureError(f"{what} has text outside its signed part, or control characters in it", _MEND)
    start = 1
    while start < len(lines) and _HASH.match(lines[start]):
        start += 1
    middle = lines.index(_MIDDLE) if _MIDDLE in lines else 0
    if not start <= middle or lines[start] != "":
        raise WrongSignatureError(f"{what} has a header that its signature does not cover", _MEND)
    signed = lines[start + 1 : middle]
    if any(line.startswith("-") or line != line.rstrip() for line in signed):
        raise WrongSignatureError(f"{what} has dashes or blanks that two readers read differently", _MEND)
    armor = lines[middle + 1 : -1]
    while armor and _ARMOR_HEADER.match(armor[0]):
        del armor[0]
    if not armor or armor[0] != "" or not all(_ARMOR.match(line) for line in armor[1:]):
        raise WrongSignatureError(f"{what} has something else where its signature must be", _MEND)
    # The line end before the signature is not part of the text.
    return "\n".join(signed), "\n".join((_MIDDLE, *armor, _END, "")).encode()


def _only_signatures(armor: bytes, what: str) -> list[bytes]:
    """Each signature by itself, in binary."""
    from pysequoia.packet import PacketPile, SignatureType, Tag

    try:
        packets = list(PacketPile.from_bytes(armor))
    except (RuntimeError, ValueError) as error:
        raise WrongSignatureError(f"{what}: its signature cannot be read", _MEND) from error
    if not 1 <= len(packets) <= _SIGNATURES:
        raise WrongSignatureError(f"{what} has {len(packets)} signatures", _MEND)
    for packet in packets:
        if packet.tag != Tag.Signature or packet.signature_type not in (SignatureType.Text, SignatureType.Binary):
            raise WrongSignatureError(f"{what} has something else than signatures over its text", _MEND)
    # RFC 9580, 4.2: tag 2 in the current format, with a length of five octets.
    return [b"\xc2\xff" + len(packet.body).to_bytes(4, "big") + packet.body for packet in packets]


def _verify(raw: bytes, text: str, keyring: Keyring, what: str) -> list[tuple[str, str]]:
    import pysequoia

    certs = [cert for cert in _certs(keyring) if not cert.is_revoked]
    try:
        result = pysequoia.verify(raw, lambda _wanted: certs)
    except (RuntimeError, ValueError) as error:
        raise WrongSignatureError(
            f"{what} is not signed by any trusted key ({keyring.origin})",
            "use another mirror, or name the keyring of this archive; never skip this check",
        ) from error
    if result.bytes != text.encode():
        raise WrongSignatureError(f"{what}: what was signed is not what stands there", _MEND)
    return [(signature.certificate, signature.signing_key) for signature in result.valid_sigs]


def _certs(keyring: Keyring) -> list[Cert]:
    import pysequoia

    try:
        return [cert for raw in keyring.certificates for cert in pysequoia.Cert.split_bytes(raw)]
    except (RuntimeError, ValueError) as error:
        raise MalformedError(f"the keyring ({keyring.origin}) cannot be read", "name another keyring file") from error


def _expiry(keyring: Keyring, fingerprint: str, key: str) -> datetime | None:
    """When the certificate or, where that is earlier, its signing subkey ends; None for never."""
    from pysequoia.packet import PacketPile, SignatureType, Tag

    ends: list[datetime] = []
    for cert in _certs(keyring):
        if cert.fingerprint != fingerprint:
            continue
        if cert.expiration is not None:
            ends.append(cert.expiration)
        inside = False
        created: datetime | None = None
        bound: tuple[datetime, datetime | None] | None = None
        for packet in PacketPile.from_bytes(bytes(cert)):
            if packet.tag == Tag.PublicSubkey:
                inside, created = packet.fingerprint == key, packet.key_created
            elif inside and packet.tag == Tag.Signature and packet.signature_type == SignatureType.SubkeyBinding:
                made, lasts = packet.signature_created, packet.key_validity_period
                end = created + lasts if created and lasts else None
                # The newest binding is the one that counts.
                if made and (bound is None or made >= bound[0]):
                    bound = (made, end)
        if bound and bound[1]:
            ends.append(bound[1])
    return min(ends).astimezone(UTC) if ends else None
