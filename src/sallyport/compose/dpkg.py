"""dpkg's database in an image: read, changed as a value, written back.

Two forms are in use. ``status``: one file of stanzas, with ``info/<package>.list`` and others beside it, as dpkg
keeps them. ``status.d``: one file for each package and its ``.md5sums``, as distroless images have it, without file
lists or scripts. An image may have both. Sources: dpkg(1), "FILES"; deb-triggers(5); dpkg's trigger database
(``triggers/File``); the package metadata description of the distroless project.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from sallyport.archives import Deb, parse_stanza, render_stanza
from sallyport.compose.unpack import Unpacked
from sallyport.errors import MalformedError
from sallyport.oci import Rootfs

ROOT = "var/lib/dpkg"
_MEND = "the image's package database is broken: ask its publisher to build it anew"
_ORDER = (
    *("Package", "Essential", "Protected", "Status", "Priority", "Section", "Installed-Size", "Origin", "Maintainer"),
    *("Bugs", "Architecture", "Multi-Arch", "Source", "Version", "Config-Version", "Replaces", "Provides", "Depends"),
    *("Pre-Depends", "Recommends", "Suggests", "Breaks", "Conflicts", "Enhances", "Conffiles", "Description"),
    *("Triggers-Pending", "Triggers-Awaited"),
)
"""The order in which dpkg writes fields; others follow as they come."""
_SCRIPTS = frozenset({"config", "postinst", "postrm", "preinst", "prerm"})
_CONFFILE = re.compile(r" (/.+) ([0-9a-f]{32}|newconffile)( obsolete)?( remove-on-upgrade)?\Z")


class Style(enum.Enum):
    """How an image keeps the record of a package."""

    STATUS = "status"
    STATUS_D = "status.d"


@dataclass(frozen=True, slots=True)
class DatabaseFile:
    """A file of the database as it is to be written."""

    content: bytes = field(repr=False)
    mode: int = 0o644


@dataclass(frozen=True, slots=True)
class Installed:
    """One package's record. ``stanza`` is its text as it stands, so that what is not changed is written as it was."""

    style: Style
    stanza: str = field(repr=False)
    fields: Mapping[str, str] = field(repr=False, hash=False)
    info: Mapping[str, bytes] = field(repr=False, hash=False)  # by extension: "list", "md5sums", "postinst" …
    file: str = ""  # the name in status.d; empty: the package's

    @property
    def name(self) -> str:
        return self.fields.get("Package", "")

    @property
    def version(self) -> str:
        return self.fields.get("Version", "")

    @property
    def architecture(self) -> str:
        return self.fields.get("Architecture", "")

    @property
    def key(self) -> tuple[str, str]:
        """Name and architecture; two architectures of one package can be installed beside each other."""
        return (self.name, self.architecture)

    @property
    def present(self) -> bool:
        """Whether its files are there: neither removed nor only its configuration left."""
        status = self.fields.get("Status", "install ok installed")
        return status.rpartition(" ")[2] not in ("not-installed", "config-files")

    @property
    def files(self) -> tuple[str, ...]:
        """Relative paths as the package writes them, folders included; of ``status.d`` only regular files are known."""
        if "list" in self.info:
            lines = self.info["list"].decode("utf-8", "surrogateescape").split("\n")
            return tuple(line.lstrip("/") for line in lines if line not in ("", "/.", "/"))
        return tuple(self.md5sums)

    @property
    def md5sums(self) -> Mapping[str, str]:
        """Relative path to md5."""
        lines = self.info.get("md5sums", b"").decode("utf-8", "surrogateescape").split("\n")
        pairs = (line.split("  ", 1) for line in lines if "  " in line)
        return {path.removeprefix("./"): md5 for md5, path in pairs}

    @property
    def conffiles(self) -> Mapping[str, str]:
        """Absolute path to the md5 that the package shipped it with, obsolete ones left out."""
        result: dict[str, str] = {}
        for line in self.fields.get("Conffiles", "").split("\n")[1:]:
            found = _CONFFILE.match(line)
            if found and not found[3]:
                result[found[1]] = found[2]
        return result

    @property
    def stem(self) -> str:
        """The name of its files in ``info``: with the architecture where several may be installed."""
        same = self.fields.get("Multi-Arch") == "same"
        return f"{self.name}:{self.architecture}" if same else self.name


