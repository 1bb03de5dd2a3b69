"""The packages of dpkg: ``/var/lib/dpkg/status``, and ``status.d`` of images without dpkg (distroless).

Sources: Debian Policy 5.6; dpkg-query(1), "Status"; dpkg source, ``lib/dpkg/parsehelp.c`` for names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from sallyport.archives import debian_key
from sallyport.catalog.control import paragraphs
from sallyport.catalog.interface import Cataloguer
from sallyport.catalog.model import Package
from sallyport.errors import MalformedError
from sallyport.oci import Digest, Listing, Rootfs

STATUS = "var/lib/dpkg/status"
FOLDER = "var/lib/dpkg/status.d"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]{0,254}\Z")
_ARCHITECTURE = re.compile(r"[a-z0-9][a-z0-9-]{0,63}\Z")
_SOURCE = re.compile(r"(\S+)(?:\s+\(([^()\s]+)\))?\Z")
_MEND = "the image's package database is broken: build the image anew, or fetch it again"

# Every other state has the package's files on the disk, wholly or in part: what is there can be attacked.
_ABSENT = frozenset({"not-installed", "config-files"})
_STATES = _ABSENT | {
    "half-installed",
    "unpacked",
    "half-configured",
    "triggers-awaited",
    "triggers-pending",
    "installed",
}


class DpkgCataloguer:
    """A :class:`Cataloguer` of deb packages."""

    name = "dpkg"

    def wants(self, path: str) -> bool:
        # By its end: /var/lib/dpkg may itself be a link, and then the bytes stand under another name.
        # Status and its backup: some builders write the one as a hard link to the other.
        return path.endswith(("dpkg/status", "dpkg/status-old")) or (
            "/status.d/" in path and not path.endswith(".md5sums")
        )

    def packages(self, rootfs: Rootfs, layers: Sequence[Listing]) -> tuple[Package, ...]:
        return (*_from_status(rootfs, layers), *_from_folder(rootfs))


def _from_status(rootfs: Rootfs, layers: Sequence[Listing]) -> Iterator[Package]:
    path = rootfs.resolve(STATUS)
    node, merged = rootfs.get(path), rootfs.read(path)
    if node is None or merged is None:
        return
    # A layer that touches the file brings it whole, so who brought a package shows only by comparing:
    # it is the layer since which every status file has named this package in this version.
    packages: dict[tuple[str, ...], Package] = {}
    members = (path, STATUS, node.member)
    for layer in layers:
        raw = next((layer.contents[member] for member in members if member in layer.contents), None)
        if raw is not None:
            now = parse_status(raw, layer=layer.layer, location=STATUS)
            packages = {_identity(package): packages.get(_identity(package), package) for package in now}
    # What the merged root shows is what counts: a last layer may have changed the file by another road.
    for package in parse_status(merged, layer=node.layer, location=STATUS):
        yield packages.get(_identity(package), package)


def _identity(package: Package) -> tuple[str, ...]:
    return (package.name, package.architecture, package.version)


def _from_folder(rootfs: Rootfs) -> Iterator[Package]:
    folder = rootfs.resolve(FOLDER)
    for child in rootfs.children(folder):
        if child.endswith(".md5sums"):
            continue
        path = rootfs.resolve(child)
        node, raw = rootfs.get(path), rootfs.read(path)
        if node is not None and raw is not None:
            yield from parse_status(raw, layer=node.layer, location=f"{FOLDER}/{child.rpartition('/')[2]}")


def parse_status(raw: bytes, *, layer: Digest, location: str) -> tuple[Package, ...]:
    """The installed packages that ``raw``, a status file, names.

    A paragraph without ``Status`` is installed: the files of ``status.d`` have none.

    Raises:
        MalformedError: a paragraph that dpkg itself would not read; the message names the package.
        OversizeError: see :func:`paragraphs`.
    """
    return tuple(
        package
        for fields in paragraphs(raw, what=location)
        if (package := _package(fields, layer=layer, location=location)) is not None
    )


def _package(fields: Mapping[str, str], *, layer: Digest, location: str) -> Package | None:
    name = fields.get("package", "")
    if not _NAME.match(name):
        raise MalformedError(f"{location}: {name[:60]!r} is not a package's name", _MEND)
    status = fields.get("status")
    if status is not None:
        words = status.split()
        if len(words) != 3 or words[2] not in _STATES:  # noqa: PLR2004 - want, flag, state
            raise MalformedError(f"{location}: {name} has the unknown status {status[:60]!r}", _MEND)
        if words[2] in _ABSENT:
            return None
    version, architecture = fields.get("version", ""), fields.get("architecture", "")
    if not _ARCHITECTURE.match(architecture):
        raise MalformedError(f"{location}: {name} has the architecture {architecture[:60]!r}", _MEND)
    source, source_version = _source(fields.get("source", ""), name, version, location)
    for number in (version, source_version):
        _check_version(number, name, location)
    return Package("deb", name, version, architecture, source, source_version, layer, location)


def _source(text: str, name: str, version: str, location: str) -> tuple[str, str]:
    """``openssl (3.0.20-1)``: the brackets are there where the versions differ."""
    if not text:
        return name, version
    found = _SOURCE.match(text)
    if found is None or not _NAME.match(found[1]):
        raise MalformedError(f"{location}: {name} has the source {text[:60]!r}", _MEND)
    return found[1], found[2] or version


def _check_version(version: str, name: str, location: str) -> None:
    try:
        debian_key(version)
    except MalformedError as error:
        raise MalformedError(f"{location}: {name}: {error.message}", _MEND) from error


if TYPE_CHECKING:
    _fits: type[Cataloguer] = DpkgCataloguer
