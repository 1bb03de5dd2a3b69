"""The nouns of a catalogue: what is in an image."""

from __future__ import annotations

from dataclasses import dataclass

from sallyport.oci import Digest, Platform


@dataclass(frozen=True, slots=True)
class Distribution:
    """From os-release. Source: os-release(5)."""

    id: str  # "debian"
    version_id: str  # "12"; empty for testing
    codename: str  # "bookworm"
    name: str  # PRETTY_NAME

    @property
    def ecosystem(self) -> str:
        """OSV's name: ``Debian:12``, ``Alpine:v3.20``. Source: OSV schema, "affected[].package"."""
        if self.id == "debian":
            return f"Debian:{self.version_id.split('.', maxsplit=1)[0]}"
        if self.id == "alpine":
            return f"Alpine:v{'.'.join(self.version_id.split('.')[:2])}"
        return f"{self.id}:{self.version_id}"


@dataclass(frozen=True, slots=True)
class Package:
    """One installed package."""

    kind: str  # purl type: "deb", "apk", "rpm", "pypi", …
    name: str
    version: str
    architecture: str
    source: str  # source package, origin
    source_version: str  # differs from version for binNMUs and where epochs differ
    layer: Digest  # blob digest of the layer that brought it
    location: str  # the file that says so: "var/lib/dpkg/status", "var/lib/dpkg/status.d/libc6"

    @property
    def key(self) -> tuple[str, str, str]:
        return (self.kind, self.name, self.architecture)


@dataclass(frozen=True, slots=True)
class Bill:
    """Everything installed in one image for one platform, sorted by key, version and location."""

    image: Digest  # of the image's manifest
    platform: Platform
    distribution: Distribution | None
    packages: tuple[Package, ...]
