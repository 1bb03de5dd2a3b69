"""What a registry's 401 asks for, and the answer. Sources: RFC 9110, 11.6.1; RFC 6750, 3;
the distribution project's token authentication, which all registries share.
"""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlencode, urlsplit

from sallyport.engine import Http
from sallyport.errors import DamagedError, DeniedError, MalformedError, UnreachableError
from sallyport.oci import parse_json
from sallyport.registry.credentials import Credentials, Login

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TOKEN68 = re.compile(r"[A-Za-z0-9._~+/-]+=*(?=[\s,]|\Z)")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_SPACE = re.compile(r"[\s,]*")
_HEADER_LIMIT = 8192
_TOKEN_LIMIT = 1024 * 1024
_SECRET = re.compile(r"[\x21-\x7e]{1,65536}\Z")


@dataclass(frozen=True, slots=True)
class Challenge:
    """One scheme that the other side accepts."""

    scheme: str  # lower case
    parameters: Mapping[str, str]


def parse_challenges(header: str) -> tuple[Challenge, ...]:
    """Read a WWW-Authenticate header; what does not fit the grammar ends the reading."""
    found: list[tuple[str, dict[str, str]]] = []
    header = header[:_HEADER_LIMIT]
    position = 0
    while position < len(header):
        space = _SPACE.match(header, position)
        position = space.end() if space else position
        word = _TOKEN.match(header, position)
        if word is None:
            break
        after = _after_blank(header, word.end())
        if header[after : after + 1] == "=" and found:
            value, position = _value(header, _after_blank(header, after + 1))
            if value is None:
                break
            found[-1][1].setdefault(word[0].lower(), value)
        else:
            found.append((word[0].lower(), {}))
            opaque = _TOKEN68.match(header, after)
            # "Negotiate abc==": an opaque value of a scheme that is not spoken here.
            position = opaque.end() if opaque and opaque[0].endswith("=") else after
    return tuple(Challenge(scheme, parameters) for scheme, parameters in found)


def _after_blank(text: str, position: int) -> int:
    while position < len(text) and text[position] in " \t":
        position += 1
    return position


def _value(header: str, position: int) -> tuple[str | None, int]:
    if quoted := _QUOTED.match(header, position):
        return re.sub(r"\\(.)", r"\1", quoted[1]), quoted.end()
    if plain := _TOKEN.match(header, position):
        return plain[0], plain.end()
    return None, position


class Authorizer:
    """Answers the challenges of one registry and remembers the answers, by scope."""

    def __init__(self, http: Http, registry: str, credentials: Credentials | None, *, plain_http: bool) -> None:
        self._http = http
        self._registry = registry
        self._credentials = credentials
        self._plain_http = plain_http
        self._basic = ""
        self._tokens: dict[str, tuple[str, float]] = {}

    def header(self, scope: str) -> str:
        """The Authorization that is known to be wanted; empty where none is."""
        token, until = self._tokens.get(scope, ("", 0.0))
        if token and time.monotonic() < until:
            return f"Bearer {token}"
        return self._basic

    def challenged(self, header: str, scope: str) -> bool:
        """Get ready for another try; false where nothing new can be said.

        Raises:
            DeniedError: the registry sends us to a place where a secret must not go, or the token
                server refuses us.
            UnreachableError: the token server does not answer.
        """
        challenges = parse_challenges(header)
        login = self._credentials.login(self._registry) if self._credentials else None
        for challenge in challenges:
            if challenge.scheme == "bearer":
                before = self.header(scope)
                self._tokens[scope] = self._fetch(challenge.parameters, scope, login)
                return self.header(scope) != before
        if login is None or not login.username or not any(item.scheme == "basic" for item in challenges):
            return False
        value = f"Basic {base64.b64encode(f'{login.username}:{login.password}'.encode()).decode()}"
        known, self._basic = self._basic, value
        return known != value

    def _fetch(self, parameters: Mapping[str, str], scope: str, login: Login | None) -> tuple[str, float]:
        realm = parameters.get("realm", "")
        parts = urlsplit(realm)
        if parts.scheme not in (("http", "https") if self._plain_http else ("https",)) or not parts.hostname:
            raise DeniedError(
                f"{self._registry} sends us to a token server that is not https",
                "a secret would travel in the open: let the registry's operator correct the realm",
            )
        scopes = list(dict.fromkeys(filter(None, (*scope.split(" "), *parameters.get("scope", "").split(" ")))))
        fields = [("service", parameters["service"])] if "service" in parameters else []
        if login is not None and login.identity_token:
            fields += [("grant_type", "refresh_token"), ("refresh_token", login.identity_token)]
            fields += [("client_id", "sallyport"), ("scope", " ".join(scopes))]
            request = self._http.request(
                "POST",
                realm,
                headers={"Content-Type": "application/x-www-form-urlencoded"},
                body=urlencode(fields).encode(),
                redirects=False,
                idempotent=True,
            )
        else:
            fields += [("scope", item) for item in scopes]
            headers: dict[str, str] = {}
            if login is not None:
                secret = base64.b64encode(f"{login.username}:{login.password}".encode()).decode()
                headers["Authorization"] = f"Basic {secret}"
            query = "&".join(filter(None, (parts.query, urlencode(fields))))
            request = self._http.request("GET", parts._replace(query=query, fragment="").geturl(), headers=headers)
        with request as response:
            if response.status in (400, 401, 403):
                raise DeniedError(
                    f"the token server of {self._registry} refuses {'this login' if login else 'strangers'}",
                    "log in at that registry with your container tool, or correct the credentials",
                )
            if response.status != HTTPStatus.OK:
                raise UnreachableError(
                    f"the token server of {self._registry} answered {response.status}", "wait, then run it again"
                )
            raw = response.read(_TOKEN_LIMIT)
        return self._read(raw)

    def _read(self, raw: bytes) -> tuple[str, float]:
        what = f"the token of {self._registry}"
        try:
            value = parse_json(raw, what=what, limit=_TOKEN_LIMIT)
        except DamagedError as error:
            # The document may hold a token; its text stays out of the message.
            raise MalformedError(f"{what} is not JSON", "report it to whoever runs that registry") from error
        token = (value.get("token") or value.get("access_token")) if isinstance(value, dict) else None
        if not isinstance(token, str) or not _SECRET.match(token):
            raise MalformedError(f"{what} has no usable token", "report it to whoever runs that registry")
        lasts = value.get("expires_in") if isinstance(value, dict) else None
        seconds = float(lasts) if isinstance(lasts, int | float) and 0 < lasts < 1e6 else 60.0  # noqa: PLR2004
        return token, time.monotonic() + max(seconds - 10.0, seconds / 2)
