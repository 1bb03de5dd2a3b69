"""What our client makes of registries that are wrong, slow, strict or hostile."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sallyport.errors import (
    ConflictError,
    DeniedError,
    DigestMismatchError,
    MalformedError,
    NotFoundError,
    OversizeError,
    UnknownMediaTypeError,
    UnreachableError,
    UsageError,
)
from sallyport.oci import EMPTY_CONFIG, Digest, Index, Manifest, build_index, build_manifest, media_types, verified
from sallyport.registry import RegistryClient, is_loopback, referrers_tag

MANIFEST = build_manifest(EMPTY_CONFIG, [EMPTY_CONFIG])
DATA = b"0123456789" * 1000
BLOB = Digest.of(DATA)


@pytest.fixture
def client(odd: Any, http: Any) -> RegistryClient:
    return RegistryClient(http, odd.registry)


def serving(raw: bytes, kind: str = media_types.OCI_MANIFEST, **headers: str) -> Any:
    return lambda handler: handler.say(200, raw, Content_Type=kind, **headers)


def test_a_manifest_with_another_digest_is_refused(odd: Any, client: RegistryClient) -> None:
    odd.answer = serving(MANIFEST.raw)
    other = Digest.of(b"other")
    with pytest.raises(DigestMismatchError, match=str(other)):
        client.manifest("app", str(other))
    with pytest.raises(DigestMismatchError):
        client.manifest("app", "1", expected=other)
    odd.answer = serving(MANIFEST.raw, Docker_Content_Digest=str(other))
    with pytest.raises(DigestMismatchError):
        client.manifest("app", "1")
    with pytest.raises(DigestMismatchError):
        client.head("app", str(MANIFEST.digest))
    odd.answer = serving(MANIFEST.raw, Docker_Content_Digest=str(MANIFEST.digest))
    assert client.manifest("app", "1", expected=MANIFEST.digest) == MANIFEST


def test_an_oversize_manifest_is_not_read(odd: Any, client: RegistryClient) -> None:
    odd.answer = serving(b" " * (4 * 1024 * 1024 + 1))
    with pytest.raises(OversizeError):
        client.manifest("app", "1")
    odd.answer = serving(b"", Content_Length=str(1 << 40), Docker_Content_Digest=str(BLOB))
    with pytest.raises(OversizeError):
        client.head("app", "1")


@pytest.mark.parametrize("kind", ["text/html", "application/vnd.docker.distribution.manifest.v1+prettyjws"])
def test_a_manifest_of_an_unknown_kind_is_refused(odd: Any, client: RegistryClient, kind: str) -> None:
    odd.answer = serving(b'{"schemaVersion":2}', kind, Docker_Content_Digest=str(BLOB))
    with pytest.raises(UnknownMediaTypeError):
        client.head("app", "1")
    odd.answer = serving(b'{"schemaVersion":2}', kind)
    with pytest.raises(UnknownMediaTypeError):
        client.manifest("app", "1")


def test_a_head_without_a_digest_costs_a_get(odd: Any, client: RegistryClient) -> None:
    odd.answer = serving(MANIFEST.raw)
    found = client.head("app", "1")
    assert found is not None
    assert (found.digest, found.size, found.media_type) == (MANIFEST.digest, len(MANIFEST.raw), MANIFEST.media_type)
    assert [seen.command for seen in odd.seen] == ["HEAD", "GET"]


def test_a_truncated_blob_is_noticed(odd: Any, client: RegistryClient) -> None:
    odd.answer = lambda handler: handler.say(200, DATA[:4000], promise=len(DATA))
    with pytest.raises(UnreachableError, match="broke off"):
        [*verified(client.blob("app", BLOB), BLOB, len(DATA))]


def test_a_blob_goes_on_where_the_other_side_knows_no_ranges(odd: Any, client: RegistryClient) -> None:
    odd.answer = lambda handler: handler.say(200, DATA)
    assert b"".join(client.blob("app", BLOB, offset=9990)) == DATA[9990:]
    assert odd.seen[0].headers["Range"] == "bytes=9990-"


def test_another_part_than_asked_for_is_refused(odd: Any, client: RegistryClient) -> None:
    odd.answer = lambda handler: handler.say(206, DATA[:100], Content_Range=f"bytes 0-99/{len(DATA)}")
    with pytest.raises(MalformedError, match="another part"):
        [*client.blob("app", BLOB, offset=100)]
    odd.answer = lambda handler: handler.say(416, Content_Range=f"bytes */{len(DATA)}")
    assert [*client.blob("app", BLOB, offset=len(DATA))] == []
    with pytest.raises(DeniedError):
        [*client.blob("app", BLOB)]


def test_a_redirected_blob_does_not_take_the_secret_along(make_odd: Any, http: Any) -> None:
    from sallyport.registry import Login, OneLogin

    front, storage = make_odd(), make_odd()

    def answer(handler: Any) -> None:
        if "authorization" not in handler.headers:
            handler.say(401, WWW_Authenticate='Basic realm="x"')
        else:
            handler.say(307, Location=f"{storage.url}/bucket/blob?signature=x")

    front.answer = answer
    storage.answer = lambda handler: handler.say(200, DATA)
    client = RegistryClient(http, front.registry, credentials=OneLogin(Login("me", "secret")))
    assert b"".join(client.blob("app", BLOB)) == DATA
    assert "Authorization" not in storage.seen[0].headers


def test_a_circle_of_redirects_is_left(odd: Any, client: RegistryClient) -> None:
    odd.answer = lambda handler: handler.say(307, Location=handler.path)
    with pytest.raises(UnreachableError, match="redirects more than"):
        [*client.blob("app", BLOB)]


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (403, DeniedError, "DENIED not yours"),
        (404, NotFoundError, "is not there"),
        (412, ConflictError, "will not change"),
        (429, UnreachableError, "slow down"),
        (500, UnreachableError, "failed"),
        (503, UnreachableError, "failed"),
        (418, DeniedError, "418"),
    ],
)
def test_refusals_are_told_apart(odd: Any, client: RegistryClient, status: int, kind: Any, words: str) -> None:
    body = json.dumps({"errors": [{"code": "DENIED", "message": "not\x1b[31m yours"}]}).encode()
    odd.answer = lambda handler: handler.say(status, body.replace(b"\\u001b[31m", b""))
    with pytest.raises(kind, match=words):
        client.manifest("app", "1")


def test_a_refusal_cannot_write_to_the_terminal(odd: Any, client: RegistryClient) -> None:
    body = json.dumps({"errors": [{"code": "X\n\x1b[2J", "message": "y" * 9999}]}).encode()
    odd.answer = lambda handler: handler.say(403, body)
    with pytest.raises(DeniedError) as caught:
        client.manifest("app", "1")
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 400
    for other in (b"<html>", b"[]", b'{"errors":[]}', b'{"errors":{}}', b"x" * 100_000):
        odd.answer = lambda handler, other=other: handler.say(403, other)
        with pytest.raises(DeniedError):
            client.manifest("app", "1")


def test_a_busy_registry_is_asked_again(odd: Any, client: RegistryClient) -> None:
    def answer(handler: Any) -> None:
        if len(odd.seen) == 1:
            handler.say(429, Retry_After="1")
        else:
            handler.say(200, MANIFEST.raw, Content_Type=MANIFEST.media_type)

    odd.answer = answer
    assert client.manifest("app", "1") == MANIFEST


def test_pages_that_lead_away_or_in_a_circle_are_not_followed(odd: Any, client: RegistryClient) -> None:
    page = b'{"name":"app","tags":["a"]}'
    for link in ("<http://elsewhere.example/v2/app/tags/list?n=1>", "</v2/other/tags/list?n=1>", "<?n=1000>"):
        odd.answer = lambda handler, link=link: handler.say(200, page, Link=f'{link}; rel="next"')
        with pytest.raises(MalformedError):
            [*client.tags("app")]
    odd.answer = lambda handler: handler.say(200, page, Link='<http://elsewhere.example/>; rel="prev"')
    assert [*client.tags("app")] == ["a"]


@pytest.mark.parametrize("body", [b"[]", b'{"tags":{}}', b'{"tags":["../x"]}', b'{"tags":[1]}', b"<html>"])
def test_tags_that_are_none_are_refused(odd: Any, client: RegistryClient, body: bytes) -> None:
    odd.answer = lambda handler: handler.say(200, body)
    if body == b"[]":
        with pytest.raises(MalformedError):
            [*client.tags("app")]
        odd.answer = lambda handler: handler.say(200, b'{"tags":null}')
        assert [*client.tags("app")] == []
    else:
        with pytest.raises(MalformedError):
            [*client.tags("app")]


def test_referrers_by_tag_where_there_is_no_api(odd: Any, client: RegistryClient) -> None:
    """Push and read, on a registry that has manifests and nothing newer."""
    kept: dict[str, bytes] = {}

    def answer(handler: Any) -> None:
        name = handler.path.rpartition("/")[2]
        if "/manifests/" not in handler.path:
            handler.say(404)
        elif handler.command == "PUT":
            kept[name] = handler.body
            handler.say(201, Docker_Content_Digest=str(Digest.of(handler.body)))
        elif name in kept:
            handler.say(200, kept[name], Content_Type=json.loads(kept[name])["mediaType"])
        else:
            handler.say(404)

    odd.answer = answer
    first, second = (
        build_manifest(EMPTY_CONFIG, [], subject=MANIFEST.descriptor, artifact_type=kind, annotations={"k": kind})
        for kind in ("application/vnd.example.a", "application/vnd.example.b")
    )
    assert client.referrers("app", MANIFEST.digest) == ()
    for manifest in (first, second, first):
        client.push_manifest("app", str(manifest.digest), manifest)
    found = client.referrers("app", MANIFEST.digest)
    assert [item.digest for item in found] == [first.digest, second.digest]
    assert found[0].artifact_type == "application/vnd.example.a"
    assert found[0].annotations == {"k": "application/vnd.example.a"}
    kept[referrers_tag(MANIFEST.digest)] = MANIFEST.raw
    with pytest.raises(MalformedError, match="is not the list"):
        client.referrers("app", MANIFEST.digest)


def test_an_upload_that_breaks_goes_on_where_it_broke(odd: Any, client: RegistryClient) -> None:
    arrived = bytearray()
    cuts = iter([True, False])

    def answer(handler: Any) -> None:
        if handler.command == "POST":
            handler.say(202, Location="/v2/app/blobs/uploads/1?state=x")
        elif handler.command == "GET":
            handler.say(204, Range=f"0-{len(arrived) - 1}", Location="/v2/app/blobs/uploads/2?state=y")
        elif handler.command == "PUT" and next(cuts, False):
            arrived.extend(handler.body[:6000])
            handler.connection.close()
            handler.close_connection = True
        elif handler.command == "PATCH":
            assert handler.headers["Content-Range"] == f"6000-{len(DATA) - 1}"
            arrived.extend(handler.body)
            handler.say(202, Location="/v2/app/blobs/uploads/3?state=z")
        else:
            handler.say(201, Location="/v2/app/blobs/x")

    odd.answer = answer
    client.push_blob("app", BLOB, len(DATA), lambda: [DATA[:5000], DATA[5000:]])
    assert bytes(arrived) == DATA
    assert [seen.command for seen in odd.seen] == ["POST", "PUT", "GET", "PATCH", "PUT"]
    assert odd.seen[-1].path == f"/v2/app/blobs/uploads/3?state=z&digest={str(BLOB).replace(':', '%3A')}"


def test_an_upload_that_never_works_ends(odd: Any, client: RegistryClient) -> None:
    def answer(handler: Any) -> None:
        if handler.command == "POST":
            handler.say(202, Location="/v2/app/blobs/uploads/1")
        else:
            handler.say(500)

    odd.answer = answer
    with pytest.raises(UnreachableError):
        client.push_blob("app", BLOB, len(DATA), lambda: [DATA])
    assert sum(seen.command == "PUT" for seen in odd.seen) == 3
    odd.answer = lambda handler: handler.say(202)
    with pytest.raises(MalformedError, match="did not say where"):
        client.push_blob("app", BLOB, len(DATA), lambda: [DATA])


def test_an_upload_sent_elsewhere_goes_without_the_secret(make_odd: Any, http: Any) -> None:
    from sallyport.registry import Login, OneLogin

    front, storage = make_odd(), make_odd()

    def answer(handler: Any) -> None:
        if "authorization" not in handler.headers:
            handler.say(401, WWW_Authenticate='Basic realm="x"')
        else:
            handler.say(202, Location=f"{storage.url}/upload")

    front.answer = answer
    storage.answer = lambda handler: handler.say(201)
    client = RegistryClient(http, front.registry, credentials=OneLogin(Login("me", "secret")))
    client.push_blob("app", BLOB, len(DATA), lambda: [DATA])
    assert storage.seen[0].body == DATA
    assert "Authorization" not in storage.seen[0].headers


def test_names_that_are_none_are_not_asked_for(client: RegistryClient, http: Any, odd: Any) -> None:
    for ask in (
        lambda: client.head("../etc", "1"),
        lambda: client.head("app", "../1"),
        lambda: client.has_blob("app?x=1", BLOB),
        lambda: RegistryClient(http, "host/path"),
        lambda: RegistryClient(http, "user@host"),
    ):
        with pytest.raises(UsageError):
            ask()
    with pytest.raises(MalformedError):
        client.head("app", "sha256:short")
    assert odd.seen == []


def test_plain_http_is_for_this_machine_only(http: Any) -> None:
    assert is_loopback("127.0.0.1:5000")
    assert is_loopback("[::1]:5000")
    assert is_loopback("localhost")
    assert not is_loopback("registry.example:5000")
    assert not is_loopback("127.0.0.1.example")
    assert RegistryClient(http, "registry.example")._base == "https://registry.example/v2/"
    assert RegistryClient(http, "registry.example:80", plain_http=True)._base.startswith("http://")
    assert "/v2/" in RegistryClient(http, "docker.io")._base


def test_an_index_comes_back_as_one(odd: Any, client: RegistryClient) -> None:
    index = build_index([MANIFEST.descriptor])
    odd.answer = serving(index.raw, index.media_type)
    assert isinstance(client.manifest("app", "1"), Index)
    odd.answer = serving(MANIFEST.raw, MANIFEST.media_type)
    assert isinstance(client.manifest("app", "1"), Manifest)
