"""Tokens of an identity provider: JSON Web Tokens as OpenID Connect issues them, checked without any network.

1. The token is of bounded size and names one of the allowed algorithms; none and shared secrets are not among them.
2. The key comes from the provider's file, by its ``kid``, and is of the kind that the algorithm needs.
3. The signature holds.
4. ``iss`` is the provider and ``aud`` names us.
5. ``exp`` is there and still to come; ``nbf`` and ``iat`` are past. A minute's difference of clocks is allowed.
6. The user's claim is a usable name.

Source: RFC 7519; RFC 8725; OpenID Connect Core 1.0, 3.1.3.7.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sallyport.access.model import Caller
from sallyport.access.watched import Watched
from sallyport.errors import ConfigError, DeniedError

if TYPE_CHECKING:
    from jwt import PyJWK

ALGORITHMS = ("RS256", "ES256", "EdDSA")
_KINDS = {"RSA": "RS256", "EC": "ES256", "OKP": "EdDSA"}
_CURVES = {"EC": ("P-256",), "OKP": ("Ed25519",)}
_LEEWAY_S = 60
_TOKEN_BYTES = 16 * 1024
_NAME_LENGTH = 256
_GROUPS = 1000
_RSA_BITS = 2048
_Keys = Mapping[str, "PyJWK"]


class Provider:
    """One issuer and its keys, which are read again when their file changes."""

    def __init__(
        self, issuer: str, audience: str, keys: Path, *, user_claim: str = "sub", groups_claim: str = "groups"
    ) -> None:
        """Read the keys.

        Raises:
            ConfigError: there is no usable key.
        """
        self.issuer, self._audience = issuer, audience
        self._user_claim, self._groups_claim = user_claim, groups_claim
        self.file: Watched[_Keys] = Watched(keys, parse_keys, {})

    def verify(self, token: str, now: float) -> tuple[Caller, float]:
        """Who the token is about, and until when it is good.

        Raises:
            DeniedError: one of the checks above fails.
        """
        import jwt

        if len(token) > _TOKEN_BYTES:  # 1
            raise _denied("it is too long")
        try:
            header = jwt.get_unverified_header(token)
            algorithm = str(header.get("alg"))
            if algorithm not in ALGORITHMS:
                raise _denied("its algorithm is not allowed")
            key = self._key(header.get("kid"), algorithm)  # 2
            claims = jwt.decode(  # 3, 4; the times are checked below, by the clock that we are given
                token,
                key.key,
                algorithms=[algorithm],
                audience=self._audience,
                issuer=self.issuer,
                options={
                    "require": ["exp", "iss", "aud"],
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                    "verify_sub": False,
                },
            )
        except jwt.PyJWTError as error:
            raise _denied(str(error)[:200]) from error
        until = _check_times(claims, now)  # 5
        name = claims.get(self._user_claim)  # 6
        if not isinstance(name, str) or not 0 < len(name) <= _NAME_LENGTH or not name.isprintable():
            raise _denied(f"its claim {self._user_claim} is no name")
        return Caller(name, "user", _groups(claims.get(self._groups_claim))), until

    def _key(self, kid: object, algorithm: str) -> PyJWK:
        keys = self.file.value()
        if isinstance(kid, str):
            found = keys.get(kid)
        else:
            found = next(iter(keys.values())) if kid is None and len(keys) == 1 else None
        if found is None or _KINDS[str(found.key_type)] != algorithm:
            raise _denied("it is by a key that is not known here")
        return found


def parse_keys(data: bytes) -> _Keys:
    """The usable public keys of a JSON Web Key Set, by id. Source: RFC 7517.

    Raises:
        ConfigError: it is none, or has no key that could verify a token.
    """
    import jwt

    try:
        listed = json.loads(data)["keys"]
        keys: dict[str, PyJWK] = {}
        for number, entry in enumerate(listed):
            if _usable(entry):
                key = jwt.PyJWK(entry, algorithm=_KINDS[entry["kty"]])
                if entry["kty"] == "RSA" and key.key.key_size < _RSA_BITS:
                    continue
                keys[str(entry.get("kid", f"#{number}"))] = key
    except (ValueError, KeyError, TypeError, AttributeError, jwt.PyJWTError) as error:
        raise ConfigError("the file of keys is not a JSON Web Key Set", "fetch it anew from the provider") from error
    if not keys:
        raise ConfigError(
            "the file of keys has none for RS256, ES256 or EdDSA", "fetch the provider's jwks_uri into this file"
        )
    return keys


def _usable(entry: Mapping[str, Any]) -> bool:
    kind = entry["kty"]
    if kind not in _KINDS or entry.get("use", "sig") != "sig" or "d" in entry:
        return False
    return entry.get("alg", _KINDS[kind]) == _KINDS[kind] and (kind not in _CURVES or entry.get("crv") in _CURVES[kind])


def _check_times(claims: Mapping[str, Any], now: float) -> float:
    times = {name: claims[name] for name in ("exp", "nbf", "iat") if name in claims}
    if not all(isinstance(at, int | float) and not isinstance(at, bool) for at in times.values()):
        raise _denied("one of its times is no number")
    until = float(times["exp"])
    if not now < until + _LEEWAY_S:
        raise _denied("its time is over")
    if any(not times[name] <= now + _LEEWAY_S for name in ("nbf", "iat") if name in times):
        raise _denied("its time has not come")
    return until + _LEEWAY_S


def _groups(claim: object) -> tuple[str, ...]:
    listed = [claim] if isinstance(claim, str) else claim
    if not isinstance(listed, list):
        return ()
    return tuple(name for name in listed[:_GROUPS] if isinstance(name, str))


def _denied(why: str) -> DeniedError:
    return DeniedError(f"the token does not hold: {why}", "get a new token from the identity provider")
