"""Files from a mirror into a cache, by digest: resumed where they broke off, proven before they are kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from urllib.parse import quote, urlsplit

from sallyport.archives.release import Listed
from sallyport.archives.signature import RELEASE_LIMIT
from sallyport.engine import Http, Response, write_file
from sallyport.errors import (
    DamagedError,
    DeniedError,
    DigestMismatchError,
    NotFoundError,
    SallyportError,
    TruncatedError,
    UnreachableError,
)
from sallyport.oci import Digest, decode, encode, verified
from sallyport.store import DirectoryStore

_TRIES = 3


@dataclass(frozen=True, slots=True)
class Seen:
    """The InRelease that was accepted last from one address, to ask only whether it changed."""

    digest: Digest
    size: int
    date: datetime
    etag: str = ""
    modified: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a mirror sent for a file whose digest nobody signed beforehand."""

    url: str
    raw: bytes = field(repr=False)
    seen: Seen | None  # the one before it
    etag: str
    modified: str


def address(mirror: str, path: str) -> str:
    """The URL of ``path`` under ``mirror``; pool names hold ``%``, ``+`` and ``~`` as plain letters."""
    return f"{mirror.rstrip('/')}/{quote(path, safe='/+~:=,@')}"


class Downloads:
    """What is fetched from mirrors through ``http``, and rests in ``cache``. May be shared by threads."""

    def __init__(self, http: Http, cache: DirectoryStore) -> None:
        self._http = http
        self.cache = cache

    def fetch(self, urls: Sequence[str], listed: Listed, *, what: str, advance: Callable[[int], None]) -> None:
        """Have the bytes of ``listed`` in the cache, from the first of ``urls`` that has them.

        Raises:
            NotFoundError: none has.
            DigestMismatchError, OversizeError: the mirror sends other bytes than the signed index names.
            UnreachableError: it does not answer, or broke off again and again; another run resumes.
        """
        missing: NotFoundError | None = None
        for url in urls:
            try:
                self._fetch(url, listed, what, advance)
            except NotFoundError as error:
                missing = error
                continue
            return
        raise missing or NotFoundError(f"{what}: no address is known", "use another mirror")

    def _fetch(self, url: str, listed: Listed, what: str, advance: Callable[[int], None]) -> None:
        for number in range(1, _TRIES + 1):
            try:
                self.cache.resume(
                    listed.digest, listed.size, lambda offset: self._body(url, offset, what=what, advance=advance)
                )
            except (UnreachableError, TruncatedError):
                if number == _TRIES:
                    raise
            except DigestMismatchError:
                # What an earlier try left may be what is wrong; it is gone now. Twice the same is the mirror's fault.
                if number > 1:
                    raise
            else:
                return

    def _body(self, url: str, offset: int, *, what: str, advance: Callable[[int], None]) -> Iterator[bytes]:
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        with self._http.request("GET", url, headers=headers) as response:
            resumed = response.status == 206 and response.headers.get("content-range", "").startswith(  # noqa: PLR2004
                f"bytes {offset}-"
            )
            if response.status != 200 and not (offset and resumed):  # noqa: PLR2004 - HTTP's own numbers
                raise refusal(response, what)
            skip = 0 if resumed else offset
            for chunk in response.chunks():
                piece = chunk[skip:] if skip else chunk
                skip = max(0, skip - len(chunk))
                if piece:
                    advance(len(piece))
                    yield piece

    def newest(self, url: str, *, what: str) -> Answer:
        """The file at ``url``, NOT proven; where the mirror says that it did not change, the one that was accepted.

        Raises:
            NotFoundError, DeniedError, UnreachableError, OversizeError: no such answer.
        """
        seen = self._recall(url)
        headers: dict[str, str] = {}
        if seen and seen.etag:
            headers["If-None-Match"] = seen.etag
        elif seen and seen.modified:
            headers["If-Modified-Since"] = seen.modified
        for number in range(1, _TRIES + 1):
            try:
                with self._http.request("GET", url, headers=headers) as response:
                    if response.status == 304 and seen:  # noqa: PLR2004 - HTTP's own number
                        return Answer(url, self._again(seen), seen, seen.etag, seen.modified)
                    if response.status != 200:  # noqa: PLR2004 - HTTP's own number
                        raise refusal(response, what)
                    etag, modified = response.headers.get("etag", ""), response.headers.get("last-modified", "")
                    return Answer(url, response.read(RELEASE_LIMIT), seen, etag[:256], modified[:64])
            except UnreachableError:
                if number == _TRIES:
                    raise
        raise AssertionError("the last try returns or raises")  # pragma: no cover

    def accepted(self, answer: Answer, date: datetime) -> None:
        """Remember ``answer``, which was proven, as the newest from its address."""
        digest = Digest.of(answer.raw)
        if answer.seen and answer.seen.digest == digest and answer.seen.etag == answer.etag:
            return
        self.cache.put(digest, len(answer.raw), [answer.raw])
        seen = Seen(digest, len(answer.raw), date, answer.etag, answer.modified)
        write_file(self._note(answer.url), encode(seen))

    def before(self, answer: Answer) -> bytes | None:
        """What was accepted from the same address before ``answer``."""
        return self._again(answer.seen) if answer.seen else None

    def _recall(self, url: str) -> Seen | None:
        try:
            seen = decode(self._note(url).read_bytes(), Seen, what="the note of a release", limit=64 * 1024)
        except (OSError, DamagedError):
            return None
        return seen if self.cache.has(seen.digest) else None

    def _again(self, seen: Seen) -> bytes:
        return b"".join(verified(self.cache.chunks(seen.digest), seen.digest, seen.size, what="a kept release"))

    def _note(self, url: str) -> Path:
        return self.cache.root / "releases" / f"{hashlib.sha256(url.encode()).hexdigest()}.json"


def refusal(response: Response, what: str) -> SallyportError:
    """The error for an answer that is not the file."""
    host = urlsplit(response.url).netloc.rpartition("@")[2]
    match response.status:
        case 404 | 410 | 416:
            return NotFoundError(
                f"{host} has no {what}", "check the mirror's address and the suite's name, or use another mirror"
            )
        case 401 | 403 | 407:
            return DeniedError(
                f"{host} refuses to give {what}", "check the credentials of the mirror or proxy, or use another mirror"
            )
        case status:
            return UnreachableError(
                f"{host} answered {status} when asked for {what}", "run the same command again, or use another mirror"
            )
