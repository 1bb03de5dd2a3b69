"""A site with access configured, served and asked over HTTP."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from sallyport.access import create_robot
from sallyport.engine import Http, SystemClock
from sallyport.errors import ConfigError, ConflictError, DeniedError, UsageError
from sallyport.oci import Descriptor, Digest, build_manifest, media_types
from sallyport.registry import Login, OneLogin, RegistryClient, push_image
from sallyport.serving import serve
from sallyport.site import Site, open_site
from sallyport.store import open_store

BASE = "side: inside\ndestination: lab\nstore: store\nlisten: 127.0.0.1:0\n"
ACCESS = """access:
  htpasswd: htpasswd
  robots: robots.json
  immutable: ["team/*:v*"]
  quotas:
    - {images: "team/small", size: 1K}
"""
RULES = """  rules:
    - {who: anonymous, images: "public/*", may: [pull]}
    - {who: "*", may: [pull]}
    - {who: "user:alice", images: "team/*", may: [push, delete]}
"""


class Made:
    """A folder with a site and its people."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        hashed = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
        (folder / "htpasswd").write_text(f"alice:{hashed}\nbob:{hashed}\n")
        now = SystemClock().now()
        _, self.secret = create_robot(
            folder / "robots.json", "ci", images=["team/*"], may=["pull", "push"], now=now, expires=None
        )

    def site(self, text: str) -> Any:
        (self.folder / "sallyport.yaml").write_text(BASE + text)
        return open_site(self.folder)


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path)


@pytest.fixture
def http() -> Iterator[Http]:
    with Http(proxies={}, timeout_s=20, retries=1) as client:
        yield client


def put(http: Http, store: Any, url: str, repository: str, who: OneLogin | None, *, content: bytes = b"x") -> Any:
    def blob(data: bytes, kind: str) -> Descriptor:
        digest = Digest.of(data)
        store.blobs.put(digest, len(data), [data])
        return Descriptor(kind, len(data), digest)

    manifest = build_manifest(blob(b"{}", media_types.OCI_CONFIG), [blob(content, media_types.OCI_LAYER)])
    image = blob(manifest.raw, manifest.media_type)
    client = RegistryClient(http, url.partition("://")[2], credentials=who)
    push_image(client, repository, ["v1"], store.blobs, image)
    return image


def head(http: Http, url: str, repository: str, who: OneLogin | None) -> Any:
    return RegistryClient(http, url.partition("://")[2], credentials=who).head(repository, "v1")


def ask(http: Http, url: str, path: str, login: str = "", method: str = "GET") -> tuple[int, Any, bytes]:
    headers = {"Authorization": "Basic " + base64.b64encode(login.encode()).decode()} if login else {}
    with http.request(method, url + path, headers=headers, redirects=False) as response:
        return response.status, response.headers, response.read(1_000_000)


def login(name: str, password: str) -> OneLogin:
    return OneLogin(Login(name, password))


ALICE = login("alice", "secret")
BOB = login("bob", "secret")


def test_rules_say_who_may_and_the_journal_says_who_did(made: Made, http: Http, tmp_path: Path) -> None:
    robot = login("robot+ci", made.secret)
    with open_store(tmp_path / "here") as here, made.site(ACCESS + RULES) as site, serve(site) as url:
        put(http, here, url, "team/app", ALICE)
        put(http, here, url, "team/other", robot)
        for nobody in (BOB, None, login("alice", "wrong"), login("robot+ci", "wrong")):
            with pytest.raises(DeniedError):
                put(http, here, url, "team/app", nobody, content=b"new")
        with pytest.raises(DeniedError):
            put(http, here, url, "elsewhere/app", ALICE)
        assert head(http, url, "team/app", BOB) is not None
        assert head(http, url, "team/app", robot) is not None
        with pytest.raises(DeniedError):
            head(http, url, "team/app", None)
        with pytest.raises(DeniedError, match="quota"):
            put(http, here, url, "team/small", ALICE, content=b"x" * 2000)
        lines = list(site.store.state.events())
        assert {(line.verb, line.detail["by"]) for line in lines} == {
            (verb, who) for verb in ("uploaded", "pushed", "tagged") for who in ("user:alice", "robot:ci")
        }
        site.store.state.verify_journal()
        status, _, page = ask(http, url, "/", "bob:secret")
        assert (status, b"team/app" in page) == (200, True)


def test_a_tag_that_the_configuration_calls_immutable_stays(made: Made, http: Http, tmp_path: Path) -> None:
    with open_store(tmp_path / "here") as here, made.site(ACCESS + RULES) as site, serve(site) as url:
        image = put(http, here, url, "team/app", ALICE)
        assert put(http, here, url, "team/app", ALICE) == image, "the same again is no change"
        with pytest.raises(ConflictError, match="will not let it"):
            put(http, here, url, "team/app", ALICE, content=b"other")


