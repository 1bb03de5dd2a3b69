"""What upstream sent, in the cache: indexes for a while, files for good; nothing is kept before it is proven."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import TypeVar

from sallyport.depot.model import FILE_LIMIT, Repository
from sallyport.engine import Http, Response, write_file
from sallyport.errors import (
    DamagedError,
    DeniedError,
    DigestMismatchError,
    NotFoundError,
    OversizeError,
    SallyportError,
    UnreachableError,
)
from sallyport.oci import Digest, decode, encode, verified
from sallyport.store import DirectoryStore

T = TypeVar("T")
_NOTE_LIMIT = 64 * 1024
_PAUSE = timedelta(minutes=1)  # before an upstream that did not answer is asked again for what we have
_AGAIN = frozenset({429, 500, 502, 503, 504})
_OK, _NOT_MODIFIED = 200, 304
_STRIPES = 64
Prove = Callable[[bytes, bytes | None], bool]
"""Raises unless an index may be used; False where the one before it is to stay."""


@dataclass(frozen=True, slots=True)
class Kept:
    """An index that was proven."""

    digest: Digest
    size: int
    at: datetime  # when upstream last said that it is the current one
    since: datetime  # when it was taken
    etag: str = ""
    modified: str = ""
    media_type: str = ""
    before: Digest | None = None  # the one that it took the place of

    @property
    def changed(self) -> str:
        """When it changed, as HTTP says it, for clients that ask by time; apt does."""
        return self.modified or format_datetime(self.since.astimezone(UTC), usegmt=True)


class Keeper:
    """Fetches for one repository through ``http`` into ``cache``. May be shared by threads."""

    def __init__(self, repository: Repository, http: Http, cache: DirectoryStore, now: Callable[[], datetime]) -> None:
        self.repository = repository
        self.cache = cache
        self.now = now
        self._http = http
        self._notes = cache.root / "depot" / repository.name
        self._locks = [threading.Lock() for _ in range(_STRIPES)]
        self._pauses: dict[str, datetime] = {}

    # --- indexes ------------------------------------------------------------------------------

    def index(self, url: str, *, what: str, limit: int, prove: Prove, accept: str = "*/*") -> Kept:
        """The index at ``url``: asked for where ours is not fresh, ours where upstream does not answer.

        Raises:
            NotFoundError, DeniedError, UnreachableError, OversizeError: upstream gives none, and there is none here.
            SallyportError: what ``prove`` raises; nothing is kept then.
        """
        with self._lock(url):
            old = self.recall(url, Kept)
            if old is not None and not self.cache.has(old.digest):
                old = None
            if old is not None and self._is_current(old, url):
                return old
            try:
                return self._ask(url, old, what=what, limit=limit, prove=prove, accept=accept)
            except UnreachableError:
                if old is None:
                    raise
                self._pauses[url] = self.now() + _PAUSE
                return old

    def expire(self, url: str) -> None:
        """Ask upstream for the index at ``url`` the next time, however fresh ours is."""
        with self._lock(url):
            old = self.recall(url, Kept)
            if old is not None:
                self.remember(url, replace(old, at=old.at - self.repository.fresh_for))

    def read(self, digest: Digest) -> bytes:
        """Bytes of the cache, proven once more."""
        size = self.cache.size(digest)
        return b"".join(verified(self.cache.chunks(digest), digest, size, what="a kept index"))

    def once(self, url: str, *, what: str, limit: int) -> bytes:
        """What is at ``url`` now, NOT proven and not kept."""
        with self._http.request("GET", url) as response:
            _expect(response, what)
            return response.read(limit)

    def _is_current(self, old: Kept, url: str) -> bool:
        now = self.now()
        pause = self._pauses.get(url)
        # A clock that was set back must not make an index fresh for ever.
        return timedelta() <= now - old.at < self.repository.fresh_for or (pause is not None and now < pause)

    def _ask(self, url: str, old: Kept | None, *, what: str, limit: int, prove: Prove, accept: str) -> Kept:
        headers = {"Accept": accept}
        if old is not None and old.etag:
            headers["If-None-Match"] = old.etag
        elif old is not None and old.modified:
            headers["If-Modified-Since"] = old.modified
        with self._http.request("GET", url, headers=headers) as response:
            if response.status == _NOT_MODIFIED and old is not None:
                kept = replace(old, at=self.now())
            else:
                _expect(response, what)
                raw = response.read(limit)
                kept = self._accept(raw, old, prove, response)
        self.remember(url, kept)
        self._pauses.pop(url, None)
        return kept

    def _accept(self, raw: bytes, old: Kept | None, prove: Prove, response: Response) -> Kept:
        digest = Digest.of(raw)
        if old is not None and digest == old.digest:
            return replace(old, at=self.now())
        if not prove(raw, self.read(old.digest) if old is not None else None) and old is not None:
            return replace(old, at=self.now())
        self.cache.put(digest, len(raw), [raw])
        if old is not None and old.before not in (None, digest, old.digest):
            # Two generations are enough; what also stands in another note is fetched again there.
            self.cache.delete(old.before)
        return Kept(
            digest,
            len(raw),
            self.now(),
            self.now(),
            response.headers.get("etag", "")[:256],
            response.headers.get("last-modified", "")[:64],
            response.headers.get("content-type", "")[:128],
            old.digest if old is not None else None,
        )

    # --- files --------------------------------------------------------------------------------

    def file(self, urls: Sequence[str], digest: Digest, size: int, *, what: str) -> Digest:
        """Have the bytes of ``digest`` in the cache; a broken download is gone on with.

        Raises:
            NotFoundError, DeniedError, UnreachableError: upstream does not give it.
            DamagedError: it gives other bytes.
        """
        if size > FILE_LIMIT:
            raise _too_long(what, FILE_LIMIT)
        with self._lock(str(digest)):
            missing: NotFoundError | None = None
            for url in urls:
                try:
                    self.cache.resume(digest, size, lambda offset, url=url: self._body(url, offset, what))  # type: ignore[misc]
                except NotFoundError as error:
                    missing = error
                else:
                    return digest
            raise missing or NotFoundError(f"{what}: no address is known", "check the repository's upstream")

    def checked(
        self, url: str, key: str, *, what: str, limit: int, check: Callable[[Iterator[bytes]], Iterator[bytes]]
    ) -> Digest:
        """Have the file in the cache that ``check`` lets through whole; ``key`` names it by what it must be.

        ``check`` passes chunks on and raises at their end, unless they are what was asked for.

        Raises:
            as :meth:`file` does.
        """
        with self._lock(key):
            there = self.recall(key, Digest)
            if there is not None and self.cache.has(there):
                return there
            with self.cache.create() as writer:
                for chunk in check(self._body(url, 0, what)):
                    if writer.size + len(chunk) > limit:
                        raise _too_long(what, limit)
                    writer.write(chunk)
                digest = writer.commit()
            self.remember(key, digest)
            return digest

    def _body(self, url: str, offset: int, what: str) -> Iterator[bytes]:
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        with self._http.request("GET", url, headers=headers) as response:
            resumed = response.status == 206 and response.headers.get("content-range", "").startswith(  # noqa: PLR2004
                f"bytes {offset}-"
            )
            if not (offset and resumed):
                _expect(response, what)
            skip = 0 if resumed else offset
            for chunk in response.chunks():
                piece = chunk[skip:] if skip else chunk
                skip = max(0, skip - len(chunk))
                if piece:
                    yield piece

    # --- notes --------------------------------------------------------------------------------

    def recall(self, key: str, kind: type[T]) -> T | None:
        """What was remembered under ``key``."""
        try:
            return decode(self._note(key).read_bytes(), kind, what="a note of the depot", limit=_NOTE_LIMIT)
        except (OSError, DamagedError):
            return None

    def remember(self, key: str, value: object) -> None:
        """Keep a small value beside the cache."""
        write_file(self._note(key), encode(value))

    def _note(self, key: str) -> Path:
        self._notes.mkdir(parents=True, exist_ok=True)
        return self._notes / f"{hashlib.sha256(key.encode()).hexdigest()}.json"

    @contextmanager
    def _lock(self, key: str) -> Iterator[None]:
        with self._locks[hashlib.sha256(key.encode()).digest()[0] % _STRIPES]:
            yield


def hashed(digest: Digest, what: str) -> Callable[[Iterator[bytes]], Iterator[bytes]]:
    """A check for :meth:`Keeper.checked` where the length is not known beforehand."""

    def check(chunks: Iterator[bytes]) -> Iterator[bytes]:
        hasher = hashlib.new(digest.algorithm)
        for chunk in chunks:
            hasher.update(chunk)
            yield chunk
        if hasher.hexdigest() != digest.hex:
            raise mismatch(what)

    return check


def mismatch(what: str) -> DigestMismatchError:
    """Upstream sent something else than it named."""
    return DigestMismatchError(
        f"{what}: upstream sent other bytes than its index names",
        "ask again; twice the same: do not use this upstream, and tell who runs it",
    )


def _too_long(what: str, limit: int) -> OversizeError:
    return OversizeError(f"{what} has more than {limit} bytes", "do not use this upstream")


def _expect(response: Response, what: str) -> None:
    if response.status != _OK:
        raise _refusal(response.status, what)


def _refusal(status: int, what: str) -> SallyportError:
    if status in (404, 410, 416):
        return NotFoundError(f"upstream has no {what}", "check the name, or the repository's upstream")
    if status in _AGAIN:
        return UnreachableError(f"upstream answered {status} when asked for {what}", "ask again later")
    return DeniedError(f"upstream answered {status} when asked for {what}", "check the repository's upstream")