@dataclass(frozen=True, slots=True)
class DpkgDatabase:
    """Every package's record, in the order in which it stands. A value: changing it makes another."""

    packages: tuple[Installed, ...] = ()

    def get(self, name: str, architecture: str = "") -> Installed | None:
        """The record of ``name``, of any architecture where none is given."""
        for package in self.packages:
            if package.name == name and architecture in ("", package.architecture):
                return package
        return None

    def owners(self, path: str) -> tuple[Installed, ...]:
        """The packages whose list names the relative path ``path``, as they write it."""
        return tuple(package for package in self.packages if package.present and path in package.files)

    def having(self, new: Iterable[Installed]) -> DpkgDatabase:
        """With the records ``new``, each in the place of its older version, or at the end.

        An older version is the one of the same name and architecture; a package that moves between an
        architecture and "all" replaces its only other record too.
        """
        packages = list(self.packages)
        for package in new:
            places = [at for at, old in enumerate(packages) if old.key == package.key]
            if not places:
                same = [at for at, old in enumerate(packages) if old.name == package.name]
                places = [at for at in same if "all" in (package.architecture, packages[at].architecture)]
            if places:
                packages[places[0]] = package
            else:
                packages.append(package)
        return DpkgDatabase(tuple(packages))

    def without(self, keys: Iterable[tuple[str, str]]) -> DpkgDatabase:
        """Without the packages of these names and architectures."""
        gone = set(keys)
        return DpkgDatabase(tuple(package for package in self.packages if package.key not in gone))

    def render(self) -> Mapping[str, DatabaseFile]:
        """Every file of the database by its path; empty where there is no package."""
        files: dict[str, DatabaseFile] = {}
        full = [package for package in self.packages if package.style is Style.STATUS]
        for package in self.packages:
            if package.style is Style.STATUS_D:
                name = f"{ROOT}/status.d/{package.file or package.name}"
                files[name] = DatabaseFile(package.stanza.rstrip("\n").encode() + b"\n")
                if "md5sums" in package.info:
                    files[f"{name}.md5sums"] = DatabaseFile(package.info["md5sums"])
                continue
            for extension, content in package.info.items():
                mode = 0o755 if extension in _SCRIPTS else 0o644
                files[f"{ROOT}/info/{package.stem}.{extension}"] = DatabaseFile(content, mode)
        if full:
            text = "".join(package.stanza.rstrip("\n") + "\n\n" for package in full)
            files[f"{ROOT}/status"] = DatabaseFile(text.encode("utf-8", "surrogateescape"))
            files[f"{ROOT}/info/format"] = DatabaseFile(b"1\n")
            files |= _triggers(full)
        return files

    def changes(self, before: DpkgDatabase) -> tuple[Mapping[str, DatabaseFile], frozenset[str]]:
        """What to write over ``before`` and which of its files to remove, to have this."""
        old, new = before.render(), self.render()
        return {path: file for path, file in new.items() if old.get(path) != file}, frozenset(old) - frozenset(new)


def is_database_file(path: str) -> bool:
    """Whether reading a database asks for the content of ``path``; for ``list_layer``'s ``keep``."""
    return path.startswith((f"{ROOT}/status", f"{ROOT}/info/"))


def read_database(root: Rootfs) -> DpkgDatabase:
    """The database of an image whose listings kept what :func:`is_database_file` names; empty where there is none.

    Raises:
        MalformedError: it is broken.
        MissingBlobError: a content was not kept.
    """
    packages: list[Installed] = []
    status = root.read(f"{ROOT}/status")
    if status is not None:
        info = _info(root)
        text = _decode(status, f"{ROOT}/status")
        for stanza in re.split(r"\n(?:[ \t]*\n)+", text.strip("\n")):
            if stanza.strip():
                fields = _fields(stanza, f"{ROOT}/status")
                package = Installed(Style.STATUS, stanza + "\n", fields, {})
                beside = info.get(package.stem) or info.get(package.name) or {}
                packages.append(replace(package, info=beside))
    for path in root.children(f"{ROOT}/status.d"):
        name = path.rpartition("/")[2]
        if name.endswith(".md5sums"):
            continue
        content = root.read(path)
        if content is None or not content.strip():
            continue
        stanza = _decode(content, path)
        md5sums = root.read(f"{path}.md5sums")
        fields = _fields(stanza.strip("\n"), path)
        packages.append(
            Installed(Style.STATUS_D, stanza, fields, {} if md5sums is None else {"md5sums": md5sums}, name)
        )
    return DpkgDatabase(tuple(packages))


