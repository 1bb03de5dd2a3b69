"""Reads ``sallyport.yaml``: validated whole, with line and mend where it is wrong.

The JSON schema in ``docs/reference/sallyport.schema.json`` is made from the sections by ``schema()``.
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any, Literal

import msgspec

from sallyport.config.sides import Config
from sallyport.errors import ConfigError

NAME = "sallyport.yaml"
FILE_LIMIT = 1024 * 1024  # bytes
NODE_LIMIT = 100_000  # values in the file, aliases counted each time: a bound against alias bombs


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
