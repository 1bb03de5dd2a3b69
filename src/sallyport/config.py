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

Duration = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,5}[hdw]$", description="hours, days or weeks: 36h, 7d, 2w")]
ByteSize = Annotated[
    str, msgspec.Meta(pattern=r"^[0-9]{1,6}[KMGT]?$", description="bytes; K, M, G, T are powers of 1024")
]
Address = Annotated[str, msgspec.Meta(pattern=r"^[^\s]+:[0-9]{1,5}$", description="host:port")]


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """A mapping of the file; unknown keys are errors, not ignored."""


class WaiverSection(Section, frozen=True, kw_only=True):
    """One vulnerability that somebody accepts until a day."""

    id: str
    images: str = "*"
    owner: str
    reason: str
    expires: date


class PolicySection(Section, frozen=True, kw_only=True):
    """What may cross; without any limit everything is refused."""

    fixable: Annotated[int, msgspec.Meta(ge=0)] | None = None
    severity: Severity | None = None
    unknown_as: Severity = Severity.MEDIUM
    findings: Annotated[int, msgspec.Meta(ge=0)] | None = None
    sources: tuple[str, ...] = ()
    max_age: Duration | None = None
    waivers: tuple[WaiverSection, ...] = ()

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

    source: Annotated[str, msgspec.Meta(min_length=1, description="registry/repository")] = msgspec.field(name="from")
    tags: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    platforms: tuple[str, ...] = ()
    to: str = ""

    def parsed_platforms(self) -> tuple[Platform, ...]:
        """As nouns."""
        return tuple(Platform.parse(text) for text in self.platforms)


class ArchiveSection(Section, frozen=True, kw_only=True):
    """The signed package archive that patches come from."""

    mirror: str = ""
    security: str = ""
    suite: str = "bookworm"
    components: tuple[str, ...] = ("main",)
    keyring: str = ""


class AdvisorySection(Section, frozen=True, kw_only=True):
    """One source of advisories."""

    kind: Annotated[str, msgspec.Meta(min_length=1)]
    location: str = ""


class RegistrySection(Section, frozen=True, kw_only=True):
    """How to reach a registry: another address for its name, plain HTTP, a CA of its own."""

    name: str
    address: str = ""
    plain_http: bool | None = None
    ca: str = ""


class OutsideSection(Section, frozen=True, kw_only=True):
    """The connected side."""

    mirror: tuple[MirrorSection, ...] = ()
    registries: tuple[RegistrySection, ...] = ()
    archive: ArchiveSection = ArchiveSection()
    patch: Literal["fixes", "everything"] = "fixes"
    approvers: tuple[str, ...] = ("keys/targets",)
    receipt_key: str = "keys/receipt.pub"


class GitopsSection(Section, frozen=True, kw_only=True):
    """The Git repository that rolls images out."""

    repository: str
    branch: str = "main"
    author: str = "sallyport <sallyport@localhost>"


class InsideSection(Section, frozen=True, kw_only=True):
    """The isolated side."""

    channel: str = "stable"
    gitops: GitopsSection | None = None
    report: str = "audit.html"


class Config(Section, frozen=True, kw_only=True):
    """The whole file."""

    side: Literal["outside", "inside"]
    destination: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
    store: str = "store"
    cache: str = "cache"
    keys: str = "keys"
    medium: str = "medium"
    registry_name: Annotated[str, msgspec.Meta(description="the inside registry's name, as images are pulled")] = (
        "127.0.0.1:5000"
    )
    listen: Address = "127.0.0.1:5000"
    schedule: str = ""
    policy: PolicySection = PolicySection()
    advisories: tuple[AdvisorySection, ...] = ()
    outside: OutsideSection = OutsideSection()
    inside: InsideSection = InsideSection()


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
