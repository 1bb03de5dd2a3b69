"""The guard of a registry: logins, rules and quotas, put together."""

from __future__ import annotations

import base64
import binascii
import hmac
import logging
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from threading import Lock
from typing import TYPE_CHECKING

from sallyport.access.htpasswd import Htpasswd
from sallyport.access.interface import Guard
from sallyport.access.model import ANONYMOUS, ASKED, Action, Caller, Decision, Grant, Quota
from sallyport.access.provider import Provider
from sallyport.access.robots import LOGIN_PREFIX, Robots
from sallyport.access.rules import EVERYTHING, decide, room, sees_all
from sallyport.access.throttle import Throttle
from sallyport.access.tokens import LIFETIME_S, Login, Tokens
from sallyport.errors import DeniedError

log = logging.getLogger("sallyport.access")

SERVICE = "sallyport"
TOKEN_PATH = "/token"  # noqa: S105 - a path
PROVIDER_LOGIN = "oidc"
"""The user name with which a provider's token is a password, for clients that know only passwords."""
_REMEMBERED = 4096
_HEADER = 32 * 1024
_ORIGIN = re.compile(r"https?://[A-Za-z0-9._~\[\]:-]{1,255}\Z")
_SCOPES = {"pull": "pull", "push": "pull,push", "delete": "delete"}


