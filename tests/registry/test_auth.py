"""Who we are, and to whom we say it."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sallyport.access import ANONYMOUS, Action, Caller, Decision
from sallyport.errors import ConfigError, DeniedError, MalformedError, UnreachableError
from sallyport.oci import EMPTY_CONFIG, build_manifest
from sallyport.registry import Credentials, DockerConfig, Login, OneLogin, RegistryClient, load_credentials
from sallyport.registry.auth import Challenge, parse_challenges

MANIFEST = build_manifest(EMPTY_CONFIG, [])
ME = OneLogin(Login("me", "secret"))


class TokenHost:
    """A registry with a token server at ``/token``, as most registries have it."""

    def __init__(self, odd: Any, *, user: str = "", lasts: int = 300, realm: str = "") -> None:
        self.odd, self.user, self.lasts = odd, user, lasts
        self.realm = realm or f"{odd.url}/token"
        self.given: list[str] = []
        odd.answer = self.answer

    def answer(self, handler: Any) -> None:
        if handler.path.startswith("/token"):
            wanted = f"Basic {base64.b64encode(self.user.encode()).decode()}" if self.user else None
            if handler.headers.get("authorization") != wanted:
                handler.say(401)
            else:
                self.given.append(f"token{len(self.given)}")
                handler.say(200, json.dumps({"token": self.given[-1], "expires_in": self.lasts}).encode())
        elif self.given and handler.headers.get("authorization") == f"Bearer {self.given[-1]}":
            handler.say(200, MANIFEST.raw, Content_Type=MANIFEST.media_type)
        else:
            handler.say(401, WWW_Authenticate=f'Bearer realm="{self.realm}",service="a, b",scope="repository:app:pull"')

    def tokens(self) -> list[Any]:
        return [seen for seen in self.odd.seen if seen.path.startswith("/token")]


def test_a_token_is_fetched_once_for_a_scope(odd: Any, http: Any) -> None:
    host = TokenHost(odd)
    client = RegistryClient(http, odd.registry)
    for _ in range(3):
        assert client.manifest("app", "1") == MANIFEST
    assert len(odd.seen) == 5, "refused, token, three answers"
    query = parse_qs(urlsplit(host.tokens()[0].path).query)
    assert query == {"service": ["a, b"], "scope": ["repository:app:pull"]}
    client.manifest("other", "1")
    assert parse_qs(urlsplit(host.tokens()[1].path).query)["scope"] == ["repository:other:pull", "repository:app:pull"]


def test_a_token_that_has_expired_is_fetched_again(odd: Any, http: Any) -> None:
    host = TokenHost(odd)
    client = RegistryClient(http, odd.registry)
    client.manifest("app", "1")
    host.given.append("another")
    assert client.manifest("app", "1") == MANIFEST
    assert len(host.tokens()) == 2


def test_a_login_goes_to_the_token_server(odd: Any, http: Any) -> None:
    TokenHost(odd, user="me:secret")
    assert RegistryClient(http, odd.registry, credentials=ME).manifest("app", "1") == MANIFEST
    with pytest.raises(DeniedError, match="refuses strangers"):
        RegistryClient(http, odd.registry).manifest("app", "1")
    with pytest.raises(DeniedError, match="refuses this login") as caught:
        RegistryClient(http, odd.registry, credentials=OneLogin(Login("me", "wr0ng"))).manifest("app", "1")
    assert "wr0ng" not in caught.value.message + caught.value.mend


def test_an_identity_token_is_exchanged(odd: Any, http: Any) -> None:
    def answer(handler: Any) -> None:
        if handler.path == "/token":
            asked = parse_qs(handler.body.decode())
            assert (asked["grant_type"], asked["refresh_token"]) == (["refresh_token"], ["identity"])
            handler.say(200, b'{"access_token":"bought"}')
        elif handler.headers.get("authorization") == "Bearer bought":
            handler.say(200, MANIFEST.raw, Content_Type=MANIFEST.media_type)
        else:
            handler.say(401, WWW_Authenticate=f'Bearer realm="{odd.url}/token"')

    odd.answer = answer
    client = RegistryClient(http, odd.registry, credentials=OneLogin(Login("", "", "identity")))
    assert client.manifest("app", "1") == MANIFEST


def test_a_registry_over_tls_cannot_send_a_secret_over_plain_http(http: Any) -> None:
    from sallyport.registry.auth import Authorizer

    authorizer = Authorizer(http, "registry.example", ME, plain_http=False)
    for realm in ("http://token.example/", "file:///x", "//token.example", ""):
        with pytest.raises(DeniedError, match="not https"):
            authorizer.challenged(f'Bearer realm="{realm}"', "repository:app:pull")


def test_basic_is_spoken_where_it_is_asked_for(odd: Any, http: Any) -> None:
    def answer(handler: Any) -> None:
        if handler.headers.get("authorization") == "Basic bWU6c2VjcmV0":
            handler.say(200, MANIFEST.raw, Content_Type=MANIFEST.media_type)
        else:
            handler.say(401, WWW_Authenticate='Negotiate abc==, Basic realm="x"')

    odd.answer = answer
    client = RegistryClient(http, odd.registry, credentials=ME)
    client.manifest("app", "1")
    client.manifest("app", "1")
    assert len(odd.seen) == 3
    for credentials in (None, OneLogin(Login("me", "wrong"))):
        with pytest.raises(DeniedError):
            RegistryClient(http, odd.registry, credentials=credentials).manifest("app", "1")


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'{"token":""}', b'{"token":"a\\r\\nb"}', b'{"token":7}'])
def test_a_token_that_is_none_is_refused(odd: Any, http: Any, body: bytes) -> None:
    def answer(handler: Any) -> None:
        if handler.path.startswith("/token"):
            handler.say(200, body)
        else:
            handler.say(401, WWW_Authenticate=f'Bearer realm="{odd.url}/token"')

    odd.answer = answer
    with pytest.raises(MalformedError):
        RegistryClient(http, odd.registry).manifest("app", "1")


def test_a_token_server_that_fails_is_unreachable(odd: Any, http: Any) -> None:
    odd.answer = lambda handler: (
        handler.say(500)
        if handler.path.startswith("/token")
        else handler.say(401, WWW_Authenticate=f'Bearer realm="{odd.url}/token"')
    )
    with pytest.raises(UnreachableError):
        RegistryClient(http, odd.registry).manifest("app", "1")


def test_challenges_are_told_apart() -> None:
    header = 'Negotiate abc==, Bearer realm="https://t.example/?a=b,c",service="s \\"q\\"" , error=x,Basic realm=plain'
    assert parse_challenges(header) == (
        Challenge("negotiate", {}),
        Challenge("bearer", {"realm": "https://t.example/?a=b,c", "service": 's "q"', "error": "x"}),
        Challenge("basic", {"realm": "plain"}),
    )
    assert parse_challenges("") == ()
    assert parse_challenges("Basic") == (Challenge("basic", {}),)


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet='Basicer rlm="\\,\t=abc\x00é', max_size=60))
@example('Bearer realm="' + "x" * 9000)
def test_any_header_is_read_without_a_fault(header: str) -> None:
    for challenge in parse_challenges(header):
        assert challenge.scheme == challenge.scheme.lower()


# --- where logins are kept --------------------------------------------------------------------


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.fixture
def config(tmp_path: Path) -> Any:
    def write(value: object) -> DockerConfig:
        path = tmp_path / "config.json"
        path.write_text(value if isinstance(value, str) else json.dumps(value))
        return DockerConfig((tmp_path / "missing.json", path))

    return write


def test_a_login_is_found_under_each_way_of_writing_the_host(config: Any) -> None:
    for key in ("registry.example:5000", "https://registry.example:5000", "https://registry.example:5000/v2/"):
        found: Credentials = config({"auths": {"other.example": {}, key: {"auth": encoded("me:se:cret")}}})
        assert found.login("registry.example:5000") == Login("me", "se:cret")
        assert found.login("registry.example") is None
    hub = config({"auths": {"https://index.docker.io/v1/": {"auth": encoded("me:x"), "identitytoken": "it"}}})
    assert hub.login("docker.io") == Login("me", "x", "it")
    assert "se:cret" not in repr(Login("me", "se:cret", "se:cret"))


def test_a_helper_is_asked(config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "docker-credential-test"
    program.write_text(
        "#!/bin/sh\nread -r host\n"
        'case "$host" in\n'
        'a.example) echo \'{"Username":"me","Secret":"s"}\';;\n'
        'b.example) echo \'{"Username":"<token>","Secret":"it"}\';;\n'
        "c.example) echo '[]';;\n"
        "*) echo not found; exit 1;;\nesac\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    stored = config({"credsStore": "test"})
    assert stored.login("a.example") == Login("me", "s")
    assert stored.login("d.example") is None
    helped = config({"credHelpers": {"b.example": "test", "c.example": "test", "e.example": "../x"}})
    assert helped.login("b.example") == Login("", "", "it")
    with pytest.raises(ConfigError, match="no Username"):
        helped.login("c.example")
    with pytest.raises(ConfigError, match="helper"):
        helped.login("e.example")


@pytest.mark.parametrize("entry", [{"auth": "%%%"}, {"auth": encoded("nocolon")}, {"auth": "/w=="}])
def test_a_broken_entry_is_a_configuration_error(config: Any, entry: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as caught:
        config({"auths": {"a.example": entry}}).login("a.example")
    assert entry["auth"] not in caught.value.message


def test_files_that_say_nothing_say_nothing(config: Any, tmp_path: Path) -> None:
    odd: list[Any] = [
        "",
        {},
        {"auths": {}},
        {"auths": {"a.example": {}}},
        {"auths": {"a.example": 1}, "credHelpers": []},
    ]
    for value in odd:
        assert config(value).login("a.example") is None
    with pytest.raises(ConfigError):
        config("[]").login("a.example")
    with pytest.raises(ConfigError, match="cannot read"):
        DockerConfig((tmp_path,)).login("a.example")


def test_the_places_are_those_of_container_tools(tmp_path: Path) -> None:
    environ = {"HOME": "/home/me", "DOCKER_CONFIG": "/d", "XDG_RUNTIME_DIR": "/run/me", "REGISTRY_AUTH_FILE": "/r.json"}
    assert [str(path) for path in load_credentials("a.example", environ=environ).paths] == [
        "/r.json",
        "/d/config.json",
        "/run/me/containers/auth.json",
        "/home/me/.config/containers/auth.json",
        "/home/me/.docker/config.json",
    ]
    assert load_credentials(environ={}).paths == ()
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker" / "config.json").write_text(json.dumps({"auths": {"a.example": {"auth": encoded("me:s")}}}))
    renamed = load_credentials("a.example", environ={"HOME": str(tmp_path)})
    assert renamed.login("127.0.0.1:5000") == Login("me", "s")


class OnlyMe:
    """Everybody must be me; I may read everything and write to what is mine."""

    def caller(self, authorization: str, address: str = "") -> Caller:
        if authorization and authorization != f"Basic {encoded('me:secret')}":
            raise DeniedError("wrong login", "log in anew")
        return Caller("me", "user") if authorization else ANONYMOUS

    def remembered(self, authorization: str) -> Caller | None:
        return None if authorization else ANONYMOUS

    def may(self, caller: Caller, repository: str, action: Action) -> Decision:
        if caller.kind == "anonymous":
            return Decision.LOGIN
        return Decision.ALLOWED if action in ("pull", "list") or repository == "mine" else Decision.FORBIDDEN

    def challenge(self, host: str, repository: str, action: Action) -> str:
        return 'Basic realm="sallyport", charset="UTF-8"'

    def room(self, repository: str) -> int | None:
        return 10_000_000


def test_our_own_server_asks_for_a_login(site: Any, http: Any, here: Any, build: Any) -> None:
    from sallyport.registry import make_app, push_image, serve

    told: list[tuple[str, str, str]] = []

    def note(who: str, verb: str, repository: str, subject: str, detail: Mapping[str, str]) -> None:
        told.append((who, verb, repository))

    with serve(make_app(site.store, guard=OnlyMe(), on_write=note)) as closed:
        client = RegistryClient(http, closed.registry, credentials=ME)
        image = build.image("app")
        push_image(client, "mine", ["1"], here.blobs, image)
        with pytest.raises(DeniedError, match="403"):
            push_image(client, "yours", ["1"], here.blobs, image)
        with pytest.raises(DeniedError):
            RegistryClient(http, closed.registry).head("mine", "1")
        assert client.head("mine", "1") is not None
        assert set(told) == {("user:me", verb, "mine") for verb in ("uploaded", "pushed", "tagged")}
