"""Findings and a signed archive -> what would be done to an image; nothing is changed."""

from __future__ import annotations

from collections.abc import Mapping

from sallyport.archives import Archive, PackageIndex, debian_architecture
from sallyport.catalog import Bill
from sallyport.match import Scan
from sallyport.oci import BlobReader, Image, Platform
from sallyport.patch.base import members_of, on_hold, read_base
from sallyport.patch.choose import choose
from sallyport.patch.model import PatchPlan
from sallyport.patch.solve import Member


def plan_patch(
    image: Image,
    bill: Bill,
    scan: Scan,
    archive: Archive,
    *,
    everything: bool = False,
    blobs: BlobReader | None = None,
) -> PatchPlan:
    """Choose the newer packages that close the findings of ``scan``, or with ``everything`` all newer ones.

    With ``blobs``, where the image's layers are, the relations are those of the packages as they are installed.
    Without, those of packages whose version the archive no longer has are unknown; :func:`patch` checks again.

    Raises:
        UnsatisfiableError: a package that closes a finding cannot be had; the message names the relation.
        UsageError: Debian has no packages for the image's platform.
    """
    platform = platform_of(image)
    packages = [package for package in bill.packages if package.kind == "deb"]
    if not packages:
        return PatchPlan(image.descriptor.digest, platform, (), tuple(sorted(scan.vulnerabilities)))
    architecture = debian_architecture(platform)
    index = archive.packages(architecture)
    here = [package for package in packages if package.architecture in (architecture, "all")]
    members: Mapping[str, Member]
    held: frozenset[str] = frozenset()
    if blobs is None:
        members = {p.name: Member(p.name, p.version, _fields(index, p.name, p.version)) for p in here}
    else:
        installed = read_base(image, blobs).installed(architecture)
        members, held = members_of(installed), on_hold(installed)
    choice = choose(here, scan.findings, members, index, everything=everything, held=held)
    return PatchPlan(image.descriptor.digest, platform, choice.upgrades, choice.unfixable, choice.notes)


def platform_of(image: Image) -> Platform:
    """The platform, by the index where it says so."""
    return image.descriptor.platform or image.config.platform


def _fields(index: PackageIndex, name: str, version: str) -> Mapping[str, str]:
    return next((package.fields for package in index.versions(name) if package.version == version), {})
