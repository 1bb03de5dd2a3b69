"""Who may do what, at every endpoint: a real server, real users, real rules."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from sallyport.access import Grant, Htpasswd, Quota, RuledGuard, token_routes
from sallyport.oci import Descriptor, Digest, load_manifest, media_types
from sallyport.registry import RegistryClient, make_app, push_image, serve
from sallyport.store import Store, open_store

DATA = bytes(range(256)) * 40
USERS = ("alice", "bob", "carol")
GRANTS = (
    Grant("anonymous", "public/*", frozenset({"pull"})),
    Grant("user:alice", "*", frozenset({"pull", "push", "delete"})),
    Grant("user:bob", "team/*", frozenset({"pull"})),
    Grant("user:bob", "bob/*", frozenset({"pull", "push"})),
)
QUOTAS = (Quota("bob/small", 20_000),)
Answer = tuple[int, Any, bytes]


def login(user: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:of-{user}".encode()).decode()} if user else {}


@dataclass
class Guarded:
    """A registry with users, and what it said to have changed."""

    url: str
    store: Store
    http: Any
    told: list[tuple[str, str, str, str, Mapping[str, str]]] = field(default_factory=list)

    def ask(self, user: str, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()} | login(user)
        url = path if path.startswith("http") else self.url + path
        with self.http.request(method, url, headers=named, body=body, redirects=False, idempotent=False) as response:
            return response.status, response.headers, response.read(10_000_000)


@pytest.fixture
def guarded(tmp_path: Path, http: Any) -> Iterator[Guarded]:
    users = tmp_path / "htpasswd"
    lines = (f"{user}:{bcrypt.hashpw(f'of-{user}'.encode(), bcrypt.gensalt(4)).decode()}\n" for user in USERS)
    users.write_text("".join(lines))
    guard = RuledGuard(htpasswd=Htpasswd(users), grants=GRANTS, quotas=QUOTAS)
    with open_store(tmp_path / "guarded") as store:
        site = Guarded("", store, http)
        app = make_app(
            store, guard=guard, on_write=lambda *told: site.told.append(told), extra_routes=token_routes(guard)
        )
        with serve(app) as serving:
            site.url = serving.url
            yield site


@pytest.fixture
def image(guarded: Guarded, here: Store, build: Any, tmp_path: Path) -> Descriptor:
    """In ``team/app`` and ``public/app``, pushed while nobody had to log in."""
    made: Descriptor = build.image("app")
    with serve(make_app(guarded.store)) as open_to_all:
        client = RegistryClient(guarded.http, open_to_all.registry)
        for repository in ("team/app", "public/app"):
            push_image(client, repository, ["1"], here.blobs, made)
    return made


def code(body: bytes) -> str:
    return str(json.loads(body)["errors"][0]["code"])


READS: tuple[Callable[[str, Descriptor, Digest], tuple[str, str]], ...] = (
    lambda name, image, layer: ("GET", f"/v2/{name}/manifests/1"),
    lambda name, image, layer: ("HEAD", f"/v2/{name}/manifests/1"),
    lambda name, image, layer: ("GET", f"/v2/{name}/manifests/{image.digest}"),
    lambda name, image, layer: ("GET", f"/v2/{name}/blobs/{layer}"),
    lambda name, image, layer: ("HEAD", f"/v2/{name}/blobs/{layer}"),
    lambda name, image, layer: ("GET", f"/v2/{name}/tags/list"),
    lambda name, image, layer: ("GET", f"/v2/{name}/referrers/{image.digest}"),
)
WRITES: tuple[Callable[[str, Descriptor, Digest], tuple[str, str]], ...] = (
    lambda name, image, layer: ("POST", f"/v2/{name}/blobs/uploads/"),
    lambda name, image, layer: ("POST", f"/v2/{name}/blobs/uploads/?mount={layer}&from=public/app"),
    lambda name, image, layer: ("POST", f"/v2/{name}/blobs/uploads/?digest={layer}"),
    lambda name, image, layer: ("GET", f"/v2/{name}/blobs/uploads/11111111-1111-1111-1111-111111111111"),
    lambda name, image, layer: ("PATCH", f"/v2/{name}/blobs/uploads/11111111-1111-1111-1111-111111111111"),
    lambda name, image, layer: ("PUT", f"/v2/{name}/blobs/uploads/11111111-1111-1111-1111-111111111111"),
    lambda name, image, layer: ("DELETE", f"/v2/{name}/blobs/uploads/11111111-1111-1111-1111-111111111111"),
    lambda name, image, layer: ("PUT", f"/v2/{name}/manifests/1"),
    lambda name, image, layer: ("PUT", f"/v2/{name}/manifests/{image.digest}?tag=2"),
    lambda name, image, layer: ("DELETE", f"/v2/{name}/manifests/1"),
    lambda name, image, layer: ("DELETE", f"/v2/{name}/manifests/{image.digest}"),
    lambda name, image, layer: ("DELETE", f"/v2/{name}/blobs/{layer}"),
)


def test_every_endpoint_asks_whether_one_may(guarded: Guarded, here: Store, image: Descriptor) -> None:
    layer = load_manifest(here.blobs, image).blobs[1].digest  # type: ignore[union-attr]
    for user in ("alice", "bob"):  # so that the answers below are in memory, where they can be
        assert guarded.ask(user, "GET", "/v2/team/app/manifests/1")[0] == 200
    for _ in range(2):
        for make in READS:
            method, path = make("team/app", image, layer)
            assert guarded.ask("bob", method, path)[0] == 200, path
            assert guarded.ask("", *make("public/app", image, layer))[0] == 200
            refused(guarded.ask("carol", method, path), 403, method)
            status, headers, body = guarded.ask("", method, path)
            refused((status, headers, body), 401, method)
            assert 'scope="repository:team/app:pull"' in headers["www-authenticate"]
    for make in WRITES:
        method, path = make("team/app", image, layer)
        refused(guarded.ask("bob", method, path, b""), 403, method)
        refused(guarded.ask("", method, path, b""), 401, method)
        refused(guarded.ask("", *make("public/app", image, layer), b""), 401, method)
    assert guarded.told == []
    assert guarded.ask("alice", "GET", "/v2/team/app/manifests/1")[0] == 200


def refused(answer: Answer, status: int, method: str) -> None:
    found, headers, body = answer
    assert found == status
    assert ("www-authenticate" in headers) == (status == 401)
    if method != "HEAD":
        assert code(body) == {401: "UNAUTHORIZED", 403: "DENIED"}[status]


def test_one_learns_at_the_version_check_how_to_log_in(guarded: Guarded) -> None:
    status, headers, _ = guarded.ask("", "GET", "/v2/")
    assert status == 401
    assert headers["www-authenticate"] == f'Bearer realm="{guarded.url}/token",service="sallyport"'
    assert headers["docker-distribution-api-version"] == "registry/2.0"
    assert guarded.ask("carol", "GET", "/v2/")[0] == 200
    wrong = "Basic " + base64.b64encode(b"carol:wrong").decode()
    with guarded.http.request("GET", f"{guarded.url}/v2/", headers={"Authorization": wrong}) as response:
        assert response.status == 401


def test_a_token_stands_for_a_login(guarded: Guarded, image: Descriptor) -> None:
    del image
    status, _, body = guarded.ask("bob", "GET", "/token?service=sallyport&scope=repository:team/app:pull")
    assert status == 200
    bearer = f"Bearer {json.loads(body)['token']}"
    for _ in range(2):
        assert guarded.ask("", "GET", "/v2/team/app/manifests/1", authorization=bearer)[0] == 200
    assert guarded.ask("", "PUT", "/v2/team/app/manifests/1", b"{}", authorization=bearer)[0] == 403


def test_one_sees_what_one_may_pull(guarded: Guarded, image: Descriptor) -> None:
    del image

    def catalog(user: str, query: str = "") -> Any:
        return json.loads(guarded.ask(user, "GET", f"/v2/_catalog{query}")[2])["repositories"]

    assert catalog("alice") == ["public/app", "team/app"]
    assert catalog("bob", "?n=1") == ["public/app"]
    assert catalog("carol") == ["public/app"]
    _, headers, _ = guarded.ask("carol", "GET", "/v2/_catalog?n=1")
    assert "link" not in headers  # nothing that is not shown counts as a further page


def test_a_mount_needs_both_sides(guarded: Guarded, here: Store, image: Descriptor) -> None:
    layer = load_manifest(here.blobs, image).blobs[1].digest  # type: ignore[union-attr]
    guarded.store.state.hold("secret/app", image)
    path = f"/v2/bob/app/blobs/uploads/?mount={layer}&from="
    assert guarded.ask("bob", "POST", f"{path}team/app", b"")[0] == 201
    assert guarded.ask("bob", "DELETE", f"/v2/bob/app/blobs/{layer}")[0] == 403
    # From where he may not pull, the blob is as unknown as one that is nowhere: he sends it.
    for source in ("secret/app", "secret/none"):
        status, headers, _ = guarded.ask(
            "bob", "POST", f"/v2/bob/other/blobs/uploads/?mount={layer}&from={source}", b""
        )
        assert status == 202
        assert headers["location"].startswith("/v2/bob/other/blobs/uploads/")
    assert guarded.ask("bob", "GET", f"/v2/bob/other/blobs/{layer}")[0] == 404


def test_a_quota_is_checked_before_the_bytes_come(guarded: Guarded, here: Store, build: Any) -> None:
    big = bytes(20_001)
    for where, body in ((f"?digest={Digest.of(big)}", big), ("", None)):
        status, headers, answer = guarded.ask("bob", "POST", f"/v2/bob/small/blobs/uploads/{where}", body)
        if body is None:
            assert status == 202
            status, _, answer = guarded.ask("bob", "PATCH", guarded.url + headers["location"], big)
            gone = guarded.ask("bob", "GET", guarded.url + headers["location"])
            assert (gone[0], code(gone[2])) == (404, "BLOB_UPLOAD_UNKNOWN")
        assert (status, code(answer)) == (403, "DENIED")
        assert b"quota exceeded" in answer
    client = _Client(guarded, "bob")
    first, second = (load_manifest(here.blobs, build.image(name, size=6000)) for name in ("one", "two"))
    assert client.push("bob/small", "1", here, first) == [201, 201, 201, 201]
    # The second image: its first layer still fits beside what is there; the whole does not.
    assert client.push("bob/small", "2", here, second)[-1] in (400, 403)
    assert client.push("bob/small", "3", here, first) == [201, 201, 201, 201]
    assert client.push("bob/large", "2", here, second) == [201, 201, 201, 201]


@dataclass
class _Client:
    guarded: Guarded
    user: str

    def push(self, repository: str, tag: str, here: Store, manifest: Any) -> list[int]:
        said = []
        for blob in manifest.blobs:
            data = b"".join(here.blobs.chunks(blob.digest))
            path = f"/v2/{repository}/blobs/uploads/?digest={blob.digest}"
            said.append(self.guarded.ask(self.user, "POST", path, data)[0])
        path, kind = f"/v2/{repository}/manifests/{tag}", media_types.OCI_MANIFEST
        return [*said, self.guarded.ask(self.user, "PUT", path, manifest.raw, content_type=kind)[0]]


def test_every_change_is_told_with_who_made_it(guarded: Guarded, here: Store, build: Any) -> None:
    old, new = (load_manifest(here.blobs, build.image(name, layers=1)) for name in ("old", "new"))
    client = _Client(guarded, "alice")
    client.push("team/app", "1", here, old)
    config, layer = (blob.digest for blob in old.blobs)  # type: ignore[union-attr]
    who = "user:alice"
    assert guarded.told == [
        (who, "uploaded", "team/app", f"team/app@{config}", {}),
        (who, "uploaded", "team/app", f"team/app@{layer}", {}),
        (who, "pushed", "team/app", f"team/app@{old.digest}", {}),
        (who, "tagged", "team/app", f"team/app:1@{old.digest}", {}),
    ]
    guarded.told.clear()
    client.push("team/app", "1", here, new)
    assert guarded.told[-1] == (
        who, "tagged", "team/app", f"team/app:1@{new.digest}", {"before": str(old.digest)},
    )  # fmt: skip
    guarded.told.clear()
    guarded.ask("alice", "POST", f"/v2/team/b/blobs/uploads/?mount={layer}&from=team/app", b"")
    guarded.ask("alice", "DELETE", "/v2/team/app/manifests/1")
    guarded.ask("alice", "DELETE", f"/v2/team/app/manifests/{new.digest}")
    guarded.ask("alice", "DELETE", f"/v2/team/b/blobs/{layer}")
    assert [told[1:] for told in guarded.told] == [
        ("mounted", "team/b", f"team/b@{layer}", {"from": "team/app"}),
        ("deleted", "team/app", "team/app:1", {}),
        ("deleted", "team/app", f"team/app@{new.digest}", {}),
        ("deleted", "team/b", f"team/b@{layer}", {}),
    ]
    guarded.told.clear()
    for method, path in (("DELETE", "/v2/team/app/manifests/none"), ("PUT", "/v2/team/app/manifests/1")):
        assert guarded.ask("alice", method, path, b"{")[0] >= 400
    assert guarded.told == []
