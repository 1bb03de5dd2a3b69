"""What a request says, read strictly."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from sallyport.errors import SallyportError
from sallyport.oci import Digest, is_repository
from sallyport.registry.replies import RefusalError

CALLER = "sallyport.caller"
"""Where a request's scope says who sent it."""
Handler = Callable[[Request, str, str], Awaitable[Response]]
"""Takes the request, the repository and the last word of the path."""
_PATHS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(pattern, re.DOTALL))
    for kind, pattern in (
        ("base", r"()()"),
        ("catalog", r"()()_catalog"),
        ("tags", r"(.+)/tags/list()"),
        ("referrers", r"(.+)/referrers/([^/]+)"),
        ("manifest", r"(.+)/manifests/([^/]+)"),
        ("uploads", r"(.+)/blobs/uploads/?()"),
        ("upload", r"(.+)/blobs/uploads/([^/]+)"),
        ("blob", r"(.+)/blobs/([^/]+)"),
    )
)
_DRAIN = 16 * 1024 * 1024  # bytes of a refused body that are read, so that the refusal is heard


def parse_path(path: str) -> tuple[str, str, str]:
    """Which endpoint, which repository, and the last word."""
    rest = path.removeprefix("/v2").removeprefix("/")
    for kind, pattern in _PATHS:
        if match := pattern.fullmatch(rest):
            repository, name = match.groups()
            if repository and not is_repository(repository):
                raise RefusalError(HTTPStatus.BAD_REQUEST, "NAME_INVALID", "invalid repository name")
            return kind, repository, name
    raise RefusalError(HTTPStatus.NOT_FOUND, "UNSUPPORTED", "there is no such endpoint")


def parse_digest(text: str) -> Digest:
    """A digest of a path or query."""
    try:
        return Digest.parse(text)
    except SallyportError as error:
        raise RefusalError(HTTPStatus.BAD_REQUEST, "DIGEST_INVALID", "that is not a digest") from error


async def read_body(request: Request, limit: int) -> bytes:
    """The whole body, or a refusal."""
    parts: list[bytes] = []
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size <= limit:
            parts.append(piece)
        elif size > limit + _DRAIN:
            break
    if size > limit:
        raise RefusalError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "MANIFEST_INVALID", f"over {limit} bytes")
    return b"".join(parts)
