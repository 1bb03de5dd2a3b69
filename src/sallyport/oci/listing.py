"""What one layer holds, small enough to remember: its members, and the contents that somebody asked to keep."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sallyport.errors import DuplicateKeyError, OversizeError
from sallyport.oci.descriptor import Descriptor
from sallyport.oci.digest import Digest
from sallyport.oci.entry import Entry, Kind
from sallyport.oci.interface import BlobReader
from sallyport.oci.layer import read_layer
from sallyport.oci.tar import NO_LIMITS, TarLimits

CONTENT_LIMIT = 64 * 1024**2
"""Bytes of one kept content."""
CONTENTS_LIMIT = 512 * 1024**2
"""Bytes of all kept contents of a layer."""
NAMES_LIMIT = 256 * 1024**2
"""Bytes of all paths, links and attributes of a layer."""
_REFUSE = "refuse it: no honest image is so large"


@dataclass(frozen=True, slots=True)
class Listing:
    """One layer's members in their order, whiteouts included; valid for ever, since the digest names it."""

    layer: Digest  # of the blob
    entries: tuple[Entry, ...] = field(repr=False)
    contents: Mapping[str, bytes] = field(repr=False, hash=False)  # by path as the layer writes it


def list_layer(
    blobs: BlobReader,
    layer: Descriptor,
    *,
    diff_id: Digest | None,
    keep: Callable[[str], bool],
    content_limit: int = CONTENT_LIMIT,
    contents_limit: int = CONTENTS_LIMIT,
    limits: TarLimits = NO_LIMITS,
) -> Listing:
    """Read ``layer`` once, prove it, and keep the contents of the files for which ``keep(path)`` says so.

    Raises:
        OversizeError: a kept content, their sum, or the sum of all names is over its limit.
        DuplicateKeyError: a kept file stands twice with different contents.
        DamagedError: as :func:`read_layer` says.
    """
    what = f"the layer {layer.digest.short}"
    entries: list[Entry] = []
    contents: dict[str, bytes] = {}
    names = kept = 0
    for entry, body in read_layer(blobs, layer, diff_id=diff_id, limits=limits):
        entries.append(entry)
        names += len(entry.path) + len(entry.link)
        if entry.xattrs:
            names += sum(len(key) + len(value) for key, value in entry.xattrs.items())
        if names > NAMES_LIMIT:
            raise OversizeError(f"{what} has more than {NAMES_LIMIT} bytes of names", _REFUSE)
        if entry.kind is Kind.FILE and keep(entry.path):
            kept += entry.size
            if entry.size > content_limit or kept > contents_limit:
                raise OversizeError(f"{what}: {entry.path[:120]!r} is larger than what may be kept of it", _REFUSE)
            content = b"".join(body)
            # The last one counts; but a hard link between the two would name the first.
            if contents.setdefault(entry.path, content) != content:
                raise DuplicateKeyError(
                    f"{what}: {entry.path[:120]!r} stands twice with different contents",
                    "refuse it: which of the two counts depends on the reader",
                )
    return Listing(layer.digest, tuple(entries), contents)
