"""The nouns of patching."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from sallyport.archives import BinaryPackage
from sallyport.catalog import Package
from sallyport.errors import RefusedError
from sallyport.oci import Descriptor, Digest, Platform


class UnsatisfiableError(RefusedError):
    """The packages that close the findings cannot stand beside those that the image has."""


class UnknownScriptError(RefusedError):
    """A maintainer script would do something that is not known to be needless or done natively."""


class Handling(enum.Enum):
    """What becomes of a command of a maintainer script."""

    HARMLESS = "harmless"  # it only reads, or only tells
    NATIVE = "native"  # sallyport does it itself
    SKIPPED = "skipped"  # it would change nothing in an image; the reason says why
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Judged:
    """One command that a maintainer script could run on this upgrade."""

    command: str
    handling: Handling
    reason: str


@dataclass(frozen=True, slots=True)
class Script:
    """One maintainer script that dpkg would run on this upgrade. Source: Debian Policy 6.6."""

    package: str
    name: str  # "preinst", "postinst", "prerm", "postrm"
    arguments: tuple[str, ...]
    text: str = field(repr=False)
    commands: tuple[Judged, ...]  # without those that only read

    @property
    def unknown(self) -> tuple[Judged, ...]:
        return tuple(judged for judged in self.commands if judged.handling is Handling.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Upgrade:
    """One installed package and the newer signed one that takes its place; ``old`` is None for a new dependency."""

    old: Package | None
    new: BinaryPackage
    closes: tuple[str, ...]  # CVEs


@dataclass(frozen=True, slots=True)
class PatchPlan:
    """What would be done to one image for one platform; nothing is changed by making it."""

    image: Digest
    platform: Platform
    upgrades: tuple[Upgrade, ...]
    unfixable: tuple[str, ...]  # findings that no package of the archive closes
    notes: tuple[str, ...] = ()  # packages held back, dependencies that the image leaves out

    @property
    def bytes_to_fetch(self) -> int:
        return sum(upgrade.new.size for upgrade in self.upgrades)


class Change(enum.Enum):
    """What a patch did to a path."""

    WRITTEN = "written"
    REMOVED = "removed"
    KEPT = "kept"  # a configuration file that the image changed stays; the new one stands beside it as .dpkg-dist
    LEFT_OUT = "left out"  # the image leaves such files out


@dataclass(frozen=True, slots=True)
class ChangedFile:
    """One path of the image that the patch changed, and the package that it is for."""

    path: str
    change: Change
    package: str


@dataclass(frozen=True, slots=True)
class Patched:
    """One image, before and after, for one platform."""

    before: Descriptor
    after: Descriptor  # equals ``before`` where there was nothing to do
    layer: Descriptor  # the new one; where there was nothing to do, the topmost that the image has
    plan: PatchPlan
    scripts: tuple[Script, ...] = ()
    files: tuple[ChangedFile, ...] = ()
    notes: tuple[str, ...] = ()
