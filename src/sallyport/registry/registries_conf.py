"""Reads what container tools know about registries: ``registries.conf`` version 2, and the folders of ``certs.d``.

Sources: containers-registries.conf(5), containers-certs.d(5).
"""

from __future__ import annotations

import os
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sallyport.engine import ClientCertificate
from sallyport.errors import ConfigError
from sallyport.registry.reach import Endpoint, Mirror, Reach, Rule

_LIMIT = 1024 * 1024  # bytes of one file
_FILES = 100  # of a folder beside it
_MEND = "see containers-registries.conf(5); only version 2 of the format is understood"
_PULLS = {"": (True, True), "all": (True, True), "digest-only": (False, True), "tag-only": (True, False)}


@dataclass(frozen=True, slots=True)
class Certificates:
    """What a folder of certs.d holds for one host."""

    authorities: tuple[Path, ...] = ()
    ours: ClientCertificate | None = None


def read_registries_conf(path: Path) -> Reach:
    """The rules of a file, and of the ``.conf`` files in the folder ``<path>.d`` beside it, which count more.

    Raises:
        ConfigError: a file cannot be read, is no TOML, of version 1, or has a setting of the wrong kind.
    """
    reach = parse_registries_conf(_read(path), what=str(path))
    folder = path.with_name(f"{path.name}.d")
    for file in sorted(folder.glob("*.conf"))[:_FILES] if folder.is_dir() else ():
        reach = parse_registries_conf(_read(file), what=str(file)).beside(reach)
    return reach


def parse_registries_conf(raw: bytes, *, what: str) -> Reach:
    """As :func:`read_registries_conf`, of bytes."""
    try:
        document = tomllib.loads(raw.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{what} is not TOML: {str(error)[:200]}", _MEND) from error
    if "registries" in document:
        raise ConfigError(f"{what} is of version 1 of the format", _MEND)
    tables = _tables(document, "registry", what)
    rules = tuple(_rule(table, f"{what}, registry[{number}]") for number, table in enumerate(tables))
    doubled = [prefix for prefix, count in Counter(rule.prefix for rule in rules).items() if count > 1]
    if doubled:
        raise ConfigError(f"{what} has several rules for {', '.join(sorted(doubled))[:200]}", "keep one of them")
    aliases = document.get("aliases", {})
    if not isinstance(aliases, dict) or not all(isinstance(value, str) for value in aliases.values()):
        raise ConfigError(f"{what}: aliases is not a table of names", _MEND)
    search = document.get("unqualified-search-registries", [])
    if not isinstance(search, list) or not all(isinstance(item, str) for item in search):
        raise ConfigError(f"{what}: unqualified-search-registries is not a list of names", _MEND)
    return Reach(rules, {name: value for name, value in aliases.items() if value}, tuple(search))


def certificate_folders(environ: Mapping[str, str] = os.environ) -> tuple[Path, ...]:
    """Where container tools look, in their order."""
    home = environ.get("HOME", "")
    own = [Path(home) / ".config/containers/certs.d"] if home else []
    return (*own, Path("/etc/containers/certs.d"), Path("/etc/docker/certs.d"))


def read_certificates(host: str, folders: Iterable[Path]) -> Certificates:
    """What the first of ``folders`` that has a folder for ``host`` (or host:port) holds.

    Every ``*.crt`` is an authority; a ``*.cert`` with a ``*.key`` of the same name is our own certificate.

    Raises:
        ConfigError: a certificate has no key, a key no certificate, or the folder cannot be read.
    """
    for folder in folders:
        try:
            files = sorted((folder / host).iterdir())[:_FILES]
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise ConfigError(
                f"cannot read {folder / host}: {error.strerror}", "let this user read it, or remove it"
            ) from error
        ours = _pair(files)
        return Certificates(tuple(file for file in files if file.suffix == ".crt"), ours)
    return Certificates()


def _pair(files: Sequence[Path]) -> ClientCertificate | None:
    named = {file.suffix: {f.stem: f for f in files if f.suffix == file.suffix} for file in files}
    certificates, keys = named.get(".cert", {}), named.get(".key", {})
    for stem in [*certificates, *keys]:
        if stem not in certificates or stem not in keys:
            there = certificates.get(stem) or keys[stem]
            raise ConfigError(f"{there} has no {'key' if stem in certificates else 'certificate'} beside it", "add it")
    return next((ClientCertificate(file, keys[stem]) for stem, file in certificates.items()), None)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(_LIMIT + 1)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}", "correct outside.registries-conf") from error
    if len(raw) > _LIMIT:
        raise ConfigError(f"{path} is larger than {_LIMIT} bytes", "name a registries.conf")
    return raw


def _rule(table: Mapping[str, Any], what: str) -> Rule:
    location = _text(table, "location", what)
    prefix = _text(table, "prefix", what) or location
    if not prefix:
        raise ConfigError(f"{what} has neither prefix nor location", _MEND)
    if not location and not prefix.startswith("*."):
        raise ConfigError(f"{what} has no location for {prefix[:80]}", _MEND)
    only = _flag(table, "mirror-by-digest-only", what)
    mirrors = []
    for number, item in enumerate(_tables(table, "mirror", what)):
        where = f"{what}.mirror[{number}]"
        pulls = _PULLS.get(_text(item, "pull-from-mirror", where))
        if pulls is None:
            raise ConfigError(f"{where}: pull-from-mirror is none of all, digest-only, tag-only", _MEND)
        endpoint = Endpoint(_text(item, "location", where), insecure=_flag(item, "insecure", where))
        mirrors.append(Mirror(endpoint, pulls[0] and not only, pulls[1]))
    insecure = _flag(table, "insecure", what)
    own = Endpoint(location, insecure=insecure)
    return Rule(prefix, own, tuple(mirrors), _flag(table, "blocked", what))


def _tables(document: Mapping[str, Any], key: str, what: str) -> list[dict[str, Any]]:
    found = document.get(key, [])
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise ConfigError(f"{what}: {key} is not an array of tables: write [[{key}]]", _MEND)
    return found


def _text(table: Mapping[str, Any], key: str, what: str) -> str:
    value = table.get(key, "")
    if not isinstance(value, str):
        raise ConfigError(f"{what}: {key} is not a string", _MEND)
    return value.rstrip("/")


def _flag(table: Mapping[str, Any], key: str, what: str) -> bool:
    value = table.get(key, False)
    if not isinstance(value, bool):
        raise ConfigError(f"{what}: {key} is neither true nor false", _MEND)
    return value
