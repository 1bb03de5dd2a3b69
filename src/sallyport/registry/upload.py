"""Sends one blob, and goes on where a broken line or a killed run left it.

Source: OCI distribution-spec 1.1, "Pushing blobs".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote

from sallyport.engine import Response
from sallyport.errors import SallyportError, UnreachableError
from sallyport.oci import Digest
from sallyport.registry.answers import failure, location

_RANGE = re.compile(r"(?:bytes=)?0-([0-9]{1,18})\Z")
_TRIES = 3
CHUNK = 16 * 1024 * 1024  # bytes sent at a time, where a killed run is to go on behind the last one
_LARGEST = 128 * 1024 * 1024  # a registry that wants larger chunks gets the blob whole


class Ask(Protocol):
    """A request with whatever authorization the registry wants."""

    def __call__(
        self,
        method: str,
        url: str,
        *,
        scope: str,
        headers: dict[str, str] = ...,
        body: bytes | Callable[[], Iterable[bytes]] | None = ...,
        size: int | None = ...,
        idempotent: bool | None = ...,
    ) -> AbstractContextManager[Response]: ...


class Sessions(Protocol):
    """Remembers, longer than a run, where uploads were begun. Addresses of uploads are as secret as logins."""

    def begun(self, key: str) -> str:
        """The address of the upload; empty where none is known."""
        ...

    def remember(self, key: str, url: str) -> None:
        """Keep it."""
        ...

    def forget(self, key: str) -> None:
        """It is done, or lost."""
        ...


class NoSessions:
    """Nothing outlives a run: blobs are sent whole."""

    def begun(self, key: str) -> str:  # noqa: ARG002
        return ""

    def remember(self, key: str, url: str) -> None:
        """Nothing is kept."""

    def forget(self, key: str) -> None:
        """Nothing was kept."""


_NONE = NoSessions()


@dataclass(frozen=True, slots=True)
class Upload:
    """What goes where."""

    url: str  # of the uploads, then of this one
    scope: str
    what: str
    digest: Digest
    size: int
    chunks_from: Callable[[], Iterable[bytes]]
    sessions: Sessions = field(default=_NONE)
    chunk: int = CHUNK

    @property
    def in_chunks(self) -> bool:
        return not isinstance(self.sessions, NoSessions) and self.size > CHUNK and self.chunk <= _LARGEST


class _NoChunksError(UnreachableError):
    """The registry takes a blob only whole."""


def send_blob(ask: Ask, upload: Upload) -> int:
    """Send it; where the line breaks, ask how much arrived and send the rest, a few times.

    Returns the bytes that were sent by this call: fewer than the blob has where an earlier run got so far.

    Raises:
        UnreachableError, DeniedError, NotFoundError: as :func:`failure` reads the answer.
    """
    whole = not upload.in_chunks
    for number in range(1, _TRIES + 1):
        session, there = (None, 0) if whole else _remembered(ask, upload)
        sent = upload.size - there
        try:
            session = session or _begin(ask, upload)
            try:
                _send(ask, session, there, whole=whole)
            except _NoChunksError:
                raise
            except UnreachableError:
                session, there = _status(ask, session)
                if not 0 < there <= upload.size:
                    raise
                _send(ask, session, there, whole=whole)
            upload.sessions.forget(upload.what)
            return sent
        except UnreachableError as error:
            # What is known of it is asked for again by the next try, and by the next run.
            if isinstance(error, _NoChunksError):
                whole = True
                upload.sessions.forget(upload.what)
            if number == _TRIES:
                raise
    raise AssertionError("there is at least one try")  # pragma: no cover


def _remembered(ask: Ask, upload: Upload) -> tuple[Upload | None, int]:
    url = upload.sessions.begun(upload.what)
    if not url:
        return None, 0
    try:
        session, there = _status(ask, replace(upload, url=url, chunk=CHUNK))
    except SallyportError:
        there = 0  # most registries forget uploads after some time: then it begins anew
    if 0 < there <= upload.size:
        return session, there
    upload.sessions.forget(upload.what)
    return None, 0


def _begin(ask: Ask, upload: Upload) -> Upload:
    with ask("POST", upload.url, scope=upload.scope, body=b"", idempotent=True) as response:
        if response.status != HTTPStatus.ACCEPTED:
            raise failure(response, upload.what)
        least = response.headers.get("oci-chunk-min-length", "")
        chunk = max(CHUNK, int(least[:18])) if least.isdecimal() else CHUNK
        return replace(upload, url=location(response), chunk=chunk)


def _status(ask: Ask, session: Upload) -> tuple[Upload, int]:
    with ask("GET", session.url, scope=session.scope) as response:
        match = _RANGE.match(response.headers.get("range", ""))
        if response.status != HTTPStatus.NO_CONTENT or match is None:
            return session, 0
        where = location(response) if response.headers.get("location") else session.url
        # "0-0" is what registries say both for nothing and for one byte; nothing is the safe reading.
        return replace(session, url=where), int(match[1]) + 1 if int(match[1]) else 0


def _send(ask: Ask, session: Upload, there: int, *, whole: bool) -> None:
    left = session.size - there
    if not whole and session.in_chunks:
        session = _in_pieces(ask, session, there)
        there = session.size
    elif there and left:
        session = _rest(ask, session, there, lambda: _behind(session.chunks_from(), there), left)
        there = session.size
    mark = "&" if "?" in session.url else "?"
    with ask(
        "PUT",
        f"{session.url}{mark}digest={quote(str(session.digest), safe='')}",
        scope=session.scope,
        headers={"Content-Type": "application/octet-stream"},
        body=b"" if there else session.chunks_from,
        size=None if there else session.size,
        # The other side may have kept a part: it is asked how much, never sent the whole twice.
        idempotent=False,
    ) as response:
        if response.status not in (201, 204):
            raise failure(response, session.what)


def _in_pieces(ask: Ask, session: Upload, there: int) -> Upload:
    first = there
    for piece in _pieces(_behind(session.chunks_from(), there), session.chunk):
        try:
            session = _rest(ask, session, there, piece, len(piece))
        except UnreachableError:
            raise
        except SallyportError as error:
            if there == first:
                raise _NoChunksError(error.message, error.mend) from error
            raise
        there += len(piece)
        session.sessions.remember(session.what, session.url)
    return session


def _rest(ask: Ask, session: Upload, there: int, body: bytes | Callable[[], Iterable[bytes]], size: int) -> Upload:
    with ask(
        "PATCH",
        session.url,
        scope=session.scope,
        headers={"Content-Type": "application/octet-stream", "Content-Range": f"{there}-{there + size - 1}"},
        body=body,
        size=size,
        idempotent=False,
    ) as response:
        if response.status not in (202, 204):
            raise failure(response, session.what)
        return replace(session, url=location(response))


def _pieces(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    held = bytearray()
    for chunk in chunks:
        held += chunk
        while len(held) >= size:
            yield bytes(held[:size])
            del held[:size]
    if held:
        yield bytes(held)


def _behind(chunks: Iterable[bytes], offset: int) -> Iterator[bytes]:
    for chunk in chunks:
        if offset >= len(chunk):
            offset -= len(chunk)
        else:
            yield chunk[offset:] if offset else chunk
            offset = 0


if TYPE_CHECKING:
    _fits: type[Sessions] = NoSessions
