"""One configuration file, ``sallyport.yaml``: validated whole, with line and mend where it is wrong.

The JSON schema in ``docs/reference/sallyport.schema.json`` is made from these types by ``schema()``.
Paths in the file are relative to the file.
"""

from __future__ import annotations

import contextlib
import re
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from sallyport.advisories import Severity
from sallyport.errors import ConfigError, UsageError
from sallyport.gate import Policy, Waiver
from sallyport.oci import Platform

NAME = "sallyport.yaml"
FILE_LIMIT = 1024 * 1024  # bytes
NODE_LIMIT = 100_000  # values in the file, aliases counted each time: a bound against alias bombs

Meta = msgspec.Meta
Duration = Annotated[str, Meta(pattern=r"^[0-9]{1,5}[hdw]$", description="hours, days or weeks: 36h, 7d, 2w")]
ByteSize = Annotated[str, Meta(pattern=r"^[0-9]{1,6}[KMGT]?$", description="bytes; K, M, G, T are powers of 1024")]
Address = Annotated[str, Meta(pattern=r"^[^\s]+:[0-9]{1,5}$", description="host:port")]


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """A mapping of the file; unknown keys are errors, not ignored."""


class WaiverSection(Section, frozen=True, kw_only=True):
    """One vulnerability that somebody accepts until a day."""

    id: Annotated[str, Meta(description="the vulnerability: CVE-2026-1234")]
    images: Annotated[str, Meta(description="repositories that it holds for; * and ? as in a glob")] = "*"
    owner: Annotated[str, Meta(description="who accepts it; a waiver without an owner does not count")]
    reason: Annotated[str, Meta(description="why; a waiver without a reason does not count")]
    expires: Annotated[date, Meta(description="the last day on which it holds, in UTC")]


class PolicySection(Section, frozen=True, kw_only=True):
    """What may cross; without any limit everything is refused."""

    fixable: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        Meta(description="most findings with a known fix, on each platform; a limit"),
    ] = None
    severity: Annotated[
        Severity | None,
        Meta(description="worst severity that may cross; a limit"),
    ] = None
    unknown_as: Annotated[Severity, Meta(description="how to count a finding that no source rates")] = Severity.MEDIUM
    findings: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        Meta(description="most findings altogether, on each platform; a limit"),
    ] = None
    sources: Annotated[
        tuple[str, ...],
        Meta(description="advisory sources that must have been asked about every package, by name: changelog, osv"),
    ] = ()
    max_age: Annotated[
        Duration | None,
        Meta(description="how old a required source may be (without any: each that was asked): 36h, 14d, 2w"),
    ] = None
    waivers: Annotated[
        tuple[WaiverSection, ...], Meta(description="vulnerabilities that somebody accepts for a while")
    ] = ()

    def policy(self) -> Policy:
        """As the gate's noun."""
        return Policy(
            fixable=self.fixable,
            severity=self.severity,
            unknown_as=self.unknown_as,
            findings=self.findings,
            sources=self.sources,
            max_age=None if self.max_age is None else duration(self.max_age),
            waivers=tuple(Waiver(w.id, w.images, w.owner, w.reason, w.expires) for w in self.waivers),
        )


class MirrorSection(Section, frozen=True, kw_only=True):
    """Images to mirror from one upstream repository."""

    source: Annotated[str, Meta(min_length=1, description="upstream's registry/repository, without a tag")] = (
        msgspec.field(name="from")
    )
    tags: Annotated[
        tuple[str, ...],
        Meta(min_length=1, description="tags (12-slim), globs (12.*), re:…, semver:>=1.2 <2; !… takes some away again"),
    ]
    platforms: Annotated[tuple[str, ...], Meta(description="such as linux/amd64; all when left out")] = ()
    to: Annotated[str, Meta(description="our repository; as upstream's when left out")] = ""

    def parsed_platforms(self) -> tuple[Platform, ...]:
        """As nouns."""
        return tuple(Platform.parse(text) for text in self.platforms)


class ArchiveSection(Section, frozen=True, kw_only=True):
    """The signed package archive that patches come from."""

    mirror: Annotated[
        str,
        Meta(description="address of a Debian mirror; when left out SALLYPORT_APT_MIRROR, or the host's apt sources"),
    ] = ""
    security: Annotated[
        str,
        Meta(
            description="address of its security archive; when left out SALLYPORT_APT_SECURITY_MIRROR, the host's "
            "apt sources where the mirror is theirs, or the mirror's address with -security"
        ),
    ] = ""
    suite: Annotated[str, Meta(description="the release; its security suite is read beside it")] = "bookworm"
    components: Annotated[tuple[str, ...], Meta(description="parts of the archive that packages may come from")] = (
        "main",
    )
    keyring: Annotated[
        str,
        Meta(
            description="file with the archive's OpenPGP keys; when left out the host's keyring package, or the "
            "archive's own, of which only keys with the published fingerprints count"
        ),
    ] = ""


