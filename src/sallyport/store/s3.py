"""Bytes in a bucket of an S3-compatible service; copies on their way in rest in the store's own folder.

``<prefix>/blobs/sha256/<hex>`` holds whole, proven bytes: they are hashed in a local file first and then go up
as one object, so that nothing unproven ever has a blob's name. One prefix belongs to one store folder, since tags,
locks and the marks of what was asked for again are there.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import urlsplit

from sallyport.engine import storage_error
from sallyport.errors import DeniedError, MalformedError, MissingBlobError, StorageError, UnreachableError, UsageError
from sallyport.oci import CHUNK, Digest
from sallyport.store.interface import Adopting, Aging, BlobStore, BlobWriter, Quarantining, Sweeping
from sallyport.store.partial import Partials

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ObjectStore

PART = 8 << 20
"""Bytes of one part of a large object; S3 takes 10,000 parts at most, so larger blobs get larger parts."""
_PARTS = 9_000
_CONCURRENCY = 4
_TIMEOUT_S = 60
_RETRY_S = 120
_STATUS = re.compile(r"status code: ([0-9]{3})")


class S3Store:
    """A :class:`BlobStore` over an object store."""

    def __init__(self, objects: ObjectStore, root: Path, *, name: str = "the bucket") -> None:
        """``root`` is the store's folder; ``name`` is what messages call the object store."""
        self._objects, self._name = objects, name
        self._partials = Partials(root / "partial", self.adopt)
        self._asked = root / "asked"

    @classmethod
    def open(
        cls, url: str, root: Path, *, endpoint: str = "", region: str = "", plain_http: bool = False, retries: int = 6
    ) -> S3Store:
        """The bucket of ``url``, s3://bucket/prefix; the environment says who we are (AWS_ACCESS_KEY_ID, …).

        Raises:
            UsageError: not such an address.
        """
        from obstore.exceptions import BaseError
        from obstore.store import S3Store as Bucket

        parts = urlsplit(url)
        if parts.scheme != "s3" or not parts.netloc or parts.query or parts.fragment:
            raise UsageError(f"{url[:120]!r} is no place for blobs", "write it like s3://bucket/prefix")
        named = {"endpoint": endpoint, "region": region, "prefix": parts.path.strip("/")}
        options: dict[str, Any] = {name: value for name, value in named.items() if value}
        try:
            bucket = Bucket(
                parts.netloc,
                # The service checks what arrives against what we hashed on the way out.
                checksum_algorithm="SHA256",
                client_options={
                    "allow_http": plain_http,
                    "connect_timeout": timedelta(seconds=10),
                    "timeout": timedelta(seconds=_TIMEOUT_S * 10),
                },
                retry_config={"max_retries": retries, "retry_timeout": timedelta(seconds=_RETRY_S)},
                **options,
            )
        except BaseError as error:
            raise UsageError(f"{url}: {_short(error)}", "see storage in the configuration") from error
        return cls(bucket, root, name=url)

    def path(self, digest: Digest) -> Path | None:  # noqa: ARG002 - there is no file
        return None

    def has(self, digest: Digest) -> bool:
        return self._head(digest) is not None

    def size(self, digest: Digest) -> int:
        return self._meta(digest)["size"]

    def changed_at(self, digest: Digest) -> float:
        meta = self._head(digest)
        if meta is None:
            return 0.0
        try:
            return max(meta["last_modified"].timestamp(), self._mark(digest).stat().st_mtime)
        except FileNotFoundError:
            return meta["last_modified"].timestamp()

    def chunks(self, digest: Digest, *, offset: int = 0) -> Iterator[bytes]:
        if offset and offset >= self._meta(digest)["size"]:
            return iter(())
        from obstore.exceptions import NotFoundError

        with self._translated():
            try:
                got = self._objects.get(_key(digest), options={"range": {"offset": offset}} if offset else None)
            except (NotFoundError, FileNotFoundError) as error:
                raise self._missing(digest) from error
            return self._stream(iter(got.stream(min_chunk_size=CHUNK)))

    def put(self, digest: Digest, size: int, chunks: Iterable[bytes]) -> None:
        if not self._known(digest):
            self._partials.put(digest, size, chunks)

    def resume(self, digest: Digest, size: int, fetch: Callable[[int], Iterable[bytes]]) -> None:
        if not self._known(digest):
            self._partials.resume(digest, size, fetch, has=self.has)

    def create(self) -> AbstractContextManager[BlobWriter]:
        return self._partials.create()

    def adopt(self, file: BinaryIO, temporary: Path, digest: Digest) -> None:
        # By our own clock it is new, whatever the service's says.
        self._touch(digest)
        size = file.seek(0, 2)
        file.seek(0)
        with self._translated():
            if size <= PART:
                self._objects.put(_key(digest), file.read() if size else b"", use_multipart=False)
            else:
                part = max(PART, -(-size // _PARTS))
                self._objects.put(_key(digest), temporary, chunk_size=part, max_concurrency=_CONCURRENCY)
        there = self._meta(digest)["size"]
        if there != size:
            raise StorageError(
                f"{self._name} says that {digest} has {there} bytes, and {size} were sent",
                "remove the object, and look at the service's own log",
            )
        temporary.unlink(missing_ok=True)

    def delete(self, digest: Digest) -> int:
        meta = self._head(digest)
        if meta is None:
            return 0
        with self._translated(), contextlib.suppress(FileNotFoundError):
            self._objects.delete(_key(digest))
        with contextlib.suppress(OSError):
            self._mark(digest).unlink(missing_ok=True)
        return meta["size"]

    def quarantine(self, digest: Digest) -> str:
        target = f"quarantine/{digest.algorithm}-{digest.hex}"
        with self._translated():
            self._objects.rename(_key(digest), target)
        return f"{self._name}/{target}"

    def digests(self) -> Iterator[Digest]:
        with self._translated():
            for page in self._objects.list("blobs"):
                for meta in page:
                    _, _, named = meta["path"].rpartition("blobs/")
                    # A name that is no digest was not put here by us, and is nobody's to delete.
                    with contextlib.suppress(MalformedError):
                        yield Digest.parse(named.replace("/", ":", 1))

    def sweep(self, *, older_than_s: float = 7 * 86400.0, dry_run: bool = False) -> int:
        """Remove what broken copies left here longer ago than that.

        Parts of an object that a killed process sent are the bucket's: let its lifecycle rule remove them.
        """
        if self._asked.is_dir() and not dry_run:
            limit = time.time() - older_than_s
            for path in self._asked.iterdir():
                with contextlib.suppress(OSError):
                    if path.stat().st_mtime <= limit:
                        path.unlink()
        return self._partials.sweep(older_than_s, dry_run=dry_run)

    def _known(self, digest: Digest) -> bool:
        """Whether it is there; if so it counts as new, so that garbage collection spares what is needed again."""
        # The mark before the look: a collector that comes between spares it, or it is gone and we put it again.
        self._touch(digest)
        return self.has(digest)

    def _touch(self, digest: Digest) -> None:
        try:
            self._asked.mkdir(exist_ok=True)
            self._mark(digest).touch()
        except OSError as error:
            raise storage_error(error, self._asked) from error

    def _mark(self, digest: Digest) -> Path:
        return self._asked / f"{digest.algorithm}-{digest.hex}"

    def _head(self, digest: Digest) -> ObjectMeta | None:
        from obstore.exceptions import NotFoundError

        with self._translated():
            try:
                return self._objects.head(_key(digest))
            except (NotFoundError, FileNotFoundError):
                return None

    def _meta(self, digest: Digest) -> ObjectMeta:
        meta = self._head(digest)
        if meta is None:
            raise self._missing(digest)
        return meta

    def _stream(self, stream: Iterator[Any]) -> Iterator[bytes]:
        with self._translated():
            for chunk in stream:
                yield bytes(chunk)

    def _missing(self, digest: Digest) -> MissingBlobError:
        return MissingBlobError(
            f"{digest} is not in the store at {self._name}", "mirror or receive the image that needs it again"
        )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        from obstore.exceptions import (
            BaseError,
            InvalidPathError,
            NotFoundError,
            PermissionDeniedError,
            UnauthenticatedError,
        )

        try:
            yield
        except BaseError as error:
            # A refused listing comes without its own class, and says so in its text only.
            code = match[1] if (match := _STATUS.search(str(error))) else ""
            if isinstance(error, (PermissionDeniedError, UnauthenticatedError)) or code in {"401", "403"}:
                raise DeniedError(
                    f"{self._name} does not let us: {_short(error)}",
                    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and see what this key may do with the bucket",
                ) from error
            if isinstance(error, (NotFoundError, InvalidPathError)) or code == "404":
                raise StorageError(f"{self._name}: {_short(error)}", "check that the bucket exists") from error
            raise UnreachableError(
                f"{self._name} does not answer as it should: {_short(error)}",
                "check storage.endpoint and the way there, then run the same command again",
            ) from error


def _key(digest: Digest) -> str:
    return f"blobs/{digest.algorithm}/{digest.hex}"


def _short(error: Exception) -> str:
    """The first line, without what the library adds for its own debugging."""
    return str(error).strip().partition("\n")[0][:300]


if TYPE_CHECKING:
    _fits: type[BlobStore] = S3Store
    _ages: type[Aging] = S3Store
    _adopts: type[Adopting] = S3Store
    _sweeps: type[Sweeping] = S3Store
    _quarantines: type[Quarantining] = S3Store