class RuledGuard:
    """A :class:`Guard` over files."""

    def __init__(
        self,
        *,
        htpasswd: Htpasswd | None = None,
        robots: Robots | None = None,
        providers: Sequence[Provider] = (),
        grants: Sequence[Grant] = (EVERYTHING,),
        quotas: Sequence[Quota] = (),
        url: str = "",
        now: Callable[[], float] = time.time,
    ) -> None:
        """``url`` is the registry's address as clients use it; else it is as their requests name it."""
        self._htpasswd, self._robots, self._providers = htpasswd, robots, tuple(providers)
        self._grants, self._quotas = tuple(grants), tuple(quotas)
        self._url, self._now = url.rstrip("/"), now
        self.logins = bool(htpasswd or robots or providers)
        self._tokens = Tokens()
        self._throttle = Throttle()
        self._files = [part.file for part in (htpasswd, robots, *providers) if part is not None]
        # By a keyed hash of the header, so that memory holds no password of anybody.
        self._salt = secrets.token_bytes(32)
        self._lock = Lock()
        self._known: OrderedDict[bytes, Login] = OrderedDict()

    # --- who ----------------------------------------------------------------------------------

    def remembered(self, authorization: str) -> Caller | None:
        # Where nobody can log in, a login that a client sends all the same is not looked at.
        if not authorization or not self.logins:
            return ANONYMOUS
        login = self._recall(authorization)
        return login.caller if login else None

    def caller(self, authorization: str, address: str = "") -> Caller:
        if not authorization or not self.logins:
            return ANONYMOUS
        return self.login(authorization, address).caller

    def login(self, authorization: str, address: str = "") -> Login:
        """Like ``caller``, with what the login rests on.

        Raises:
            DeniedError: it is wrong, or too many were wrong before it.
        """
        known = self._recall(authorization)
        if known is not None:
            return known
        scheme, _, value = authorization.partition(" ")
        if len(authorization) > _HEADER:
            raise DeniedError("the login is too long", "log in anew")
        if scheme.lower() == "basic":
            name, password = _basic(value)
            if not name and not password:
                return Login(ANONYMOUS, self._now(), "nobody")
        elif scheme.lower() == "bearer":
            name, password = "", value.strip()
        else:
            raise DeniedError("this way to log in is not understood", "use a password or a bearer token")
        # A token cannot be guessed, and one whose time is over is no offence: only passwords are counted.
        if name and self._throttle.closed(address, name, self._now()):
            raise DeniedError("too many wrong logins", "wait a minute, then log in with the right password")
        login = self._prove(name, password)
        if login is None:
            self._throttle.wrong(address, name, self._now())
            log.warning("login_refused", extra={"user": name, "address": address})
            raise DeniedError("the name or the password is wrong", "log in with the right one")
        self._remember(authorization, login)
        return login

    def _prove(self, name: str, password: str) -> Login | None:
        now = self._now()
        if not name or (name == PROVIDER_LOGIN and self._providers):
            return self._bearer(password, now, ours=not name)
        if name.startswith(LOGIN_PREFIX):
            robot, at = name.removeprefix(LOGIN_PREFIX), datetime.fromtimestamp(now, UTC)
            if self._robots is not None and self._robots.verify(robot, password, at):
                return Login(Caller(robot, "robot"), now + LIFETIME_S, "robots", self._robots.proof(robot, at))
        elif self._htpasswd is not None:
            # First what the password rests on: if it changes meanwhile, the login is not remembered as new.
            proof = self._htpasswd.proof(name)
            if self._htpasswd.verify(name, password):
                return Login(Caller(name, "user"), now + LIFETIME_S, "htpasswd", proof)
        return None

    def _bearer(self, token: str, now: float, *, ours: bool) -> Login:
        own = self._tokens.open(token, now) if ours else None
        if own is not None:
            if own.proof != self._proof(own, now):
                raise DeniedError("the login of this token has ended", "log in anew")
            return own
        problem = DeniedError("the token is not understood", "log in anew")
        for provider in self._providers:
            try:
                caller, until = provider.verify(token, now)
            except DeniedError as error:
                problem = error
            else:
                return Login(caller, min(until, now + LIFETIME_S), "provider")
        raise problem

    def _proof(self, login: Login, now: float) -> str:
        if login.source == "htpasswd" and self._htpasswd is not None:
            return self._htpasswd.proof(login.caller.name)
        if login.source == "robots" and self._robots is not None:
            return self._robots.proof(login.caller.name, datetime.fromtimestamp(now, UTC))
        return ""

    def _recall(self, authorization: str) -> Login | None:
        with self._lock:
            login = self._known.get(self._key(authorization))
        if login is None:
            return None
        now = self._now()
        # What a login rests on may have changed since, and then it has ended.
        if now >= login.until or (login.source != "nobody" and self._ended(login, now)):
            return None
        return login

    def _ended(self, login: Login, now: float) -> bool:
        if login.source == "provider":
            return any(provider.file.changed() for provider in self._providers)
        return not login.proof or self._proof(login, now) != login.proof

    def _remember(self, authorization: str, login: Login) -> None:
        with self._lock:
            self._known[self._key(authorization)] = login
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)

    def _key(self, authorization: str) -> bytes:
        return hmac.digest(self._salt, authorization.encode("utf-8", "surrogateescape"), "sha256")

    # --- what ---------------------------------------------------------------------------------

    def may(self, caller: Caller, repository: str, action: Action) -> Decision:
        robot = None
        if caller.kind == "robot" and self._robots is not None:
            robot = self._robots.find(caller.name, datetime.fromtimestamp(self._now(), UTC))
        return decide(self._grants, caller, robot, repository, action, logins=self.logins)

    def sees_all(self, caller: Caller) -> bool:
        """Whether the caller may pull everything, and so may see what there is."""
        return sees_all(self._grants, caller)

    def room(self, repository: str) -> int | None:
        return room(self._quotas, repository)

    # --- how ----------------------------------------------------------------------------------

    def challenge(self, host: str, repository: str, action: Action) -> str:
        origin = self._url or host
        if not _ORIGIN.match(origin):
            return 'Basic realm="sallyport", charset="UTF-8"'
        scope = f',scope="repository:{repository}:{_SCOPES[action]}"' if repository and action in _SCOPES else ""
        return f'Bearer realm="{origin}{TOKEN_PATH}",service="{SERVICE}"{scope}'

    def token(self, authorization: str, address: str = "") -> tuple[str, int]:
        """A token for a login, or for nobody in particular, and how many seconds it is good for.

        Raises:
            DeniedError: the login is wrong.
        """
        now = self._now()
        nobody = Login(ASKED, now + LIFETIME_S, "nobody")
        login = self.login(authorization, address) if authorization else nobody
        if login.caller.kind in ("anonymous", "token"):
            login = nobody
        # A token is no way to get a longer one.
        renewed = authorization[:6].lower() == "basic " and login.source != "provider"
        until = now + LIFETIME_S if renewed or login is nobody else login.until
        sealed = Login(login.caller, until, login.source, login.proof)
        return self._tokens.seal(sealed), max(1, int(until - now))


def _basic(value: str) -> tuple[str, str]:
    """Source: RFC 7617."""
    try:
        text = base64.b64decode(value.strip(), validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise DeniedError("the login cannot be read", "log in anew") from error
    name, colon, password = text.partition(":")
    if not colon:
        raise DeniedError("the login has no password", "log in anew")
    return name, password


if TYPE_CHECKING:
    _fits: type[Guard] = RuledGuard
