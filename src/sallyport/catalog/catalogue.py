"""Image -> bill: each layer is read once and remembered, the root is merged, the cataloguers look at it."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from itertools import pairwise

from sallyport import plugins
from sallyport.catalog.interface import Cataloguer
from sallyport.catalog.model import Bill
from sallyport.catalog.os_release import PATHS, find_distribution
from sallyport.errors import MalformedError, OversizeError
from sallyport.oci import BlobReader, Digest, Image, Listing, Rootfs, list_layer

GROUP = "sallyport.cataloguers"
BUILT_IN = ("dpkg",)
_PACKAGES = 200_000  # in one image; the whole of a Debian release has 64,000
_MEND = "the image's package database is broken: build the image anew, or fetch it again"


def load_cataloguers(names: Sequence[str] = BUILT_IN) -> tuple[Cataloguer, ...]:
    """The cataloguers of these names.

    Raises:
        UsageError: a name that nothing is registered under.
    """
    return tuple(plugins.load(GROUP, name)() for name in names)


def catalogue(
    image: Image,
    blobs: BlobReader,
    *,
    cache: MutableMapping[Digest, Listing] | None = None,
    cataloguers: Sequence[Cataloguer] | None = None,
) -> Bill:
    """Everything installed in ``image``.

    ``cache`` holds layers' listings by the layer's digest and may be shared by images and threads,
    with the same cataloguers.

    Raises:
        MalformedError: a package database that cannot be read, or one that names a package twice.
        MissingBlobError: a database stands at so unusual a place that its content was not kept.
        DamagedError: a layer that is not what its digest says.
    """
    cataloguers = load_cataloguers() if cataloguers is None else cataloguers
    layers: list[Listing] = []
    for descriptor, diff_id in image.layers:
        listing = None if cache is None else cache.get(descriptor.digest)
        if listing is None:
            listing = list_layer(blobs, descriptor, diff_id=diff_id, keep=lambda path: _keep(path, cataloguers))
            if cache is not None:
                cache[descriptor.digest] = listing
        layers.append(listing)
    rootfs = Rootfs.merge(layers)
    found = {package for cataloguer in cataloguers for package in cataloguer.packages(rootfs, layers)}
    if len(found) > _PACKAGES:
        raise OversizeError(f"the image {image.descriptor.digest} names {len(found)} packages", _MEND)
    packages = sorted(found, key=lambda package: (*package.key, package.version, package.location))
    for first, second in pairwise(packages):
        if first.key == second.key and first.location == second.location:
            raise MalformedError(f"{first.location} names {first.name}:{first.architecture} twice", _MEND)
    return Bill(image.descriptor.digest, image.config.platform, find_distribution(rootfs), tuple(packages))


def _keep(path: str, cataloguers: Sequence[Cataloguer]) -> bool:
    return path in PATHS or path.endswith("/os-release") or any(cataloguer.wants(path) for cataloguer in cataloguers)