def _info(root: Rootfs) -> Mapping[str, Mapping[str, bytes]]:
    found: dict[str, dict[str, bytes]] = {}
    for path in root.children(f"{ROOT}/info"):
        # Package names hold dots, extensions do not.
        stem, dot, extension = path.rpartition("/")[2].rpartition(".")
        content = root.read(path) if dot else None
        if content is not None:
            found.setdefault(stem, {})[extension] = content
    return found


def _decode(content: bytes, path: str) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedError(f"/{path} is not UTF-8", _MEND) from error


def _fields(stanza: str, path: str) -> Mapping[str, str]:
    fields = parse_stanza(stanza, what=f"/{path}")
    if not fields.get("Package"):
        raise MalformedError(f"/{path} has a stanza without a package", _MEND)
    return fields


def record(unpacked: Unpacked, style: Style, *, old: Installed | None = None) -> Installed:
    """The record of a package that was unpacked; ``old`` is the version that it replaces.

    Conffiles that only ``old`` had stay on disk and are marked obsolete, as dpkg does it. The name of ``old``'s
    file in ``status.d`` is kept.
    """
    deb = unpacked.deb
    if style is Style.STATUS_D:
        stanza = deb.members_of_control["control"].decode("utf-8").strip("\n") + "\n"
        info = {"md5sums": _md5sums(unpacked)}
        return Installed(style, stanza, deb.control, info, old.file if old and old.style is style else "")
    fields = _status_fields(deb, unpacked.conffiles, old)
    info = {name: content for name, content in deb.members_of_control.items() if name != "control" and "." not in name}
    info["list"] = "".join(f"{path}\n" for path in unpacked.files).encode("utf-8", "surrogateescape")
    info["md5sums"] = _md5sums(unpacked)
    return Installed(style, render_stanza(fields), fields, info)


def _md5sums(unpacked: Unpacked) -> bytes:
    shipped = unpacked.deb.members_of_control.get("md5sums")
    if shipped is not None:
        return shipped
    lines = (f"{md5}  {path}\n" for path, md5 in sorted(unpacked.md5sums.items()))
    return "".join(lines).encode("utf-8", "surrogateescape")


def _status_fields(deb: Deb, conffiles: Mapping[str, str], old: Installed | None) -> dict[str, str]:
    fields = dict(deb.control) | {"Status": "install ok installed"}
    lines = [f"\n {path} {md5}" for path, md5 in conffiles.items()]
    if old is not None:
        lines += [f"\n {path} {md5} obsolete" for path, md5 in old.conffiles.items() if path not in conffiles]
    if lines:
        fields["Conffiles"] = "".join(lines)
    known = [name for name in _ORDER if name in fields]
    return {name: fields[name] for name in known} | fields


def _triggers(packages: Iterable[Installed]) -> Mapping[str, DatabaseFile]:
    """Who is interested in what. Source: deb-triggers(5)."""
    lines: dict[str, set[str]] = {}
    for package in packages:
        if not package.present:
            continue
        for line in package.info.get("triggers", b"").decode("utf-8", "replace").splitlines():
            directive, _, name = line.partition("#")[0].strip().partition(" ")
            name = name.strip()
            if not directive.startswith("interest") or not name:
                continue
            who = package.stem + ("/noawait" if directive == "interest-noawait" else "")
            if name.startswith("/"):
                lines.setdefault("File", set()).add(f"{name} {who}")
            elif "/" not in name:
                lines.setdefault(name, set()).add(who)
    texts = {name: "".join(f"{line}\n" for line in sorted(found)) for name, found in lines.items()}
    return {f"{ROOT}/triggers/{name}": DatabaseFile(text.encode()) for name, text in texts.items()}
