"""The image that is to be patched, as far as patching must know it; every layer is read once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from sallyport.compose import DpkgDatabase, Draft, Installed, is_database_file, read_database
from sallyport.errors import MissingBlobError, OversizeError
from sallyport.oci import BlobReader, Digest, Entry, Image, Kind, Rootfs, list_layer, read_layer
from sallyport.patch.solve import Member

_KEPT = frozenset(
    (
        "etc/passwd",
        "etc/group",
        "etc/ca-certificates.conf",
        "etc/ld.so.cache",
        "etc/dpkg/dpkg.cfg",
        "var/lib/dpkg/diversions",
        "var/lib/dpkg/statoverride",
    )
)
_KEPT_FOLDERS = ("etc/dpkg/dpkg.cfg.d/", "var/lib/dpkg/alternatives/", "var/lib/dpkg/triggers/")
_READ_LIMIT = 256 * 1024 * 1024  # bytes of all contents that are read later


@dataclass(frozen=True, slots=True)
class Base:
    """An image with its root and its package database."""

    image: Image
    blobs: BlobReader = field(repr=False)
    rootfs: Rootfs = field(repr=False)
    database: DpkgDatabase = field(repr=False)

    def text(self, path: str) -> str | None:
        """A small text file; None where there is none, or none that was kept."""
        try:
            raw = self.rootfs.read(path)
        except MissingBlobError:
            return None
        return None if raw is None else raw.decode("utf-8", "replace")

    def real(self, path: str) -> str:
        """The real path of ``path``, whose last component is not followed."""
        return real_path(self.rootfs, path)

    def installed(self, architecture: str) -> Mapping[str, Installed]:
        """The packages whose files are there, of this architecture or all."""
        return {
            package.name: package
            for package in self.database.packages
            if package.present and package.architecture in (architecture, "all")
        }

    def contents(self, paths: Iterable[str]) -> Mapping[str, bytes]:
        """The contents of the files at the real ``paths``; their layers are read and proven once more.

        Raises:
            OversizeError: they are larger together than what may be kept in memory.
        """
        wanted: dict[Digest, dict[str, list[str]]] = {}
        size = 0
        for path in paths:
            node = self.rootfs.get(path)
            if node is not None and node.entry.kind is Kind.FILE:
                size += node.entry.size
                wanted.setdefault(node.layer, {}).setdefault(node.member or path, []).append(path)
        if size > _READ_LIMIT:
            raise OversizeError(f"{size} bytes of files would have to be read at once", "report the image")
        found: dict[str, bytes] = {}
        for layer, diff_id in self.image.layers:
            members = wanted.get(layer.digest)
            if not members:
                continue
            for entry, body in read_layer(self.blobs, layer, diff_id=diff_id):
                if entry.kind is Kind.FILE and entry.path in members:
                    content = b"".join(body)
                    found.update(dict.fromkeys(members[entry.path], content))
        return found

    def md5_of(self, paths: Iterable[str]) -> Mapping[str, str]:
        """The md5 of the files at the real ``paths``, as dpkg compares configuration files by."""
        contents = self.contents(paths)
        return {path: hashlib.md5(raw, usedforsecurity=False).hexdigest() for path, raw in contents.items()}


def real_path(rootfs: Rootfs, path: str) -> str:
    """The real path of ``path``, whose last component is not followed."""
    parent, _, name = path.strip("/").rpartition("/")
    folder = rootfs.resolve(parent)
    return f"{folder}/{name}" if folder else name


def read_base(image: Image, blobs: BlobReader) -> Base:
    """Read what patching must know of ``image``.

    Raises:
        DamagedError: a layer is not what its digest says, or the package database is broken.
    """
    listings = [list_layer(blobs, layer, diff_id=diff_id, keep=_keep) for layer, diff_id in image.layers]
    rootfs = Rootfs.merge(listings)
    return Base(image, blobs, rootfs, read_database(rootfs))


def _keep(path: str) -> bool:
    return is_database_file(path) or path in _KEPT or path.startswith(_KEPT_FOLDERS)


def members_of(packages: Mapping[str, Installed]) -> Mapping[str, Member]:
    """For the solver."""
    return {name: Member(name, package.version, package.fields) for name, package in packages.items()}


def on_hold(packages: Mapping[str, Installed]) -> frozenset[str]:
    """Packages that somebody told dpkg not to touch. Source: dpkg(1), "hold"."""
    return frozenset(name for name, package in packages.items() if package.fields.get("Status", "").startswith("hold "))


@dataclass(frozen=True, slots=True)
class ImageTree:
    """A :class:`Tree` of a root, as it is or as a draft will leave it."""

    resolve: Callable[[str], str]
    at: Callable[[str], Entry | None]
    base: Base

    def entry(self, path: str, *, follow: bool) -> Entry | None:
        parent, _, name = path.strip("/").rpartition("/")
        folder = self.resolve(parent)
        real = f"{folder}/{name}" if folder else name
        return self.at(self.resolve(real) if follow else real)

    def text(self, path: str) -> str | None:
        return self.base.text(path)


def tree_before(base: Base) -> ImageTree:
    """What the old version's scripts would find."""

    def at(path: str) -> Entry | None:
        node = base.rootfs.get(path)
        return None if node is None else node.entry

    return ImageTree(base.rootfs.resolve, at, base)


def tree_after(base: Base, draft: Draft) -> ImageTree:
    """What the new version's postinst would find."""
    return ImageTree(draft.resolve, draft.entry, base)
