"""The nouns of patching."""

from __future__ import annotations

from dataclasses import dataclass

from sallyport.archives import BinaryPackage
from sallyport.catalog import Package
from sallyport.oci import Descriptor, Digest, Platform


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

    @property
    def bytes_to_fetch(self) -> int:
        return sum(upgrade.new.size for upgrade in self.upgrades)


@dataclass(frozen=True, slots=True)
class Patched:
    """One image, before and after, for one platform."""

    before: Descriptor
    after: Descriptor
    layer: Descriptor
    plan: PatchPlan
