"""Decide what the next bundle carries, and what it leaves out because the inside has proven to hold it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from sallyport.bundle.model import Blob, BundlePlan, FeedFile, Receipt, Released, TrustedKey
from sallyport.bundle.name import check_destination
from sallyport.errors import MalformedError, UsageError
from sallyport.oci import Descriptor, Digest, media_types

_MANIFESTS = media_types.MANIFESTS | media_types.INDEXES


def plan_bundle(
    released: Iterable[Released],
    reachable: Callable[[Descriptor], Sequence[Descriptor]],
    receipt: Receipt | None,
    *,
    destination: str,
    feeds: Sequence[FeedFile] = (),
    keys: Sequence[TrustedKey] = (),
) -> BundlePlan:
    """Plan the bundle that brings ``released`` to ``destination``.

    ``reachable`` gives every manifest, config and layer below a descriptor, itself included. ``receipt`` is
    the newest verified one, or None where none came back yet. Nothing but that receipt says what the inside
    has: a bundle that was written and lost on the way makes the next one larger, never wrong. A release is
    left out as a whole once the receipt lists it as imported and holds all of it; manifests of the others
    always travel, so that other tools can read the layout.

    Raises:
        UsageError: the receipt is of another destination, or two releases claim one tag.
        MalformedError: two descriptors of one digest state different sizes.
    """
    check_destination(destination)
    if receipt is not None and receipt.destination != destination:
        raise UsageError(
            f"the receipt is of {receipt.destination}, the bundle is for {destination}",
            "give a receipt of the same destination, or none",
        )
    holds = frozenset(receipt.holds) if receipt is not None else frozenset[Digest]()
    arrived = frozenset(receipt.imported) if receipt is not None else frozenset[str]()

    brings: list[Released] = []
    imported: list[Released] = []
    tags: dict[tuple[str, str], Released] = {}
    blobs: dict[Digest, Descriptor] = {}
    for one in sorted(released, key=lambda item: (item.repository, item.tag)):
        other = tags.get((one.repository, one.tag))
        if other == one:
            continue
        if other is not None:
            raise UsageError(
                f"{one.repository}:{one.tag} is released twice: {other.descriptor.digest}, {one.descriptor.digest}",
                "release one of them under another tag",
            )
        tags[one.repository, one.tag] = one
        needs = [found for top in (one.descriptor, *(at.descriptor for at in one.attached)) for found in reachable(top)]
        if one.name in arrived and all(found.digest in holds for found in needs):
            imported.append(one)
            continue
        brings.append(one)
        for found in needs:
            _add(blobs, found)

    carries = {feed.blob.digest: feed.blob for feed in feeds}
    requires: dict[Digest, Blob] = {}
    for digest, found in blobs.items():
        left_out = digest in holds and found.media_type not in _MANIFESTS
        if digest not in carries:
            (requires if left_out else carries)[digest] = Blob(digest, found.size)
    return BundlePlan(
        destination,
        tuple(brings),
        tuple(carries.values()),
        tuple(sorted(requires.values(), key=lambda blob: blob.digest)),
        tuple(feeds),
        tuple(keys),
        tuple(imported),
    )


def _add(blobs: dict[Digest, Descriptor], found: Descriptor) -> None:
    known = blobs.setdefault(found.digest, found)
    if known.size != found.size:
        raise MalformedError(
            f"{found.digest} has {known.size} bytes in one manifest and {found.size} in another",
            "one of the two images is broken: mirror it again, or leave it out",
        )
