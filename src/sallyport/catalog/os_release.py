"""Which distribution an image is. Source: os-release(5)."""

from __future__ import annotations

import re

from sallyport.catalog.model import Distribution
from sallyport.errors import OversizeError
from sallyport.oci import Rootfs

PATHS = ("etc/os-release", "usr/lib/os-release")  # in this order, and the first is usually a link to the second
_LIMIT = 64 * 1024  # bytes; real ones have under a thousand
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)\Z")
_ESCAPE = re.compile(r"\\([\\\"$`'])")
_CODENAME = re.compile(r"\(([A-Za-z]+)\)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def parse_os_release(raw: bytes) -> Distribution | None:
    """Read the file; None where it names no distribution. Lines that are no assignment are ignored, as the source says.

    Raises:
        OversizeError: more than 64 KiB.
    """
    if len(raw) > _LIMIT:
        raise OversizeError(
            f"os-release has {len(raw)} bytes; the limit is {_LIMIT}", "the image is broken: build it anew"
        )
    values: dict[str, str] = {}
    for line in raw.decode("utf-8", "replace").split("\n"):
        found = _ASSIGNMENT.match(line.strip())
        if found is not None:
            values[found[1]] = _unquote(found[2])
    name = values.get("ID", "").lower()
    if not name:
        return None
    codename = values.get("VERSION_CODENAME", "")
    if not codename:
        # Before VERSION_CODENAME there was VERSION="7 (wheezy)".
        inside = _CODENAME.search(values.get("VERSION", ""))
        codename = inside[1].lower() if inside else ""
    version = values.get("VERSION_ID", "")
    return Distribution(name, version, codename, values.get("PRETTY_NAME") or f"{name} {version}".strip())


def _unquote(text: str) -> str:
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        # Between single quotes a shell knows no escapes.
        text = _ESCAPE.sub(r"\1", text[1:-1]) if text[0] == '"' else text[1:-1]
    else:
        text = _ESCAPE.sub(r"\1", text)
    return _CONTROL.sub("", text)[:200]


def find_distribution(rootfs: Rootfs) -> Distribution | None:
    """From the merged root; links are followed inside it."""
    for path in PATHS:
        raw = rootfs.read(path)
        if raw is not None and (found := parse_os_release(raw)) is not None:
            return found
    return None
