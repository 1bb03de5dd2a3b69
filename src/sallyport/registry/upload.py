"""Sends one blob, and goes on where a broken line left it. Source: OCI distribution-spec 1.1, "Pushing blobs"."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Protocol
from urllib.parse import quote

from sallyport.engine import Response
from sallyport.errors import UnreachableError
from sallyport.oci import Digest
from sallyport.registry.answers import failure, location

_RANGE = re.compile(r"(?:bytes=)?0-([0-9]{1,18})\Z")
_TRIES = 3


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


@dataclass(frozen=True, slots=True)
class Upload:
    """What goes where."""

    url: str  # of the uploads, then of this one
    scope: str
    what: str
    digest: Digest
    size: int
    chunks_from: Callable[[], Iterable[bytes]]


def send_blob(ask: Ask, upload: Upload) -> None:
    """Send it whole; where the line breaks, ask how much arrived and send the rest, a few times.

    Raises:
        UnreachableError, DeniedError, NotFoundError: as :func:`failure` reads the answer.
    """
    for number in range(1, _TRIES + 1):
        try:
            session = _begin(ask, upload)
            try:
                _finish(ask, session, 0)
            except UnreachableError:
                session, there = _status(ask, session)
                if not 0 < there <= upload.size:
                    raise
                _finish(ask, session, there)
            return
        except UnreachableError:
            if number == _TRIES:
                raise


def _begin(ask: Ask, upload: Upload) -> Upload:
    with ask("POST", upload.url, scope=upload.scope, body=b"", idempotent=True) as response:
        if response.status != HTTPStatus.ACCEPTED:
            raise failure(response, upload.what)
        return replace(upload, url=location(response))


def _status(ask: Ask, session: Upload) -> tuple[Upload, int]:
    with ask("GET", session.url, scope=session.scope) as response:
        match = _RANGE.match(response.headers.get("range", ""))
        if response.status != HTTPStatus.NO_CONTENT or match is None:
            return session, 0
        where = location(response) if response.headers.get("location") else session.url
        # "0-0" is what registries say both for nothing and for one byte; nothing is the safe reading.
        return replace(session, url=where), int(match[1]) + 1 if int(match[1]) else 0


def _finish(ask: Ask, session: Upload, there: int) -> None:
    left = session.size - there
    kind = {"Content-Type": "application/octet-stream"}
    if there and left:
        with ask(
            "PATCH",
            session.url,
            scope=session.scope,
            headers={**kind, "Content-Range": f"{there}-{session.size - 1}"},
            body=lambda: _behind(session.chunks_from(), there),
            size=left,
            idempotent=False,
        ) as response:
            if response.status not in (202, 204):
                raise failure(response, session.what)
            session = replace(session, url=location(response))
    mark = "&" if "?" in session.url else "?"
    whole = there == 0
    with ask(
        "PUT",
        f"{session.url}{mark}digest={quote(str(session.digest), safe='')}",
        scope=session.scope,
        headers=kind,
        body=session.chunks_from if whole else b"",
        size=session.size if whole else None,
        # The other side may have kept a part: it is asked how much, never sent the whole twice.
        idempotent=False,
    ) as response:
        if response.status not in (201, 204):
            raise failure(response, session.what)


def _behind(chunks: Iterable[bytes], offset: int) -> Iterator[bytes]:
    for chunk in chunks:
        if offset >= len(chunk):
            offset -= len(chunk)
        else:
            yield chunk[offset:] if offset else chunk
            offset = 0
