"""What ``update-ca-certificates`` makes, made again without running it: the bundle, and the links to each certificate.

As the image has them: where it has no bundle, or no links by hash, none is made. Sources: update-ca-certificates(8)
and its script; the postinst of ca-certificates (which names are enabled); OpenSSL, x509_hash and ``x509_name_canon``
(the hash by which a folder of certificates is searched).
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count

from sallyport.compose import Draft
from sallyport.errors import MalformedError
from sallyport.oci import Entry, Kind
from sallyport.patch.base import Base

CONFIG = "etc/ca-certificates.conf"
SHARED = "usr/share/ca-certificates"
LOCAL = "usr/local/share/ca-certificates"
LINKS = "etc/ssl/certs"
BUNDLE = f"{LINKS}/ca-certificates.crt"
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL)
_HASHED = re.compile(r"[0-9a-f]{8}\.[0-9]+\Z")
_STRINGS = frozenset({0x0C, 0x13, 0x14, 0x16, 0x1A, 0x1C, 0x1E})  # UTF8, Printable, T61, IA5, Visible, Universal, BMP
_SEQUENCE, _SET, _OID, _UTF8, _VERSION = 0x30, 0x31, 0x06, 0x0C, 0xA0
_SUBJECT = 4  # of TBSCertificate's fields, without the version
_MEND = "the certificate is broken: report it to whoever publishes it"


@dataclass(frozen=True, slots=True)
class Certificate:
    """One file with a certificate, at its real path."""

    path: str
    content: bytes


def enabled(config: str | None, available: Sequence[str]) -> tuple[tuple[str, ...], str | None]:
    """The enabled names in their order, and the configuration as the upgrade leaves it.

    Without a configuration every certificate is enabled. With one, what it disables stays disabled, what is gone
    is disabled, and what is new is trusted, which is the package's own default.
    """
    names = sorted(available)
    if config is None:
        return tuple(names), None
    lines: list[str] = []
    known: set[str] = set()
    for line in config.splitlines():
        if not line.startswith("#") and line.strip():
            name = line.removeprefix("!")
            known.add(name)
            lines.append(line if line.startswith("!") or name in available else f"!{name}")
        else:
            lines.append(line)
    lines += [name for name in names if name not in known]
    chosen = [line for line in lines if line.strip() and not line.startswith(("#", "!"))]
    return tuple(chosen), "".join(f"{line}\n" for line in lines)


def bundle_of(certificates: Sequence[Certificate]) -> bytes:
    """Their contents one after the other, each ending in a line end."""
    return b"".join(item.content if item.content.endswith(b"\n") else item.content + b"\n" for item in certificates)


def link_name(path: str) -> str:
    """The name of the link to a certificate in ``/etc/ssl/certs``."""
    stem = path.rpartition("/")[2].removesuffix(".crt")
    return re.sub(r"[()]", "=", stem.replace(" ", "_")).replace(",", "_") + ".pem"


def subject_hash(content: bytes) -> str | None:
    """OpenSSL's hash of the subject of the certificate in ``content``; None where there is none, or more than one.

    Raises:
        MalformedError: it is no certificate.
    """
    found = _PEM.findall(content)
    if len(found) != 1:
        return None
    try:
        raw = base64.b64decode(b"".join(found[0].split()), validate=True)
    except ValueError as error:
        raise MalformedError(f"a certificate cannot be read: {str(error)[:80]}", _MEND) from error
    # Certificate > TBSCertificate > subject, behind version, serial number, algorithm, issuer and validity; read by
    # hand, because a careful parser refuses the serial numbers of some old authorities. Source: RFC 5280, 4.1.
    fields = list(_elements(_inner(_inner(raw))))
    fields = fields[1:] if fields and fields[0][0] == _VERSION else fields
    if len(fields) <= _SUBJECT or fields[_SUBJECT][0] != _SEQUENCE:
        raise MalformedError("a certificate has no subject", _MEND)
    body = fields[_SUBJECT][1]
    canonical = b"".join(_canonical_set(part) for _, part in _elements(body))
    digest = hashlib.sha1(canonical, usedforsecurity=False).digest()
    return f"{int.from_bytes(digest[:4], 'little'):08x}"


def _canonical_set(body: bytes) -> bytes:
    pairs = []
    for _, pair in _elements(body):
        (_, oid), (tag, value) = _elements(pair)
        if tag in _STRINGS:
            tag, value = _UTF8, _canonical_text(tag, value)
        pairs.append(_encoded(_SEQUENCE, _encoded(_OID, oid) + _encoded(tag, value)))
    return _encoded(_SET, b"".join(sorted(pairs)))


def _canonical_text(tag: int, value: bytes) -> bytes:
    text = value.decode({0x1E: "utf-16-be", 0x1C: "utf-32-be", 0x0C: "utf-8"}.get(tag, "latin-1"), "replace")
    # Only ASCII is folded and trimmed, or another reader would find another hash.
    text = re.sub(r"[ \t\n\v\f\r]+", " ", text.strip(" \t\n\v\f\r"))
    return "".join(character.lower() if character.isascii() else character for character in text).encode()


def _inner(data: bytes) -> bytes:
    tag, body, _ = _element(data)
    if tag != _SEQUENCE:
        raise MalformedError("a certificate is no sequence", _MEND)
    return body


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    while data:
        tag, body, data = _element(data)
        yield tag, body


def _element(data: bytes) -> tuple[int, bytes, bytes]:
    """Tag, content and what follows. Source: X.690, 8.1 (definite lengths)."""
    try:
        tag, length, at = data[0], data[1], 2
        if length & 0x80:
            at += length & 0x7F
            length = int.from_bytes(data[2:at], "big")
    except IndexError as error:
        raise MalformedError("a certificate's subject ends too early", _MEND) from error
    if at + length > len(data):
        raise MalformedError("a certificate's subject ends too early", _MEND)
    return tag, data[at : at + length], data[at + length :]


def _encoded(tag: int, body: bytes) -> bytes:
    size = len(body)
    if size < 0x80:  # noqa: PLR2004 - the short form
        return bytes((tag, size)) + body
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + body


# --- in an image --------------------------------------------------------------------------------


def refresh_certificates(base: Base, draft: Draft, fresh: Mapping[str, bytes], mtime: int) -> tuple[str, ...]:
    """Make bundle and links anew in ``draft``; returns the real paths that were written or removed.

    ``fresh`` has the contents of the certificates that the draft brings, by their real paths.
    """
    folder = draft.resolve(LINKS)
    before = {path.rpartition("/")[2]: path for path in base.rootfs.children(folder)}
    shared, local = _certificates(draft, SHARED), _certificates(draft, LOCAL)
    contents = {**base.contents(path for path in (*shared, *local) if path not in fresh), **fresh}
    root = draft.resolve(SHARED)
    names = {path.removeprefix(f"{root}/"): path for path in shared}
    chosen, config = enabled(base.text(CONFIG), sorted(names))
    paths = [names[name] for name in chosen if name in names] + sorted(local)
    certificates = [Certificate(path, contents[path]) for path in paths]
    written: list[str] = []
    if config is not None and config != base.text(CONFIG):
        written.append(_file(draft, CONFIG, config.encode(), mtime))
    if BUNDLE.rpartition("/")[2] in before and certificates:
        written.append(_file(draft, BUNDLE, bundle_of(certificates), mtime))
    for name, target in _links(base, before, certificates).items():
        path = f"{folder}/{name}"
        written.append(path)
        if target is None:
            draft.remove(path)
        else:
            draft.put(Entry(path, Kind.SYMLINK, 0o777, mtime=mtime, link=target))
    return tuple(written)


def _links(base: Base, before: Mapping[str, str], certificates: Sequence[Certificate]) -> Mapping[str, str | None]:
    """The links that change: name to target, or None for one that goes."""
    targets: dict[str, str] = {}
    for name, path in before.items():
        node = base.rootfs.get(path)
        if node is not None and node.entry.kind is Kind.SYMLINK:
            targets[name] = node.entry.link
    named = {name for name, link in targets.items() if link.startswith((f"/{SHARED}/", f"/{LOCAL}/"))}
    if not named:
        return {}
    wanted = {link_name(item.path): f"/{item.path}" for item in certificates}
    hashed = {name for name in targets if _HASHED.match(name)}
    if hashed:
        # A hash that leads to a certificate of somebody else is not ours to judge, and keeps its number.
        others = {name: targets[name] for name in hashed if targets[name] not in named | wanted.keys()}
        wanted |= hash_links(certificates, others)
    gone: dict[str, str | None] = dict.fromkeys(sorted((named | hashed) - wanted.keys()))
    return gone | {name: link for name, link in sorted(wanted.items()) if targets.get(name) != link}


def hash_links(certificates: Sequence[Certificate], others: Mapping[str, str]) -> Mapping[str, str]:
    """As ``openssl rehash`` makes them: the subject's hash and a number; one certificate is linked once."""
    result = dict(others)
    seen: set[bytes] = set()
    for item in sorted(certificates, key=lambda item: link_name(item.path)):
        key = subject_hash(item.content)
        mark = hashlib.sha256(item.content).digest()
        if key is None or mark in seen:
            continue
        seen.add(mark)
        number = next(number for number in count() if f"{key}.{number}" not in result)
        result[f"{key}.{number}"] = link_name(item.path)
    return result


def _certificates(draft: Draft, folder: str) -> tuple[str, ...]:
    """The real paths of every ``*.crt`` below ``folder``, as the patch leaves them."""
    found: list[str] = []
    waiting = [draft.resolve(folder)]
    while waiting:
        for path in draft.children(waiting.pop()):
            entry = draft.entry(path)
            if entry is not None and entry.kind is Kind.DIRECTORY:
                waiting.append(path)
            elif entry is not None and entry.kind is Kind.FILE and path.endswith(".crt"):
                found.append(path)
    return tuple(sorted(found))


def _file(draft: Draft, path: str, content: bytes, mtime: int) -> str:
    there = draft.entry(draft.resolve(path))
    mode, uid, gid = (there.mode, there.uid, there.gid) if there else (0o644, 0, 0)
    return draft.put(Entry(draft.resolve(path), Kind.FILE, mode, uid, gid, mtime=mtime), content)
