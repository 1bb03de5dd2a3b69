"""What the server says: refusals in the form that the specification wants, and blobs.

Source: OCI distribution-spec 1.1, "Error Codes"; RFC 9110, 14 (ranges).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus

from anyio import to_thread
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sallyport.oci import JSON, Digest, render_json
from sallyport.store import BlobStore

_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})\Z")
# A browser that opens an answer must see text, whatever a client has managed to get into it.
_UNSEEN = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&"}
NO_HEADERS: Mapping[str, str] = {}


class RefusalError(Exception):
    """Ends a request with an error of the specification; never leaves the server."""

    def __init__(
        self,
        status: HTTPStatus,
        code: str,
        message: str,
        *,
        details: tuple[Mapping[str, JSON], ...] = (),
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.details, self.headers = details, headers


def json_reply(
    value: JSON,
    status: int = HTTPStatus.OK,
    *,
    headers: Mapping[str, str] = NO_HEADERS,
    media_type: str = "application/json",
) -> Response:
    """``value`` as an answer."""
    body = render_json(value).decode().translate(_UNSEEN).encode()
    return Response(body, status, {**headers, "X-Content-Type-Options": "nosniff"}, media_type)


def refusal(error: RefusalError) -> Response:
    """The answer that ``error`` means: one entry for each detail."""
    entries: list[JSON] = [
        {"code": error.code, "message": error.message, "detail": dict(detail)} for detail in error.details or ({},)
    ]
    return json_reply({"errors": entries}, error.status, headers=error.headers)


class BlobReply(Response):
    """A blob, whole by the server's own way of sending files, or a part of it in pieces."""

    def __init__(self, blobs: BlobStore, digest: Digest, byte_range: str = "") -> None:
        """``byte_range`` is the request's Range header; one that is not understood counts as none."""
        super().__init__(None, HTTPStatus.OK, media_type="application/octet-stream")
        size = blobs.size(digest)
        self._blobs, self._digest, self._path = blobs, digest, blobs.path(digest)
        self._part = (0, size)
        match = _RANGE.match(byte_range.strip())
        first, last = match.groups() if match else ("", "")
        if first or last:
            start = int(first) if first else max(0, size - int(last))
            end = min(size, int(last) + 1) if first and last else size
            if first and last and int(last) < int(first):
                pass  # RFC 9110, 14.1.1: invalid, and so ignored
            elif start >= size or start >= end:
                self.status_code = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
                self.headers["Content-Range"] = f"bytes */{size}"
                self._part = (0, 0)
            else:
                self.status_code = HTTPStatus.PARTIAL_CONTENT
                self.headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
                self._part = (start, end)
        self._whole = self.status_code == HTTPStatus.OK
        self.headers["Content-Length"] = str(self._part[1] - self._part[0])
        self.headers["Docker-Content-Digest"] = str(digest)
        self.headers["ETag"] = f'"{digest}"'
        self.headers["Accept-Ranges"] = "bytes"
        self.headers["X-Content-Type-Options"] = "nosniff"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        start, end = self._part
        if scope["method"] == "HEAD" or start == end:
            await send({"type": "http.response.body", "body": b""})
        elif self._whole and self._path is not None and "http.response.pathsend" in scope.get("extensions", {}):
            await send({"type": "http.response.pathsend", "path": str(self._path)})
        else:
            chunks = self._blobs.chunks(self._digest, offset=start)
            while start < end and (chunk := await to_thread.run_sync(next, chunks, b"")):
                part = chunk[: end - start]
                start += len(part)
                await send({"type": "http.response.body", "body": part, "more_body": start < end})
