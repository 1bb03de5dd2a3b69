"""Our own short-lived tokens, which the token endpoint gives for a login.

Not a JSON Web Token on purpose: a token of ours can never be taken for a provider's, nor the other way round. It is
good in this process only, and only while the login that it was given for is.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import secrets
from dataclasses import dataclass

from sallyport.access.model import Caller, Kind
from sallyport.errors import DeniedError

LIFETIME_S = 300
_PREFIX = "spt1."
_KINDS: dict[str, Kind] = {"user": "user", "robot": "robot", "token": "token"}


@dataclass(frozen=True, slots=True)
class Login:
    """A proven login."""

    caller: Caller
    until: float  # seconds since the epoch
    source: str  # htpasswd, robots, provider, or nobody
    proof: str = ""  # changes with the password or secret


class Tokens:
    """Seals logins and opens them again."""

    def __init__(self) -> None:
        """With a key that nobody else has and that ends with the process."""
        self._key = secrets.token_bytes(32)

    def seal(self, login: Login) -> str:
        """A token."""
        caller = login.caller
        claims = [caller.name, caller.kind, list(caller.groups), login.until, login.source, login.proof]
        body = base64.urlsafe_b64encode(json.dumps(claims, separators=(",", ":")).encode()).decode().rstrip("=")
        return f"{_PREFIX}{body}.{self._mark(body)}"

    def open(self, token: str, now: float) -> Login | None:
        """The login that it was given for; None is not a token of ours at all.

        Raises:
            DeniedError: it is one, and it was changed, is another process's, or its time is over.
        """
        if not token.startswith(_PREFIX):
            return None
        body, _, mark = token.removeprefix(_PREFIX).partition(".")
        if not hmac.compare_digest(mark.encode(), self._mark(body).encode()):
            raise DeniedError("the token is not one of this registry's", "log in anew")
        try:
            name, kind, groups, until, source, proof = json.loads(
                base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
            )
        except (ValueError, binascii.Error) as error:
            raise DeniedError("the token is damaged", "log in anew") from error
        if now >= until:
            raise DeniedError("the token's time is over", "log in anew")
        return Login(Caller(name, _KINDS[kind], tuple(groups)), until, source, proof)

    def _mark(self, body: str) -> str:
        return base64.urlsafe_b64encode(hmac.digest(self._key, body.encode(), "sha256")).decode().rstrip("=")
