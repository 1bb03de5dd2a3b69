"""Registries behind mirrors, certificates and proxies: real sockets, real TLS, real fall-through."""

from __future__ import annotations

import base64
import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sallyport.engine import Silent
from sallyport.errors import DeniedError, NotFoundError, UnreachableError
from sallyport.oci import EMPTY_CONFIG, Digest, build_manifest, media_types, verified
from sallyport.registry import (
    Endpoint,
    Mirror,
    Reach,
    RegistryClient,
    Rule,
    make_app,
    open_clients,
    push_image,
    serve,
)
from sallyport.registry.reached import Reached
from sallyport.store import open_store

NAME = "registry.example"
MANIFEST = build_manifest(EMPTY_CONFIG, [EMPTY_CONFIG])
DATA = b"0123456789" * 1000
BLOB = Digest.of(DATA)


class Heard:
    """Progress that keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def task(self, label: str, total: int | None = None) -> Any:
        return Silent().task(label, total)

    def say(self, text: str) -> None:
        self.lines.append(text)


def reach(main: str, *mirrors: Mirror | str, **options: Any) -> Reach:
    asked = tuple(m if isinstance(m, Mirror) else Mirror(Endpoint(m)) for m in mirrors)
    return Reach((Rule(NAME, Endpoint(main, **options), asked),))


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Any]:
    """A second registry, with nothing in it."""
    with open_store(tmp_path / "mirror") as store, serve(make_app(store)) as serving:
        yield serving


def test_every_method_of_a_client_is_meant_for_mirrors_too() -> None:
    public = {name for name, _ in inspect.getmembers(RegistryClient, inspect.isfunction) if not name.startswith("_")}
    assert public == {name for name in vars(Reached) if not name.startswith("_")}


def test_a_mirror_is_asked_first_and_what_it_lacks_comes_from_the_registry(
    site: Any, other: Any, here: Any, build: Any, http: Any
) -> None:
    both, alone = build.image("both"), build.image("alone")
    direct = RegistryClient(http, other.registry)
    push_image(direct, "cache/app", ["both"], here.blobs, both)
    for name, image in (("both", both), ("alone", alone)):
        push_image(site.client, "app", [name], here.blobs, image)
    site.counted.take()
    with open_clients(reach(site.serving.registry, f"{other.registry}/cache")) as client_for:
        client = client_for(NAME)
        assert client is client_for(NAME)
        assert client.registry == NAME
        found = client.head("app", "both")
        assert found is not None
        assert found.digest == both.digest
        manifest = client.manifest("app", str(both.digest))
        for blob in manifest.blobs:  # type: ignore[union-attr]
            assert client.has_blob("app", blob.digest)
            assert [*verified(client.blob("app", blob.digest), blob.digest, blob.size)]
        assert site.counted.take() == []
        assert client.manifest("app", "alone").digest == alone.digest
        assert client.changed("app", "alone", alone.digest) is None
        assert client.changed("app", "alone", both.digest) is not None
        assert [*client.tags("app")] == ["alone", "both"], "a mirror lists only what it happens to have"
        with pytest.raises(NotFoundError):
            client.manifest("app", "nowhere")
        assert client.head("app", "nowhere") is None


def test_referrers_come_from_the_registry_and_from_a_mirror_where_it_is_down(
    site: Any, other: Any, here: Any, build: Any, http: Any
) -> None:
    image = build.image("app")
    bill = build.about(image, "application/vnd.example.bill", "bill")
    for client in (site.client, RegistryClient(http, other.registry)):
        push_image(client, "app", ["1"], here.blobs, image)
    push_image(site.client, "app", [], here.blobs, bill)
    with open_clients(reach(site.serving.registry, other.registry)) as client_for:
        assert [item.digest for item in client_for(NAME).referrers("app", image.digest)] == [bill.digest]
    with open_clients(reach("127.0.0.1:1", site.serving.registry), timeout_s=1) as client_for:
        assert [item.digest for item in client_for(NAME).referrers("app", image.digest)] == [bill.digest]
        assert [*client_for(NAME).tags("app")] == ["1"]


@pytest.mark.parametrize("status", [401, 403, 404, 500])
def test_a_mirror_that_refuses_or_fails_is_passed_by(odd: Any, site: Any, here: Any, build: Any, status: int) -> None:
    image = build.image("app")
    push_image(site.client, "app", ["1"], here.blobs, image)
    odd.answer = lambda handler: handler.say(status)
    with open_clients(reach(site.serving.registry, odd.registry)) as client_for:
        assert client_for(NAME).manifest("app", "1").digest == image.digest


def test_a_mirror_that_is_down_is_said_once_and_left_alone(site: Any, here: Any, build: Any) -> None:
    heard = Heard()
    push_image(site.client, "app", ["1"], here.blobs, build.image("app"))
    with open_clients(reach(site.serving.registry, "127.0.0.1:1"), progress=heard) as client_for:
        for _ in range(3):
            assert client_for(NAME).head("app", "1") is not None
    assert heard.lines == [f"note: {NAME} is asked past its mirror: cannot reach 127.0.0.1:1: connection refused"]


def test_a_mirror_that_gives_other_bytes_is_not_believed(odd: Any, site: Any, here: Any, build: Any) -> None:
    image = build.image("app")
    push_image(site.client, "app", ["1"], here.blobs, image)
    odd.answer = lambda handler: handler.say(200, MANIFEST.raw, Content_Type=media_types.OCI_MANIFEST)
    with open_clients(reach(site.serving.registry, odd.registry)) as client_for:
        client = client_for(NAME)
        assert client.manifest("app", str(image.digest)).digest == image.digest
        layer = client.manifest("app", str(image.digest)).blobs[1]  # type: ignore[union-attr]
        # What a blob is, is proven by who stores it; whoever then asks again gets it from somewhere else.
        assert b"".join(client.blob("app", layer.digest)) == MANIFEST.raw
        assert [*verified(client.blob("app", layer.digest), layer.digest, layer.size)]


def test_a_line_that_breaks_goes_on_at_the_next_place(odd: Any, make_odd: Any) -> None:
    main = make_odd()

    def rest(handler: Any) -> None:
        offset = int(handler.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        handler.say(206, DATA[offset:], Content_Range=f"bytes {offset}-{len(DATA) - 1}/{len(DATA)}")

    odd.answer = lambda handler: handler.say(200, DATA[:4000], promise=len(DATA))
    main.answer = rest
    with open_clients(reach(main.registry, odd.registry)) as client_for:
        came: list[bytes] = []
        with pytest.raises(UnreachableError, match="broke off"):
            came.extend(client_for(NAME).blob("app", BLOB))
        came.extend(client_for(NAME).blob("app", BLOB, offset=len(b"".join(came))))
    assert b"".join(came) == DATA
    assert len(odd.seen) == 1


def test_where_nobody_answers_everybody_is_named(http: Any) -> None:
    with open_clients(reach("127.0.0.1:1", "127.0.0.1:2"), timeout_s=1) as client_for:
        with pytest.raises(UnreachableError, match=r"127\.0\.0\.1:1: .*before it: .*127\.0\.0\.1:2"):
            client_for(NAME).manifest("app", "1")
        with pytest.raises(UnreachableError):
            client_for(NAME).referrers("app", BLOB)


def test_credentials_go_to_their_own_host_only(make_odd: Any, tmp_path: Path) -> None:
    mirror, main = make_odd(), make_odd()
    config = tmp_path / "config.json"
    logins = {NAME: "main:secret", mirror.registry: "mirror:other"}
    auths = {host: {"auth": base64.b64encode(login.encode()).decode()} for host, login in logins.items()}
    config.write_text(json.dumps({"auths": auths}))
    for server in (mirror, main):
        server.answer = lambda handler: handler.say(401, WWW_Authenticate='Basic realm="x"')
    rules = Reach((Rule(NAME, Endpoint(main.registry, login=NAME), (Mirror(Endpoint(mirror.registry)),)),))
    with open_clients(rules, environ={"REGISTRY_AUTH_FILE": str(config)}) as client_for, pytest.raises(DeniedError):
        client_for(NAME).manifest("app", "1")
    for server, login in ((mirror, "mirror:other"), (main, "main:secret")):
        said = {seen.headers.get("Authorization", "") for seen in server.seen}
        assert said == {"", f"Basic {base64.b64encode(login.encode()).decode()}"}


def test_what_is_blocked_is_not_asked(odd: Any) -> None:
    rules = Reach((Rule(NAME, Endpoint(odd.registry), blocked=True),))
    with open_clients(rules) as client_for, pytest.raises(DeniedError, match="blocked"):
        client_for(NAME).head("app", "1")
    assert odd.seen == []


def test_pushes_go_to_the_registry_and_never_to_a_mirror(site: Any, other: Any, here: Any, build: Any) -> None:
    image = build.image("app")
    rules = reach(f"{site.serving.registry}/team", other.registry)
    with open_clients(rules) as client_for:
        client = client_for(NAME)
        client.ping()
        push_image(client, "app", ["1"], here.blobs, image)
        push_image(client, "other", ["1"], here.blobs, image, mount_from="app")
        assert client.delete_manifest("other", "1")
    assert site.client.head("team/app", "1").digest == image.digest
    assert site.client.head("team/other", "1") is None


def test_an_insecure_registry_is_asked_by_tls_first_and_then_without(site: Any, here: Any, build: Any) -> None:
    image = build.image("app")
    rules = reach(site.serving.registry, insecure=True)
    with open_clients(rules) as client_for:
        client = client_for(NAME)
        client.ping()
        push_image(client, "app", ["1"], here.blobs, image)
        assert client.manifest("app", "1").digest == image.digest
        assert [*client.tags("app")] == ["1"]


def test_a_registry_that_asks_for_a_certificate_is_reached_through_a_proxy(
    authorities: Any, tmp_path: Path, site: Any, here: Any, build: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = build.image("app")
    push_image(site.client, "app", ["1"], here.blobs, image)
    maker = authorities.Authority(tmp_path / "made")
    me = maker.issue("client.example")
    host, _, port = site.serving.registry.rpartition(":")
    context = maker.context(maker.issue("secure.example"), clients=True)
    with (
        authorities.tunnel(context, (host, int(port))) as tls,
        authorities.forward_proxy({"secure.example:5000": tls}) as proxy,
    ):
        place = Endpoint(
            "secure.example:5000",
            authorities=(maker.file,),
            certificate=me.certificate,
            key=me.key,
            proxy=proxy.url,
            connections=2,
        )
        with open_clients(Reach((Rule(NAME, place),))) as client_for:
            assert client_for(NAME).manifest("app", "1").digest == image.digest
        assert set(proxy.asked) == {"CONNECT secure.example:5000"}
        # The same by what container tools keep in certs.d, and the proxy of the environment.
        folder = tmp_path / ".config/containers/certs.d/secure.example:5000"
        folder.mkdir(parents=True)
        (folder / "ca.crt").write_bytes(maker.file.read_bytes())
        (folder / "me.cert").write_bytes(me.certificate.read_bytes())
        (folder / "me.key").write_bytes(me.key.read_bytes())
        monkeypatch.setenv("https_proxy", proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        with open_clients(Reach(), environ={"HOME": str(tmp_path)}) as client_for:
            assert client_for("secure.example:5000").manifest("app", "1").digest == image.digest