def test_what_one_may_not_pull_is_not_listed(made: Made, http: Http, tmp_path: Path) -> None:
    rules = RULES.replace('{who: "*", may: [pull]}', '{who: "user:bob", images: "team/*", may: [pull]}')
    with open_store(tmp_path / "here") as here, made.site(ACCESS + rules) as site, serve(site) as url:
        put(http, here, url, "team/app", login("robot+ci", made.secret))
        assert json.loads(ask(http, url, "/v2/_catalog", "bob:secret")[2]) == {"repositories": ["team/app"]}
        assert ask(http, url, "/v2/_catalog")[0] == 401
        assert json.loads(ask(http, url, "/v2/_catalog", "alice:secret")[2]) == {"repositories": []}
        for path in ("/", "/metrics"):
            assert ask(http, url, path)[0] == 401
            assert ask(http, url, path, "bob:secret")[0] == 401
        assert ask(http, url, "/healthz")[0] == 200


def test_the_status_page_is_for_who_may_pull_everything(made: Made, http: Http) -> None:
    with made.site(ACCESS + RULES) as site, serve(site) as url:
        status, headers, _ = ask(http, url, "/")
        assert (status, headers["www-authenticate"][:5]) == (401, "Basic")
        assert ask(http, url, "/", "bob:wrong")[0] == 401
        assert ask(http, url, "/", "bob:secret")[0] == 200
    with made.site(ACCESS) as site, serve(site) as url:
        assert ask(http, url, "/")[0] == 200


def test_the_version_check_asks_for_a_login_and_the_token_endpoint_gives_one(made: Made, http: Http) -> None:
    with made.site(ACCESS) as site, serve(site) as url:
        status, headers, _ = ask(http, url, "/v2/")
        assert (status, headers["www-authenticate"]) == (401, f'Bearer realm="{url}/token",service="sallyport"')
        assert ask(http, url, "/v2/", "alice:secret")[0] == 200
        for login, expected in (("", 200), ("alice:secret", 200), ("alice:wrong", 401), ("nobody:secret", 401)):
            status, headers, body = ask(http, url, "/token?service=sallyport&scope=repository:x:pull", login)
            assert status == expected
            if status == 200:
                answer = json.loads(body)
                assert (answer["token"], answer["expires_in"]) == (answer["access_token"], 300)
                assert headers["cache-control"] == "no-store"
        assert ask(http, url, "/token", method="POST")[0] == 405


def test_logins_without_rules_let_everybody_pull_and_only_robots_push(made: Made, http: Http, tmp_path: Path) -> None:
    with open_store(tmp_path / "here") as here, made.site(ACCESS) as site, serve(site) as url:
        put(http, here, url, "team/app", login("robot+ci", made.secret))
        assert head(http, url, "team/app", None) is not None
        with pytest.raises(DeniedError):
            put(http, here, url, "team/app", ALICE, content=b"new")


def test_without_access_everybody_pulls_and_writing_is_for_this_machine(made: Made, http: Http, tmp_path: Path) -> None:
    with open_store(tmp_path / "here") as here, made.site("") as site:
        with serve(site, writable=True) as url:
            put(http, here, url, "any/app", None)
            assert ask(http, url, "/v2/", "whoever:whatever")[0] == 200
        with serve(site) as url:
            assert head(http, url, "any/app", None) is not None
            with pytest.raises(Exception, match="405"):
                put(http, here, url, "any/app", None, content=b"y")
        with pytest.raises(UsageError, match="everybody"), serve(site, listen="0.0.0.0:0", writable=True):
            pass


def test_a_quota_needs_no_logins(made: Made, http: Http, tmp_path: Path) -> None:
    quotas = "access:\n  quotas:\n    - {size: 1K}\n"
    with open_store(tmp_path / "here") as here, made.site(quotas) as site, serve(site, writable=True) as url:
        put(http, here, url, "new/app", None, content=b"z" * 200)
        with pytest.raises(DeniedError, match="quota"):
            put(http, here, url, "new/app", None, content=b"z" * 2000)


def refused(site: Site, **options: Any) -> Any:
    with serve(site, **options):
        pytest.fail("it serves")


def test_what_cannot_be_safe_is_refused_at_the_start(made: Made) -> None:
    with made.site(ACCESS) as site:
        with pytest.raises(UsageError, match="access says"):
            refused(site, writable=True)
        with pytest.raises(ConfigError, match="in the clear"):
            refused(site, listen="0.0.0.0:0")
    with made.site(ACCESS + "  url: https://registry.example\n") as site, serve(site, listen="0.0.0.0:0"):
        pass
    with made.site("access:\n" + RULES) as site, pytest.raises(ConfigError, match="nobody can log in"):
        refused(site)
    with made.site("access:\n  htpasswd: none\n") as site, pytest.raises(ConfigError, match="none"):
        refused(site)
    with pytest.raises(ConfigError), made.site("access:\n  rules:\n    - {who: alice, may: [pull]}\n"):
        pass


def test_scrubbing_goes_on_beside_serving(made: Made, http: Http, tmp_path: Path) -> None:
    import time

    with made.site("scrub: {every: 1d, rate: 1M}\n") as site:
        digest = Digest.of(b"good")
        site.store.blobs.put(digest, 4, [b"good"])
        site.store.blobs.path(digest).write_bytes(b"evil")
        with serve(site):
            until = time.monotonic() + 10
            while site.store.blobs.has(digest) and time.monotonic() < until:
                time.sleep(0.01)
        assert [line.verb for line in site.store.state.events()] == ["quarantined"]
