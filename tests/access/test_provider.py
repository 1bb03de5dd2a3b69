"""Tokens of an identity provider: what holds, and everything that must not."""

from __future__ import annotations

import base64
import hmac
import json
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sallyport.access import Caller, Decision, Grant, Provider, RuledGuard
from sallyport.errors import ConfigError, DeniedError

NOW = 1_800_000_000.0
RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
STRANGER = ec.generate_private_key(ec.SECP256R1())
KEYS: tuple[tuple[str, str, Any], ...] = (("r", "RS256", RSA), ("e", "ES256", EC), ("d", "EdDSA", ED))


def public(kid: str, algorithm: str, key: Any) -> dict[str, Any]:
    text = jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key())
    return {**json.loads(text), "kid": kid, "use": "sig", "alg": algorithm}


def token(kid: str = "e", algorithm: str = "ES256", key: Any = EC, **claims: Any) -> str:
    body = {"iss": "https://id.example", "aud": "sallyport", "exp": NOW + 600, "sub": "alice", "groups": ["ops"]}
    body.update(claims)
    return jwt.encode({name: value for name, value in body.items() if value is not None}, key, algorithm, {"kid": kid})


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [public(*key) for key in KEYS]}))
    return path


@pytest.fixture
def provider(keys: Path) -> Provider:
    return Provider("https://id.example", "sallyport", keys)


@pytest.mark.parametrize(("kid", "algorithm", "key"), KEYS)
def test_a_good_token_names_user_and_groups(provider: Provider, kid: str, algorithm: str, key: Any) -> None:
    caller, until = provider.verify(token(kid, algorithm, key), NOW)
    assert (caller, until) == (Caller("alice", "user", ("ops",)), NOW + 660)
    assert provider.verify(token(kid, algorithm, key, aud=["other", "sallyport"], groups="ops"), NOW)[0] == caller
    assert provider.verify(token(kid, algorithm, key, groups=None), NOW)[0].groups == ()
    assert provider.verify(token(kid, algorithm, key, groups={"a": 1}), NOW)[0].groups == ()


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://other.example"}, {"iss": None}, {"aud": "other"}, {"aud": None}, {"exp": None},
        {"exp": NOW - 61}, {"nbf": NOW + 61}, {"iat": NOW + 61}, {"exp": "soon"}, {"exp": True}, {"exp": float("nan")},
        {"nbf": "x"}, {"sub": None}, {"sub": ""}, {"sub": 7}, {"sub": "a\nb"}, {"sub": "x" * 257},
    ],
)  # fmt: skip
def test_a_claim_that_does_not_hold_is_refused(provider: Provider, claims: dict[str, Any]) -> None:
    with pytest.raises(DeniedError):
        provider.verify(token(**claims), NOW)


def test_a_minute_of_difference_is_allowed(provider: Provider) -> None:
    provider.verify(token(exp=NOW - 59), NOW)
    provider.verify(token(nbf=NOW + 59, iat=NOW + 59), NOW)


def unsigned(header: dict[str, Any], signature: str = "") -> str:
    body = token().split(".")[1]
    head = base64.urlsafe_b64encode(json.dumps(header).encode()).decode().rstrip("=")
    return f"{head}.{body}.{signature}"


def test_a_signature_that_does_not_hold_is_refused(provider: Provider, keys: Path) -> None:
    good = token()
    shared = unsigned({"alg": "HS256", "kid": "e"})[:-1]
    mark = base64.urlsafe_b64encode(hmac.digest(keys.read_bytes(), shared.encode(), "sha256")).decode().rstrip("=")
    bad = [
        token(key=STRANGER),
        token(kid="none"),
        token(kid="r"),
        token("r", "RS512", RSA),
        unsigned({"alg": "none", "kid": "e"}),
        unsigned({"alg": "none"}),
        unsigned({"alg": "HS256", "kid": "e"}, "AAAA"),
        f"{shared}.{mark}",
        unsigned({"alg": "ES256", "kid": "e", "crit": ["x"], "x": 1}, good.split(".")[2]),
        unsigned({"alg": "ES256"}, good.split(".")[2]),
        good + "x" * 20_000,
        "",
        "a.b.c",
    ]
    for one in bad:
        with pytest.raises(DeniedError):
            provider.verify(one, NOW)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_one_changed_character_anywhere_is_refused(provider: Provider, data: st.DataObject) -> None:
    good = token("d", "EdDSA", ED)
    place = data.draw(st.integers(0, len(good) - 2))  # the very last one may hold unused bits
    other = data.draw(st.characters(codec="ascii").filter(lambda sign: sign != good[place]))
    with pytest.raises(DeniedError):
        provider.verify(good[:place] + other + good[place + 1 :], NOW)


def test_keys_that_cannot_verify_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    small = rsa.generate_private_key(65537, 1024)
    useless = [
        {"kty": "oct", "k": "AAAA", "kid": "a"},
        {**public("r", "RS256", RSA), "use": "enc"},
        public("s", "RS256", small),
        {**public("r", "RS256", RSA), "alg": "RS512"},
        {**public("e", "ES256", EC), "d": "AAAA"},
    ]
    documents: list[Any] = [{"keys": useless}, {"keys": []}, {}, [], {"keys": [{}]}, {"keys": 3}]
    for document in documents:
        path.write_text(json.dumps(document))
        with pytest.raises(ConfigError):
            Provider("https://id.example", "sallyport", path)


def test_keys_that_the_provider_changed_are_seen(provider: Provider, keys: Path) -> None:
    guard = RuledGuard(providers=[provider], now=lambda: NOW)
    login = f"Bearer {token()}"
    guard.caller(login)
    assert guard.remembered(login) is not None
    keys.write_text(json.dumps({"keys": [public("new", "ES256", STRANGER)]}))
    assert guard.remembered(login) is None
    with pytest.raises(DeniedError):
        guard.caller(login)
    assert guard.caller(f"Bearer {token('new', key=STRANGER)}").name == "alice"


def test_a_token_is_a_bearer_or_a_password_and_its_groups_count(provider: Provider) -> None:
    grants = [Grant("group:ops", "team/*", frozenset({"push"}))]
    guard = RuledGuard(providers=[provider], grants=grants, now=lambda: NOW)
    password = "Basic " + base64.b64encode(f"oidc:{token()}".encode()).decode()
    for login in (f"Bearer {token()}", password):
        caller = guard.caller(login)
        assert guard.may(caller, "team/app", "push") is Decision.ALLOWED
        ours, seconds = guard.token(login)
        assert 0 < seconds <= 300
        assert guard.caller(f"Bearer {ours}") == caller
    assert guard.may(guard.caller(f"Bearer {token(groups=[])}"), "team/app", "push") is Decision.FORBIDDEN
