"""Blobs on their way in: one file for each session, in the store's partial area.

A session is its file. It outlives the server, so that a client may go on after a restart; what nobody
finishes is removed after an hour, or swept by ``gc``.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import time
import uuid
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from threading import Lock
from typing import BinaryIO

from sallyport.errors import DiskFullError
from sallyport.oci import CHUNK, Digest, Hasher
from sallyport.registry.replies import RefusalError
from sallyport.store import Adopting, Store

_SESSION = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
MOST = 256  # sessions at a time
LARGEST = 1 << 37  # bytes of one blob; 128 GiB
IDLE_S = 3600.0
_CROWDED_S = 300.0  # so long idle gives way when all places are taken


class Upload:
    """One session; its methods block, and may be called from any thread."""

    def __init__(self, path: Path, session: str) -> None:
        self.path = path
        self.session = session
        self.lock = Lock()
        self.touched = time.monotonic()
        self.writer: Writing | None = None
        self.hasher = Hasher()
        size = path.stat().st_size
        if size:
            with path.open("rb", buffering=0) as file:
                while chunk := file.read(CHUNK):
                    self.hasher.update(chunk)

    @property
    def size(self) -> int:
        """Bytes that have arrived."""
        return self.hasher.size

    def writing(self, limit: int) -> Writing:
        """Take over: whoever wrote before is on a line that broke."""
        writer = Writing(self, self.path.open("r+b", buffering=0), limit)
        with self.lock:
            writer.file.truncate(self.size)
            writer.file.seek(self.size)
            self.writer = writer
        return writer


class Writing:
    """One request that adds to a session."""

    def __init__(self, upload: Upload, file: BinaryIO, limit: int) -> None:
        self.upload, self.file, self._limit = upload, file, limit

    def write(self, data: bytes) -> None:
        """Add ``data``, or refuse."""
        upload = self.upload
        with upload.lock:
            if upload.writer is not self:
                raise RefusalError(
                    HTTPStatus.CONFLICT, "BLOB_UPLOAD_INVALID", "another request goes on with this upload"
                )
            if upload.size + len(data) > self._limit:
                raise RefusalError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "SIZE_INVALID", "the blob is too large")
            view = memoryview(data)
            try:
                while view:
                    view = view[self.file.write(view) :]
            except OSError as error:
                raise DiskFullError(f"an upload stopped: {error.strerror}", "free space in the store") from error
            upload.hasher.update(data)
            upload.touched = time.monotonic()


class Uploads:
    """All sessions of one store."""

    def __init__(self, store: Store, *, most: int = MOST, largest: int = LARGEST, idle_s: float = IDLE_S) -> None:
        self._store = store
        self._most, self._largest, self._idle_s = most, largest, idle_s
        self._folder = store.root / "partial"
        self._lock = Lock()
        self._known: dict[tuple[str, str], Upload] = {}

    def begin(self, repository: str) -> Upload:
        """Open a session.

        Raises:
            RefusalError: too many are open.
        """
        with self._lock:
            self._expire(self._idle_s)
            if len(self._known) >= self._most:
                self._expire(_CROWDED_S)
            if len(self._known) >= self._most:
                raise RefusalError(
                    HTTPStatus.TOO_MANY_REQUESTS,
                    "TOOMANYREQUESTS",
                    "too many uploads are open",
                    headers={"Retry-After": "30"},
                )
            session = str(uuid.uuid4())
            path = self._path(repository, session)
            self._folder.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600, exist_ok=False)
            upload = self._known[repository, session] = Upload(path, session)
            return upload

    def find(self, repository: str, session: str) -> Upload:
        """The session, also one of a server before this one.

        Raises:
            RefusalError: there is none.
        """
        with self._lock:
            upload = self._known.get((repository, session))
            if upload is None and _SESSION.match(session) and self._path(repository, session).is_file():
                upload = self._known[repository, session] = Upload(self._path(repository, session), session)
        if upload is None:
            raise RefusalError(HTTPStatus.NOT_FOUND, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
        return upload

    def writing(self, upload: Upload) -> Writing:
        """Go on with a session; the file is the caller's to close."""
        try:
            return upload.writing(self._largest)
        except FileNotFoundError as error:
            raise RefusalError(HTTPStatus.NOT_FOUND, "BLOB_UPLOAD_UNKNOWN", "the upload has ended") from error

    def finish(self, repository: str, upload: Upload, digest: Digest) -> None:
        """Prove the bytes and keep them; the session ends either way.

        Raises:
            RefusalError: other bytes than ``digest`` names; nothing is kept.
        """
        blobs = self._store.blobs
        try:
            with upload.lock, upload.path.open("r+b", buffering=0) as file:
                upload.writer = None
                if _digest(upload, file, digest.algorithm) != digest:
                    raise RefusalError(
                        HTTPStatus.BAD_REQUEST,
                        "DIGEST_INVALID",
                        "provided digest did not match uploaded content",
                        details=({"digest": str(digest)},),
                    )
                # Garbage collection stays out while bytes that it may be about to take are asked for again.
                with self._store.lease():
                    known = blobs.has(digest)
                    if known:
                        blobs.put(digest, upload.size, ())
                if not known and isinstance(blobs, Adopting):
                    blobs.adopt(file, upload.path, digest)
                elif not known:
                    file.seek(0)
                    blobs.put(digest, upload.size, _chunks(file))
        except FileNotFoundError as error:
            raise RefusalError(HTTPStatus.NOT_FOUND, "BLOB_UPLOAD_UNKNOWN", "the upload has ended") from error
        finally:
            self.cancel(repository, upload)

    def cancel(self, repository: str, upload: Upload) -> None:
        """Drop the session and its bytes."""
        with self._lock:
            self._known.pop((repository, upload.session), None)
        upload.writer = None
        with contextlib.suppress(OSError):
            upload.path.unlink(missing_ok=True)

    def _path(self, repository: str, session: str) -> Path:
        # The repository is part of the name, so that no session can be finished into another one.
        return self._folder / f"upload-{session}-{hashlib.sha256(repository.encode()).hexdigest()[:16]}"

    def _expire(self, idle_s: float) -> None:
        before = time.monotonic() - idle_s
        for key, upload in list(self._known.items()):
            if upload.touched < before:
                del self._known[key]
                upload.writer = None
                with contextlib.suppress(OSError):
                    upload.path.unlink(missing_ok=True)


def _digest(upload: Upload, file: BinaryIO, algorithm: str) -> Digest:
    if algorithm == upload.hasher.algorithm:
        return upload.hasher.digest()
    hasher = Hasher(algorithm)
    file.seek(0)
    for chunk in _chunks(file):
        hasher.update(chunk)
    return hasher.digest()


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    while chunk := file.read(CHUNK):
        yield chunk