class AdvisorySection(Section, frozen=True, kw_only=True):
    """One source of advisories."""

    kind: Annotated[str, Meta(min_length=1, description="changelog, osv, or the name of an installed plug-in")]
    location: Annotated[
        str, Meta(description="where the source reads: for osv a folder, a zip, or a zip's address")
    ] = ""


class RegistrySection(Section, frozen=True, kw_only=True):
    """How to reach a registry: another address for its name, plain HTTP, a CA of its own."""

    name: Annotated[str, Meta(description="the registry as outside.mirror writes it")]
    address: Annotated[str, Meta(description="host:port to connect to instead")] = ""
    plain_http: Annotated[
        bool | None, Meta(description="HTTP without TLS; when left out only for addresses of this host")
    ] = None
    ca: Annotated[str, Meta(description="file with the CA certificates to trust for it, PEM")] = ""


class OutsideSection(Section, frozen=True, kw_only=True):
    """The connected side."""

    mirror: Annotated[tuple[MirrorSection, ...], Meta(description="what to mirror")] = ()
    registries: Annotated[
        tuple[RegistrySection, ...], Meta(description="registries that are reached in another way than by their name")
    ] = ()
    archive: Annotated[ArchiveSection, Meta(description="where packages come from")] = ArchiveSection()
    patch: Annotated[
        Literal["fixes", "everything"],
        Meta(
            description="fixes: the smallest set of newer packages that closes the findings; everything: all newer ones"
        ),
    ] = "fixes"
    approvers: Annotated[
        tuple[str, ...], Meta(description="private key files of the approvers, as many as the root asks for")
    ] = ("keys/targets.key",)
    receipt_key: Annotated[
        str, Meta(description="the inside's public receipt key; only receipts signed by it count")
    ] = "keys/receipt.pub"


class GitopsSection(Section, frozen=True, kw_only=True):
    """The Git repository that rolls images out."""

    repository: Annotated[str, Meta(description="folder of the repository, bare or not; made bare where it is missing")]
    branch: Annotated[str, Meta(description="the branch that gets the commits")] = "main"
    author: Annotated[str, Meta(description="author of the commits: Name <address>")] = (
        "sallyport <sallyport@localhost>"
    )


class InsideSection(Section, frozen=True, kw_only=True):
    """The isolated side."""

    channel: Annotated[str, Meta(description="the tag that promotion moves")] = "stable"
    gitops: Annotated[GitopsSection | None, Meta(description="where digests are pinned; nowhere when left out")] = None
    report: Annotated[str, Meta(description="file of the HTML report")] = "audit.html"


class Config(Section, frozen=True, kw_only=True):
    """The whole file."""

    side: Annotated[
        Literal["outside", "inside"], Meta(description="outside: the connected side; inside: the isolated one")
    ]
    destination: Annotated[
        str,
        Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$", description="name of the isolated site; the same on both sides"),
    ]
    store: Annotated[str, Meta(description="folder of blobs, tags, facts and journal")] = "store"
    cache: Annotated[str, Meta(description="folder of what was fetched from the archive; may be removed")] = "cache"
    keys: Annotated[str, Meta(description="folder of this side's keys; outside with roots/, inside with trust/")] = (
        "keys"
    )
    medium: Annotated[
        str,
        Meta(description="folder, or address of a transport (media:/media/usb0), of bundles one way and receipts back"),
    ] = "medium"
    registry_name: Annotated[
        str, Meta(description="the inside registry's name, as images are pulled; signatures carry it")
    ] = "127.0.0.1:5000"
    listen: Annotated[Address, Meta(description="host:port on which sallyport serve listens")] = "127.0.0.1:5000"
    schedule: Annotated[
        str,
        Meta(description="cron expression in UTC for run --schedule: minute hour day month weekday"),
    ] = ""
    policy: Annotated[PolicySection, Meta(description="what may cross")] = PolicySection()
    advisories: Annotated[
        tuple[AdvisorySection, ...],
        Meta(description="sources of advisories; the inside also uses the feeds that crossed"),
    ] = ()
    outside: Annotated[OutsideSection, Meta(description="settings of the connected side")] = OutsideSection()
    inside: Annotated[InsideSection, Meta(description="settings of the isolated side")] = InsideSection()


def duration(text: str) -> timedelta:
    """``36h``, ``7d`` or ``2w`` as a time span."""
    hours = {"h": 1, "d": 24, "w": 168}[text[-1]]
    return timedelta(hours=int(text[:-1]) * hours)


