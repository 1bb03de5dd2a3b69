"""The nouns of a signed Debian archive. Source: Debian Policy 5 (control files), 5.6 (fields)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from sallyport.oci import Digest


@dataclass(frozen=True, slots=True)
class Suite:
    """One suite of one mirror, as a line of apt's sources names it."""

    mirror: str  # base address, without dists/
    name: str  # "bookworm", "bookworm-security"
    components: tuple[str, ...] = ("main",)


@dataclass(frozen=True, slots=True)
class Release:
    """A verified InRelease."""

    suite: Suite
    codename: str
    version: str  # "12.15"; empty where the suite states none
    date: datetime  # when the archive signed it
    digest: Digest  # of the InRelease file
    signed_by: tuple[str, ...]  # fingerprints, upper-case hexadecimal


@dataclass(frozen=True, slots=True)
class BinaryPackage:
    """One binary package of a verified Packages index."""

    name: str
    version: str
    architecture: str  # "amd64", "all"
    source: str  # source package; equals name where the stanza has no Source
    source_version: str  # equals version where the Source field has none in brackets (binNMUs differ)
    filename: str  # relative to the mirror
    size: int  # bytes of the .deb
    digest: Digest  # of the .deb
    suite: Suite
    fields: dict[str, str] = field(
        repr=False, hash=False
    )  # the whole stanza: names as written, folded values as written

    @property
    def essential(self) -> bool:
        return self.fields.get("Essential") == "yes"
