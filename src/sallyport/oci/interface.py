"""What reading an image asks of the place where its bytes rest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from sallyport.oci.digest import Digest


class BlobReader(Protocol):
    """A place that has bytes by digest: a store, a layout, a bundle on a medium."""

    def has(self, digest: Digest) -> bool:
        """Whether the bytes are there, whole."""
        ...

    def size(self, digest: Digest) -> int:
        """Bytes. Raises MissingBlobError where it is not there."""
        ...

    def chunks(self, digest: Digest, *, offset: int = 0) -> Iterator[bytes]:
        """The bytes from ``offset`` on, NOT verified: wrap in ``verified``, or use ``read_blob``.

        Raises MissingBlobError where it is not there.
        """
        ...
