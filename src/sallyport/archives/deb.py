"""A binary package, read as a stream from where its bytes rest. Sources: deb(5), deb-control(5), deb-md5sums(5)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import cast

from sallyport.archives.ar import read_ar
from sallyport.archives.control import parse_stanza
from sallyport.errors import MalformedError, OversizeError
from sallyport.oci import BlobReader, Compression, Digest, Entry, Kind, TarLimits, decompress, read_tar, verified

SCRIPTS = ("config", "postinst", "postrm", "preinst", "prerm")
_CONTROL_LIMIT = 64 * 1024 * 1024  # bytes of the control member, inflated; the largest real ones are a few MB
_LIMITS = TarLimits(members=500_000, member_size=8 * 1024**3, total=32 * 1024**3)
_CONTROL_LIMITS = TarLimits(members=1000, member_size=_CONTROL_LIMIT, total=_CONTROL_LIMIT)
_MD5SUM = re.compile(r"([0-9a-f]{32}) [ *](?:\./)?(.+)\Z")
_MEND = "the package is broken: fetch it again, or report it to whoever publishes it"


@dataclass(frozen=True)
class Deb:
    """One ``.deb`` in ``blobs``, named by its digest. Its control part is read when it is first asked for."""

    blobs: BlobReader = field(repr=False)
    digest: Digest
    size: int

    @cached_property
    def members_of_control(self) -> Mapping[str, bytes]:
        """Every file of the control part by name: ``control``, ``md5sums``, ``postinst``, ``shlibs``.

        Raises:
            DamagedError: the bytes are not those of the digest, or no package.
        """
        found: dict[str, bytes] = {}
        chunks = self._proven()
        for part, kind, content in _parts(chunks, self._what):
            if part == "control":
                inflated = decompress(content, kind, what=self._what, limit=_CONTROL_LIMIT)
                for entry, body in read_tar(inflated, what=f"{self._what}, control", limits=_CONTROL_LIMITS):
                    if entry.kind is Kind.FILE and "/" not in entry.path:
                        found[entry.path] = b"".join(body)
        if "control" not in found:
            raise MalformedError(f"{self._what} has no control file", _MEND)
        return found

    @cached_property
    def control(self) -> Mapping[str, str]:
        """The control file's fields, names and values as written."""
        return parse_stanza(self._text("control"), what=f"{self._what}, control")

    @property
    def scripts(self) -> Mapping[str, bytes]:
        """The maintainer's scripts that there are: preinst, postinst, prerm, postrm, config."""
        return {name: self.members_of_control[name] for name in SCRIPTS if name in self.members_of_control}

    @cached_property
    def conffiles(self) -> tuple[str, ...]:
        """Absolute paths, as written; those marked ``remove-on-upgrade`` are left out."""
        if "conffiles" not in self.members_of_control:
            return ()
        lines = (line.strip() for line in self._text("conffiles").splitlines())
        return tuple(line for line in lines if line.startswith("/"))

    @cached_property
    def md5sums(self) -> Mapping[str, str]:
        """Relative path to md5 in hexadecimal; empty where the package brings none."""
        result: dict[str, str] = {}
        if "md5sums" in self.members_of_control:
            for line in self._text("md5sums").splitlines():
                found = _MD5SUM.match(line)
                if found is None:
                    raise MalformedError(f"{self._what}: md5sums has the line {line[:80]!r}", _MEND)
                result[found[2]] = found[1]
        return result

    @property
    def triggers(self) -> bytes:
        """The triggers file as it is; empty where there is none."""
        return self.members_of_control.get("triggers", b"")

    def members(self) -> Iterator[tuple[Entry, Iterator[bytes]]]:
        """Each member of the data part with its content, streamed.

        The bytes are proven when the iteration has ended; use what it yields only after that.

        Raises:
            DamagedError: the bytes are not those of the digest, no package, or an unsafe archive.
        """
        seen = False
        for part, kind, content in _parts(self._proven(), self._what):
            if part == "data":
                seen = True
                inflated = decompress(content, kind, what=self._what, limit=_LIMITS.total)
                yield from read_tar(inflated, what=self._what, limits=_LIMITS)
        if not seen:
            raise MalformedError(f"{self._what} has no data part", _MEND)

    def files(self, wanted: Iterable[str], *, limit: int = 64 * 1024 * 1024) -> Mapping[str, tuple[Entry, bytes]]:
        """The members named ``wanted`` (a trailing ``*`` matches any rest) with their contents, at most ``limit`` each.

        Reads no further than it must, but proves the whole package.
        """
        names = tuple(wanted)
        exact = {name for name in names if not name.endswith("*")}
        prefixes = tuple(name[:-1] for name in names if name.endswith("*"))
        found: dict[str, tuple[Entry, bytes]] = {}
        source = self._proven()
        for part, kind, content in _parts(source, self._what):
            if part != "data":
                continue
            inflated = decompress(content, kind, what=self._what, limit=_LIMITS.total)
            for entry, body in read_tar(inflated, what=self._what, limits=_LIMITS):
                if entry.path in exact or entry.path.startswith(prefixes):
                    if entry.size > limit:
                        raise OversizeError(f"{self._what}: {entry.path} has {entry.size} bytes", "refuse it")
                    found[entry.path] = (entry, b"".join(body))
                    if not prefixes and exact <= found.keys():
                        break
            break
        for _ in source:
            pass
        return found

    @property
    def _what(self) -> str:
        return f"the package {self.digest.short}"

    def _proven(self) -> Iterator[bytes]:
        return verified(self.blobs.chunks(self.digest), self.digest, self.size, what=self._what)

    def _text(self, name: str) -> str:
        try:
            return self.members_of_control[name].decode("utf-8")
        except UnicodeDecodeError as error:
            raise MalformedError(f"{self._what}: {name} is not UTF-8", _MEND) from error


def _parts(chunks: Iterator[bytes], what: str) -> Iterator[tuple[str, Compression, Iterator[bytes]]]:
    """``control`` and ``data`` with their compression; the end has been read when this has ended."""
    order = ["debian-binary", "control", "data"]
    for member, content in read_ar(chunks, what=what):
        if member.name.startswith("_"):
            continue  # deb(5): a local extension, to be ignored
        stem, _, kind = member.name.partition(".tar")
        expected = order.pop(0) if order else ""
        if stem != expected:
            raise MalformedError(f"{what} has the member {member.name} where {expected or 'its end'} must be", _MEND)
        if stem == "debian-binary":
            if member.size > 64 or not b"".join(content).startswith(b"2."):  # noqa: PLR2004 - "2.0" and a line end
                raise MalformedError(f"{what} is of another format than 2", "use a package that dpkg can read")
            continue
        if kind not in ("", ".gz", ".xz", ".zst", ".bz2"):
            raise MalformedError(f"{what} is compressed by {kind[:20]!r}", "only gz, xz, zst and bz2 are understood")
        yield stem, cast("Compression", kind[1:]), content
    if order:
        raise MalformedError(f"{what} has no {order[0]} part", _MEND)
