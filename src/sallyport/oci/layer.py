"""A layer read and proven in one pass, or written. Source: OCI image-spec 1.1, layer.md and config.md (DiffID)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from sallyport.errors import DamagedError, DigestMismatchError
from sallyport.oci.compression import GzipSink, inflate, kind_of
from sallyport.oci.descriptor import Descriptor
from sallyport.oci.digest import Digest, Hasher, verified
from sallyport.oci.entry import Entry
from sallyport.oci.interface import BlobReader
from sallyport.oci.tar import NO_LIMITS, TarLimits, read_tar
from sallyport.oci.tar_writer import TarWriter


def read_layer(
    blobs: BlobReader, layer: Descriptor, *, diff_id: Digest | None, limits: TarLimits = NO_LIMITS
) -> Iterator[tuple[Entry, Iterator[bytes]]]:
    """Each member of ``layer`` with its content, as :func:`read_tar` gives them.

    Size, digest and, where it is given, ``diff_id`` are proven when the iteration has ended. Use what it
    yields only after that: keep it apart, or be ready to throw it away.

    Raises:
        UnknownMediaTypeError: no layer.
        MissingBlobError: it is not in ``blobs``.
        DigestMismatchError: the bytes are not those that the manifest or the config names.
        DamagedError: otherwise broken; see :func:`read_tar` and :func:`decompress`.
    """
    kind_of(layer.media_type)
    what = f"the layer {layer.digest.short}"
    proven = verified(blobs.chunks(layer.digest), layer.digest, layer.size, what=what)
    return _members(proven, layer, diff_id, limits, what)


def read_members(
    proven: Iterator[bytes], layer: Descriptor, *, diff_id: Digest | None, limits: TarLimits = NO_LIMITS
) -> Iterator[tuple[Entry, Iterator[bytes]]]:
    """Like :func:`read_layer`, for bytes that were proven to be ``layer`` just before, or are when they end.

    Raises:
        as :func:`read_layer`, except for what is ``proven`` elsewhere.
    """
    kind_of(layer.media_type)
    return _members(proven, layer, diff_id, limits, f"the layer {layer.digest.short}")


def _members(
    proven: Iterator[bytes], layer: Descriptor, diff_id: Digest | None, limits: TarLimits, what: str
) -> Iterator[tuple[Entry, Iterator[bytes]]]:
    hasher = Hasher("sha256" if diff_id is None else diff_id.algorithm)
    inflated = inflate(proven, layer.media_type, what=what, limit=limits.total)
    try:
        tar = inflated if diff_id is None else _hashed(inflated, hasher)
        yield from read_tar(tar, what=what, limits=limits, end_mark=False)
    except DamagedError:
        # A layer that was damaged on its way shows as a broken stream first. Whether its bytes are the promised
        # ones tells the reader whom to ask: the medium, or the publisher.
        for _ in proven:
            pass
        raise
    if diff_id is not None and hasher.digest() != diff_id:
        raise DigestMismatchError(
            f"{what}: the config names the content {diff_id}, and it is {hasher.digest()}",
            "the image is broken: ask its publisher to build it anew",
        )


def _hashed(chunks: Iterator[bytes], hasher: Hasher) -> Iterator[bytes]:
    for chunk in chunks:
        hasher.update(chunk)
        yield chunk


class LayerWriter:
    """Writes a layer into ``sink`` and knows its diff_id; the same entries give the same bytes.

    ``sink`` is most often a ``BlobWriter``'s ``write``, whose ``commit`` then gives the blob's digest.
    """

    def __init__(self, sink: Callable[[bytes], object], *, gzip: bool = True) -> None:
        self._hasher = Hasher()
        self._gzip = GzipSink(sink) if gzip else None
        self._sink = sink if self._gzip is None else self._gzip.write
        self._tar = TarWriter(self._write)

    def add(self, entry: Entry, body: Iterable[bytes] = ()) -> None:
        """Write one member; raises as :meth:`TarWriter.add` does."""
        self._tar.add(entry, body)

    def close(self) -> Digest:
        """Write the end; the diff_id."""
        self._tar.close()
        if self._gzip is not None:
            self._gzip.close()
        return self._hasher.digest()

    def _write(self, data: bytes) -> None:
        self._hasher.update(data)
        self._sink(data)
