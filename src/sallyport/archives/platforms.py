"""Debian's names of architectures. Source: dpkg-architecture(1); Go's GOARCH, which OCI's config.md uses."""

from __future__ import annotations

from sallyport.errors import UsageError
from sallyport.oci import Platform

_NAMES = {
    ("amd64", ""): "amd64",
    ("arm64", ""): "arm64",
    ("arm64", "v8"): "arm64",
    ("arm", "v7"): "armhf",
    ("arm", "v5"): "armel",
    ("arm", "v6"): "armel",
    ("386", ""): "i386",
    ("ppc64le", ""): "ppc64el",
    ("s390x", ""): "s390x",
    ("riscv64", ""): "riscv64",
    ("mips64le", ""): "mips64el",
}


def debian_architecture(platform: Platform) -> str:
    """``amd64`` for linux/amd64, ``armhf`` for linux/arm/v7.

    Raises:
        UsageError: Debian has none for it.
    """
    name = _NAMES.get((platform.architecture, platform.variant), "")
    if platform.os != "linux" or not name:
        raise UsageError(
            f"Debian has no packages for {platform}", "use one of: linux/amd64, linux/arm64, linux/arm/v7 …"
        )
    return name
