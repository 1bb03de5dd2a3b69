"""What a registry's refusal means, and where it sends us on."""

from __future__ import annotations

import re
from http import HTTPStatus
from urllib.parse import urljoin

from sallyport.engine import Response
from sallyport.errors import (
    ConflictError,
    DamagedError,
    DeniedError,
    MalformedError,
    NotFoundError,
    SallyportError,
    UnknownMediaTypeError,
    UnreachableError,
)
from sallyport.oci import parse_json

_IMMUTABLE = re.compile(r"immutab|already exist|overwrit|not allow updating|redeploy|cannot be updated", re.IGNORECASE)
_OTHER = re.compile(r"_UNKNOWN|_INVALID|UNSUPPORTED|DENIED|UNAUTHORIZED")
_BODY_LIMIT = 64 * 1024  # bytes of a refusal that are read


def failure(response: Response, what: str) -> SallyportError:
    """The error that a status means; the registry's own words are shown short and printable."""
    status = response.status
    said = _said(response)
    if status in (401, 403):
        return DeniedError(
            f"{what}: the registry will not let us ({status}{said})",
            "log in at that registry with your container tool, or ask for the right",
        )
    if status == HTTPStatus.NOT_FOUND:
        return NotFoundError(f"{what} is not there{said}", "check the name; some registries say so to strangers too")
    if status in (409, 412):
        return ConflictError(
            f"{what}: the registry will not change it ({status}{said})", "the tag is immutable there: use a new one"
        )
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return UnreachableError(f"{what}: the registry asks us to slow down{said}", "wait, then run it again")
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return UnreachableError(f"{what}: the registry failed ({status}{said})", "wait, then run it again")
    return DeniedError(f"{what}: the registry refused ({status}{said})", "see what it says, or ask who runs it")


def refuses_to_overwrite(status: int, said: str) -> bool:
    """Whether a refusal to write a tag may mean that it is immutable. ``said``: the registry's own words.

    Harbor answers 412, ECR 400 ImageTagAlreadyExists, Nexus 400 without a code, others 403, 405 or 409.
    """
    if status in (409, 412):
        return True
    if status not in (400, 403, 405, 422):
        return False
    return _IMMUTABLE.search(said) is not None or (status == HTTPStatus.BAD_REQUEST and not _OTHER.search(said))


def _said(response: Response) -> str:
    try:
        value = parse_json(response.read(_BODY_LIMIT), what="the refusal", limit=_BODY_LIMIT)
    except (DamagedError, UnreachableError):
        return ""
    errors = value.get("errors") if isinstance(value, dict) else None
    first = errors[0] if isinstance(errors, list) and errors else None
    if not isinstance(first, dict):
        return ""
    words = [str(first.get(key, "")) for key in ("code", "message")]
    text = " ".join("".join(sign for sign in word[:120] if sign.isprintable()) for word in words if word)
    return f": {text}" if text else ""


def location(response: Response) -> str:
    """The absolute address that an answer's Location names.

    Raises:
        MalformedError: it names none.
    """
    target = response.headers.get("location", "")
    try:
        url = urljoin(response.url, target)
    except ValueError:
        url = ""
    if not target or not url.startswith(("http://", "https://")):
        raise MalformedError("a registry began an upload and did not say where", "report it to whoever runs it")
    return url


def next_page(link: str) -> str:
    """The target of a Link header with rel="next". Source: RFC 8288, 3."""
    for part in link[:8192].split(","):
        target, _, parameters = part.partition(";")
        target = target.strip()
        words = {word.strip().replace('"', "").replace(" ", "").lower() for word in parameters.split(";")}
        if target.startswith("<") and target.endswith(">") and "rel=next" in words:
            return target[1:-1]
    return ""


def unknown_kind(what: str, kind: str) -> UnknownMediaTypeError:
    """The error for a manifest of a family that nothing here understands, schema 1 above all."""
    return UnknownMediaTypeError(
        f"{what} is {kind[:80]!r}, which is no image manifest or index",
        "only OCI and Docker schema 2 are understood: ask the publisher to push it with a current tool",
    )
