"""How an upstream that is no registry is written."""

from __future__ import annotations

from pathlib import Path

SCHEMES = ("oci", "oci-archive", "docker-archive")


def split_address(text: str) -> tuple[str, str]:
    """The scheme and the path of ``oci:…`` and its like; two empty texts where it is a registry's repository."""
    scheme, colon, path = text.partition(":")
    return (scheme, path) if colon and scheme in SCHEMES else ("", "")


def locate(text: str, root: Path) -> str:
    """``oci:…`` and its like with the path from ``root`` on; a registry's repository as it is."""
    scheme, path = split_address(text)
    return f"{scheme}:{root / Path(path).expanduser()}" if scheme and path else text
