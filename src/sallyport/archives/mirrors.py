"""Where the packages come from: an option, the environment, or the host's own apt.

Sources: sources.list(5), apt.conf(5), apt-transport-http(1).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from sallyport.errors import NoMirrorError, UsageError

MIRROR_VARIABLE = "SALLYPORT_APT_MIRROR"
SECURITY_VARIABLE = "SALLYPORT_APT_SECURITY_MIRROR"
_LIMIT = 1024 * 1024  # bytes of one apt file that are read
_NAMES = "buster|bullseye|bookworm|trixie|forky|sid|stable|oldstable|oldoldstable|testing|unstable"
_MAIN = re.compile(rf"(?:{_NAMES})\Z")
_SECURITY = re.compile(rf"(?:{_NAMES})(?:-security|/updates)\Z")
_TOKEN = re.compile(r'"((?:[^"\\\n]|\\.)*)"|([{};])|//[^\n]*|#[^\n]*|/\*.*?\*/|([^\s{};"]+)', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Mirrors:
    """Base addresses, without ``dists/`` and without a trailing slash."""

    main: str
    security: str


def find_mirrors(
    *,
    mirror: str | None = None,
    security: str | None = None,
    environ: Mapping[str, str],
    etc: Path = Path("/etc/apt"),
) -> Mirrors:
    """The archive's addresses: options before the environment before the host's apt sources.

    Where only a main mirror is known, the security mirror is its sibling ``<main>-security``, as mirrors are
    laid out by custom. A security source of the host's is used only beside the host's own main source.

    Raises:
        NoMirrorError: none is known.
        UsageError: what was named is no http or https address.
    """
    main = mirror or environ.get(MIRROR_VARIABLE, "")
    beside = security or environ.get(SECURITY_VARIABLE, "")
    if not main:
        main, found = _host_mirrors(etc)
        beside = beside or found
    if not main:
        raise NoMirrorError(
            "no mirror of the Debian archive is known on this host",
            f"name one with --mirror http://mirror.example/debian, with {MIRROR_VARIABLE}, or in {etc}/sources.list",
        )
    main = _checked(main)
    return Mirrors(main, _checked(beside) if beside else f"{main}-security")


def _checked(address: str) -> str:
    try:
        parts = urlsplit(address)
        bad = parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment
    except ValueError:
        bad = True
    if bad or re.search(r"\s", address):
        raise UsageError(
            "the mirror's address is not an http or https address", "write it like http://mirror.example/debian"
        )
    return address.rstrip("/")


def _host_mirrors(etc: Path) -> tuple[str, str]:
    best: dict[bool, tuple[int, str]] = {}
    for source in _sources(etc):
        if not source.address.startswith(("http://", "https://")) or "main" not in source.components:
            continue
        # Other archives reuse Debian's suite names; a wrong guess would fail at the signature, a right one works.
        rank = 2 * ("debian-archive" in source.signed_by) + (
            source.address.rstrip("/").rpartition("/")[2] in ("debian", "debian-security")
        )
        for is_security, pattern in ((False, _MAIN), (True, _SECURITY)):
            if any(pattern.match(suite) for suite in source.suites) and rank > best.get(is_security, (-1, ""))[0]:
                best[is_security] = (rank, source.address)
    return best.get(False, (0, ""))[1], best.get(True, (0, ""))[1]


@dataclass(frozen=True, slots=True)
class _Source:
    address: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str


def _sources(etc: Path) -> Iterator[_Source]:
    folder = etc / "sources.list.d"
    for path in (etc / "sources.list", *sorted(folder.glob("*"))):
        text = _read(path)
        if path.suffix == ".list":
            for line in text.splitlines():
                yield from _one_line(line)
        elif path.suffix == ".sources":
            for stanza in re.split(r"\n\s*\n", text):
                yield from _stanza(stanza)


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_LIMIT).decode("utf-8", "replace")
    except OSError:
        return ""


def _one_line(line: str) -> Iterator[_Source]:
    found = re.match(r"\s*deb\s+(?:\[([^\]]*)\]\s*)?(\S+)\s+(\S+)\s*([^#]*)", line)
    if found:
        options, address, suite, components = found.groups()
        yield _Source(address, (suite,), tuple(components.split()), options or "")


def _stanza(text: str) -> Iterator[_Source]:
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    fields: dict[str, str] = {}
    name = ""
    for line in lines:
        if line[:1].isspace() and name:
            fields[name] += f" {line.strip()}"
        elif ":" in line:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            fields[name] = value.strip()
    if fields.get("enabled", "yes").lower() in ("no", "false", "0", "off", "disable", "without"):
        return
    if "deb" in fields.get("types", "").split():
        for address in fields.get("uris", "").split():
            suites, components = fields.get("suites", "").split(), fields.get("components", "").split()
            yield _Source(address, tuple(suites), tuple(components), fields.get("signed-by", ""))


def apt_proxies(etc: Path = Path("/etc/apt")) -> Mapping[str, str]:
    """The proxies that apt is told to use, as ``Http`` takes them (``http``, ``https``); empty where none is.

    Read are ``Acquire::http::Proxy`` and ``Acquire::https::Proxy``; where only the first is set it serves both,
    as apt does it. Proxies for single hosts and programs that detect one are not.
    """
    settings: dict[str, str] = {}
    for path in (*sorted((etc / "apt.conf.d").glob("*")), etc / "apt.conf"):
        settings |= _apt_settings(_read(path))
    result = {
        scheme: value
        for scheme in ("http", "https")
        if (value := settings.get(f"acquire::{scheme}::proxy", settings.get("acquire::http::proxy", "")))
        and value.upper() not in ("DIRECT", "FALSE")
    }
    return {scheme: value for scheme, value in result.items() if value.startswith(("http://", "https://"))}


def _apt_settings(text: str) -> dict[str, str]:
    settings: dict[str, str] = {}
    scopes: list[str] = []
    words: list[str] = []
    for found in _TOKEN.finditer(text):
        quoted, sign, word = found.groups()
        if quoted is not None or word is not None:
            words.append(quoted if quoted is not None else word)
        elif sign == "{":
            scopes.append(words[0] if words else "")
            words = []
        elif sign is not None:
            if len(words) > 1:
                settings["::".join((*scopes, words[0])).lower()] = words[1]
            words = []
            if sign == "}" and scopes:
                scopes.pop()
    return settings
