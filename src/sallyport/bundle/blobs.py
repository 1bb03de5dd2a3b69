"""The blobs that a bundle carries, read where they lie."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from sallyport.bundle.errors import DamagedFileError, LongFileError, TruncatedFileError
from sallyport.bundle.folder import blob_path, check_size, open_file, unreadable
from sallyport.bundle.model import Blob
from sallyport.bundle.stream import copy_blob
from sallyport.errors import DigestMismatchError, MissingBlobError, OversizeError, SallyportError, TruncatedError
from sallyport.oci import CHUNK, BlobReader, Digest, verified

_AGAIN = "copy the bundle to the medium again; if it happens twice, keep the medium as evidence"


class BundleBlobs:
    """The blobs that a bundle carries, as a :class:`BlobReader`; its errors name the file."""

    def __init__(self, folder: Path, carries: tuple[Blob, ...]) -> None:
        self._folder = folder
        self._sizes = {blob.digest: blob.size for blob in carries}

    def has(self, digest: Digest) -> bool:
        return digest in self._sizes

    def size(self, digest: Digest) -> int:
        try:
            return self._sizes[digest]
        except KeyError as error:
            raise MissingBlobError(f"the bundle does not carry {digest}", "receive the one before it first") from error

    def chunks(self, digest: Digest, *, offset: int = 0) -> Iterator[bytes]:
        path = blob_path(digest)
        with self.open(digest) as file:
            try:
                file.seek(offset)
                while chunk := file.read(CHUNK):
                    yield chunk
            except OSError as error:
                raise unreadable(self._folder, path, error) from error

    def open(self, digest: Digest) -> BinaryIO:
        """The blob's file on the medium, of the right size; its bytes are not proven."""
        size, path = self.size(digest), blob_path(digest)
        file = open_file(self._folder, path)
        try:
            check_size(self._folder, path, os.fstat(file.fileno()).st_size, size)
        except SallyportError:
            file.close()
            raise
        return file

    def copy(self, digest: Digest, target: BinaryIO) -> Iterator[int]:
        """Copy the blob into ``target`` and prove what arrived; yields how many bytes were.

        Raises as :meth:`proven` does; then ``target`` is to be thrown away.
        """
        path = blob_path(digest)
        with self._naming(path), self.open(digest) as source:
            yield from copy_blob(self, digest, self.size(digest), target, source=source, what=path)

    def proven(self, digest: Digest) -> Iterator[bytes]:
        """The bytes, verified; use them only after it is exhausted.

        Raises:
            DamagedFileError, TruncatedFileError, LongFileError, MissingFileError: naming the file.
        """
        path = blob_path(digest)
        with self._naming(path):
            yield from verified(self.chunks(digest), digest, self.size(digest), what=path)

    @contextmanager
    def _naming(self, path: str) -> Iterator[None]:
        """What is wrong with the bytes is the file's fault, and is called so."""
        try:
            yield
        except DigestMismatchError as error:
            raise DamagedFileError(f"{path} in {self._folder} is damaged: {error.message}", _AGAIN) from error
        except TruncatedFileError:
            raise
        except TruncatedError as error:
            raise TruncatedFileError(f"{path} in {self._folder}: {error.message}", _AGAIN) from error
        except LongFileError:
            raise
        except OversizeError as error:
            raise LongFileError(f"{path} in {self._folder}: {error.message}", _AGAIN) from error


if TYPE_CHECKING:
    _fits: type[BlobReader] = BundleBlobs
