"""The management interface of a registry product: JSON over HTTP, bounded, with the login kept to its host."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from urllib.parse import quote, urlsplit

from sallyport.engine import Http
from sallyport.errors import ConfigError, DamagedError, DeniedError, SallyportError, UnreachableError
from sallyport.oci import JSON, parse_json, render_json
from sallyport.registry import Login, is_loopback

_LIMIT = 4 * 1024 * 1024  # bytes of an answer
NO_HEADERS: Mapping[str, str] = {}


class Api:
    """One management interface."""

    def __init__(self, http: Http, base: str, *, token: str = "", login: Login | None = None) -> None:
        """``token`` goes as a bearer, else ``login`` as Basic.

        Raises:
            ConfigError: the address is no https, so that a secret would travel in the open.
        """
        parts = urlsplit(base)
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.username:
            raise ConfigError(f"{base[:80]!r} is no address of a management interface", "write api: https://host")
        if parts.scheme == "http" and not is_loopback(parts.netloc):
            raise ConfigError(f"{base[:80]} is not https", "a login would travel in the open: write api: https://…")
        self.place = parts.netloc
        self._http = http
        self._base = base.rstrip("/")
        self._headers = {"Accept": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        elif login is not None and login.username:
            secret = base64.b64encode(f"{login.username}:{login.password}".encode()).decode()
            self._headers["Authorization"] = f"Basic {secret}"

    @property
    def knows_us(self) -> bool:
        """Whether there is a login to send."""
        return "Authorization" in self._headers

    def ask(
        self, method: str, path: str, body: JSON = None, *, headers: Mapping[str, str] = NO_HEADERS
    ) -> tuple[int, JSON]:
        """The status and the document of an answer (None where it is no JSON); ``path`` begins with a slash.

        Raises:
            DeniedError: 401 or 403.
            UnreachableError: no answer, or 429 or 5xx.
        """
        sent = {**self._headers, **headers}
        raw = None
        if body is not None:
            raw = render_json(body)
            sent["Content-Type"] = "application/json"
        with self._http.request(method, f"{self._base}{path}", headers=sent, body=raw, redirects=False) as response:
            status = response.status
            text = response.read(_LIMIT)
        value: JSON = None
        if text.strip():
            try:
                value = parse_json(text, what=f"the answer of {self.place}", limit=_LIMIT)
            except DamagedError:
                value = None
        if status in (401, 403):
            raise DeniedError(
                f"{self.place} will not let us {method} {path.partition('?')[0]} ({status}{said(value)})",
                "log in there as somebody who may, or set create: false and make it by hand",
            )
        if status == 429 or status >= 500:  # noqa: PLR2004
            raise UnreachableError(f"{self.place} failed ({status}{said(value)})", "wait, then run it again")
        return status, value

    def refusal(self, what: str, status: int, value: JSON) -> SallyportError:
        """The error for an answer that is none of those that are documented."""
        return DeniedError(
            f"{self.place} did not make {what} ({status}{said(value)})", "see what it says, or make it by hand"
        )


def said(value: JSON) -> str:
    """What a document says about an error, short and printable."""
    words = ""
    if isinstance(value, dict):
        errors = value.get("errors")
        first = errors[0] if isinstance(errors, list) and errors else value
        if isinstance(first, dict):
            names = ("message", "error_message", "detail", "error", "title")
            words = next((str(first[name]) for name in names if isinstance(first.get(name), str)), "")
    text = "".join(sign for sign in words[:200] if sign.isprintable())
    return f": {text}" if text else ""


def part(text: str) -> str:
    """One part of a path."""
    return quote(text, safe="")