def byte_size(text: str) -> int:
    """``4G`` as bytes."""
    match = re.fullmatch(r"([0-9]{1,6})([KMGT]?)", text)
    if match is None:
        raise UsageError(f"{text[:20]!r} is not a size", "write it like 700M or 4G; K, M, G, T are powers of 1024")
    step: int = 1024 ** " KMGT".index(match[2] or " ")
    return int(match[1]) * step


def schema() -> dict[str, Any]:
    """The published JSON schema (draft 2020-12)."""
    made = msgspec.json.decode(msgspec.json.encode(msgspec.json.schema(Config)))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "sallyport.yaml", **made}


def load_config(path: Path) -> Config:
    """Read and validate ``path``.

    Raises:
        ConfigError: it is missing, no YAML, or a setting is wrong; the message names file, line and setting.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        with path.open("rb") as file:
            raw = file.read(FILE_LIMIT + 1)
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {error.strerror}", "name it with --config, or write one: sallyport init"
        ) from error
    if len(raw) > FILE_LIMIT:
        raise ConfigError(f"{path} is larger than {FILE_LIMIT} bytes", "split it: one file for each site")
    try:
        document = YAML(typ="rt").load(raw.decode("utf-8"))
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        problem = (error.problem or "it is no YAML").splitlines()[0]
        raise ConfigError(f"{path}, line {line}: {problem}", "mend that line; indentation and colons matter") from error
    except (YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} is not YAML in UTF-8", "write one anew with: sallyport init") from error
    try:
        return msgspec.convert(_plain(document, [NODE_LIMIT], path), Config, strict=True)
    except msgspec.ValidationError as error:
        message, line, where = _explain(str(error), document)
        raise ConfigError(
            f"{path}, line {line}: {where}{message}",
            "see docs/reference/configuration.md; sallyport init writes a commented example",
        ) from error


def _plain(value: Any, budget: list[int], path: Path) -> Any:
    budget[0] -= 1
    if budget[0] < 0:
        raise ConfigError(f"{path} has more than {NODE_LIMIT} values", "remove aliases that repeat large parts")
    if isinstance(value, dict):
        return {str(key): _plain(item, budget, path) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, budget, path) for item in value]
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    return value


def _explain(text: str, document: Any) -> tuple[str, int, str]:
    """Split msgspec's message into words, the line in the file and the setting's name."""
    message, _, location = text.partition(" - at `$")
    steps = re.findall(r"\.([^.\[\]`]+)|\[(\d+)\]", location)
    line, node = 1, document
    names: list[str] = []
    for key, number in steps:
        step: Any = key or int(number)
        names.append(key or f"[{number}]")
        try:
            line = (node.lc.key(step) if key else node.lc.item(step))[0] + 1
            node = node[step]
        except (AttributeError, KeyError, IndexError, TypeError):
            break
    unknown = re.search(r"unknown field `([^`]+)`", message)
    if unknown:
        message = f"unknown setting {unknown[1]!r}"
        with contextlib.suppress(AttributeError, KeyError, TypeError):
            line = node.lc.key(unknown[1])[0] + 1
    message = message.replace("`", "'").replace("Object missing required field", "missing setting")
    message = message.replace("Expected 'object', got 'null'", "expected settings, found nothing")
    where = ".".join(names).replace(".[", "[")
    return message, line, f"{where}: " if where else ""


def example(side: Literal["outside", "inside"], **values: str) -> str:
    """The commented configuration that ``init`` writes, with ``values`` in place of the example's own."""
    from importlib.resources import files
    from string import Template

    defaults = {
        "destination": "ship-7",
        "medium": "medium",
        "registry_name": "127.0.0.1:5000",
        "listen": "127.0.0.1:5000",
        "mirror": "    - from: registry.example/library/debian\n      tags: [12-slim]\n"
        "      platforms: [linux/amd64, linux/arm64]\n      to: library/debian\n",
        "registries": (
            "    # - name: registry.example\n    #   address: 10.0.0.5:5000\n    #   plain-http: true\n    []\n"
        ),
        "archive_mirror": "",
        "archive_security": "",
        "suite": "bookworm",
        "approvers": "[keys/targets.key]",
        "receipt_key": "keys/receipt.pub",
        "gitops": "fleet.git",
    }
    text = (files("sallyport") / "templates" / f"{side}.yaml").read_text(encoding="utf-8")
    return Template(text).substitute(defaults | values)


if __name__ == "__main__":
    import json
    import sys

    sys.stdout.write(json.dumps(schema(), indent=2, sort_keys=True) + "\n")
