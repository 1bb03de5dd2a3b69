"""The binary packages of one architecture, parsed only where they are asked for. Source: Debian Policy 5.3, 7.5."""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sallyport.archives.control import parse_stanza
from sallyport.archives.model import BinaryPackage, Suite
from sallyport.archives.relations import parse_relations
from sallyport.archives.version import debian_key
from sallyport.errors import MalformedError, OversizeError
from sallyport.oci import Digest

_PACKAGES = 1_000_000
_STANZA_LIMIT = 4 * 1024 * 1024  # bytes; real ones are a few kB
_NAME = re.compile(rb"(?:\A|\n)Package:[ \t]*([a-z0-9][a-z0-9+.-]*)[ \t]*(?=\n|\Z)")
_PROVIDES = re.compile(rb"\nProvides:[ \t]*([^\n]*(?:\n[ \t][^\n]*)*)")
_FILENAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._~%:=@/-]*\.deb\Z")
_SOURCE = re.compile(r"(\S+)(?:\s+\(([^\s()]+)\))?\Z")
_MEND = "the index is signed and yet broken: use another mirror, and report it to whoever runs the archive"


@dataclass(frozen=True, slots=True)
class Index:
    """The text of one Packages file, verified, and the suite that it belongs to."""

    suite: Suite
    text: bytes | mmap.mmap


class PackageIndex:
    """Packages by name over several Packages files.

    Making it finds where each stanza stands (60,000 in about 0.2 s); a stanza is parsed when it is asked for.
    """

    def __init__(self, architecture: str, indexes: Iterable[Index]) -> None:
        self.architecture = architecture
        self._indexes = tuple(indexes)
        self._spans: dict[str, list[tuple[Index, int, int]]] = {}
        self._parsed: dict[str, tuple[BinaryPackage, ...]] = {}
        self._providers: dict[str, list[str]] | None = None
        count = 0
        for index in self._indexes:
            for start, end in _stanzas(index.text):
                count += 1
                if count > _PACKAGES:
                    raise OversizeError(f"the index of {index.suite.name} has more than {_PACKAGES} packages", _MEND)
                self._spans.setdefault(_name(index, start, end), []).append((index, start, end))

    def __len__(self) -> int:
        return len(self._spans)

    def names(self) -> Iterator[str]:
        """Every package's name, once each, in the order of the indexes."""
        return iter(self._spans)

    def versions(self, name: str) -> tuple[BinaryPackage, ...]:
        """Every version there is, newest first; none for an unknown name.

        Raises:
            MalformedError: a stanza is broken.
        """
        known = self._parsed.get(name)
        if known is None:
            found: dict[tuple[str, str], BinaryPackage] = {}
            for index, start, end in self._spans.get(name, ()):
                package = _package(index, bytes(index.text[start:end]), name)
                if package.architecture in (self.architecture, "all"):
                    found.setdefault((package.version, package.architecture), package)
            known = tuple(sorted(found.values(), key=lambda package: debian_key(package.version), reverse=True))
            self._parsed[name] = known
        return known

    def newest(self, name: str) -> BinaryPackage | None:
        """The newest version over all suites."""
        versions = self.versions(name)
        return versions[0] if versions else None

    def providers(self, virtual: str) -> tuple[BinaryPackage, ...]:
        """The newest versions that provide the name ``virtual``, by name; not the real package of that name."""
        if self._providers is None:
            self._providers = self._find_providers()
        found = (self.newest(name) for name in sorted(set(self._providers.get(virtual, ()))))
        return tuple(
            package
            for package in found
            if package is not None
            and any(
                relation.name == virtual
                for group in parse_relations(package.fields.get("Provides", ""))
                for relation in group
            )
        )

    def essential(self) -> tuple[BinaryPackage, ...]:
        """The newest versions of the packages marked Essential, by name."""
        names = {
            name
            for name, spans in self._spans.items()
            for index, start, end in spans
            if index.text.find(b"\nEssential: yes", start, end) >= 0
        }
        found = (self.newest(name) for name in sorted(names))
        return tuple(package for package in found if package is not None and package.essential)

    def _find_providers(self) -> dict[str, list[str]]:
        providers: dict[str, list[str]] = {}
        for name, spans in self._spans.items():
            for index, start, end in spans:
                if index.text.find(b"\nProvides:", start, end) < 0:
                    continue
                found = _PROVIDES.search(index.text, start, end)
                if found:
                    for item in found[1].decode("utf-8", "replace").split(","):
                        virtual = item.partition("(")[0].partition(":")[0].strip()
                        providers.setdefault(virtual, []).append(name)
        return providers


def _stanzas(text: bytes | mmap.mmap) -> Iterator[tuple[int, int]]:
    at, size = 0, len(text)
    while at < size:
        end = text.find(b"\n\n", at)
        if end < 0:
            end = size
        if end > at:
            yield at, end
        at = end + 2
        while at < size and text[at : at + 1] == b"\n":
            at += 1


def _name(index: Index, start: int, end: int) -> str:
    text = index.text
    if text[start : start + 9] == b"Package: ":
        stop = text.find(b"\n", start, end)
        name = bytes(text[start + 9 : stop if stop > 0 else end])
        if name.isascii() and name and b" " not in name:
            return name.decode("ascii")
    found = _NAME.search(bytes(text[start:end]))
    if found is None:
        raise MalformedError(f"the index of {index.suite.name} has a stanza without a package", _MEND)
    return found[1].decode("ascii")


def _package(index: Index, raw: bytes, name: str) -> BinaryPackage:
    what = f"the index of {index.suite.name}, {name}"
    if len(raw) > _STANZA_LIMIT:
        raise OversizeError(f"{what} has {len(raw)} bytes", _MEND)
    try:
        fields = parse_stanza(raw.decode("utf-8"), what=what)
    except UnicodeDecodeError as error:
        raise MalformedError(f"{what} is not UTF-8", _MEND) from error
    missing = [field for field in ("Version", "Architecture", "Filename", "Size", "SHA256") if not fields.get(field)]
    if missing or fields.get("Package") != name:
        raise MalformedError(f"{what} has no {', '.join(missing) or 'name'}", _MEND)
    source = _SOURCE.match(fields.get("Source", name))
    filename, size = fields["Filename"].removeprefix("./"), fields["Size"]
    if source is None or not _FILENAME.match(filename) or {"..", "", "."} & set(filename.split("/")):
        raise MalformedError(f"{what} has a Source or Filename that cannot be", _MEND)
    if not size.isdecimal() or not size.isascii() or len(size) > 13:  # noqa: PLR2004 - terabytes are no package
        raise MalformedError(f"{what} has no size", _MEND)
    debian_key(fields["Version"])
    return BinaryPackage(
        name=name,
        version=fields["Version"],
        architecture=fields["Architecture"],
        source=source[1],
        source_version=source[2] or fields["Version"],
        filename=filename,
        size=int(size),
        digest=Digest("sha256", fields["SHA256"]),
        suite=index.suite,
        fields=fields,
    )
