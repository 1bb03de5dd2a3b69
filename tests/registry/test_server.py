"""The server to the letter. Source: OCI distribution-spec 1.1."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sallyport.oci import Digest, load_manifest, media_types, render_json
from sallyport.registry import make_app, push_image, serve
from sallyport.store import open_store

DATA = bytes(range(256)) * 40


def code(body: bytes) -> str:
    errors = json.loads(body)["errors"]
    assert all(set(error) == {"code", "message", "detail"} for error in errors)
    return str(errors[0]["code"])


def test_the_version_check_answers(ask: Any) -> None:
    for path in ("/v2/", "/v2"):
        status, headers, body = ask("GET", path)
        assert (status, body, headers["content-type"]) == (200, b"{}", "application/json")
        assert headers["docker-distribution-api-version"] == "registry/2.0"
    status, headers, body = ask("HEAD", "/v2/")
    assert (status, body, headers["content-length"]) == (200, b"", "2")


def test_a_blob_in_one_piece_after_post(ask: Any) -> None:
    digest = Digest.of(DATA)
    status, headers, _ = ask("POST", "/v2/app/blobs/uploads/", b"")
    assert status == 202
    place = headers["location"]
    assert place.startswith("/v2/app/blobs/uploads/")
    assert headers["range"] == "0-0"
    status, headers, _ = ask("PUT", f"{place}?digest={digest}", DATA)
    assert (status, headers["location"]) == (201, f"/v2/app/blobs/{digest}")
    assert headers["docker-content-digest"] == str(digest)
    status, headers, body = ask("GET", headers["location"])
    assert (status, body, headers["docker-content-digest"]) == (200, DATA, str(digest))
    assert ask("GET", place)[0] == 404, "the session has ended"


def test_a_blob_in_one_post(ask: Any) -> None:
    digest = Digest.of(DATA)
    status, headers, _ = ask("POST", f"/v2/app/blobs/uploads/?digest={digest}", DATA)
    assert (status, headers["location"]) == (201, f"/v2/app/blobs/{digest}")
    status, headers, body = ask("HEAD", f"/v2/app/blobs/{digest}")
    assert (status, body, headers["content-length"]) == (200, b"", str(len(DATA)))


def test_a_blob_in_chunks_that_must_come_in_order(ask: Any) -> None:
    digest = Digest.of(DATA)
    place = ask("POST", "/v2/app/blobs/uploads/", b"")[1]["location"]
    status, headers, _ = ask("PATCH", place, DATA[:4000], Content_Range="0-3999")
    assert (status, headers["range"]) == (202, "0-3999")
    for wrong in ("0-3999", "5000-8999", "4001-8000", "x", "4000-"):
        status, headers, body = ask("PATCH", place, DATA[4000:8000], Content_Range=wrong)
        assert (status, headers["range"], headers["location"]) == (416, "0-3999", place)
        assert code(body) == "BLOB_UPLOAD_INVALID"
    status, _, body = ask("PATCH", place, DATA[4000:8000], Content_Range="4000-9999")
    assert (status, code(body)) == (400, "SIZE_INVALID")
    status, headers, _ = ask("GET", place)
    assert (status, headers["range"], headers["location"]) == (204, "0-3999", place)
    assert ask("PATCH", place, DATA[4000:8000])[1]["range"] == "0-7999"
    last = f"8000-{len(DATA) - 1}"
    status, headers, _ = ask("PUT", f"{place}?digest={digest}", DATA[8000:], Content_Range=last)
    assert status == 201
    assert ask("GET", f"/v2/app/blobs/{digest}")[2] == DATA


def test_an_empty_blob(ask: Any) -> None:
    empty = Digest.of(b"")
    place = ask("POST", "/v2/app/blobs/uploads/", b"")[1]["location"]
    assert ask("PUT", f"{place}?digest={empty}", b"")[0] == 201
    status, headers, body = ask("GET", f"/v2/app/blobs/{empty}")
    assert (status, body, headers["content-length"]) == (200, b"", "0")
    assert ask("GET", f"/v2/app/blobs/{empty}", Range="bytes=0-")[0] == 416


def test_a_blob_by_its_sha512(ask: Any) -> None:
    import hashlib

    digest = f"sha512:{hashlib.sha512(DATA).hexdigest()}"
    place = ask("POST", "/v2/app/blobs/uploads/", b"")[1]["location"]
    assert ask("PUT", f"{place}?digest={digest}", DATA)[0] == 201
    assert ask("GET", f"/v2/app/blobs/{digest}")[2] == DATA


def test_other_bytes_than_promised_are_not_kept(ask: Any, site: Any) -> None:
    promised = Digest.of(b"something else")
    place = ask("POST", "/v2/app/blobs/uploads/", b"")[1]["location"]
    status, _, body = ask("PUT", f"{place}?digest={promised}", DATA)
    assert (status, code(body)) == (400, "DIGEST_INVALID")
    assert not site.store.blobs.has(promised)
    assert not site.store.blobs.has(Digest.of(DATA))
    assert [*(site.store.root / "partial").iterdir()] == []
    assert ask("GET", place)[0] == 404
    place = ask("POST", "/v2/app/blobs/uploads/", b"")[1]["location"]
    for query in ("", "?digest=", "?digest=sha256:short", "?digest=md5:d41d8cd98f00b204e9800998ecf8427e"):
        status, _, body = ask("PUT", f"{place}{query}", DATA)
        assert (status, code(body)) == (400, "DIGEST_INVALID")


def test_a_session_belongs_to_its_repository(ask: Any) -> None:
    place = ask("POST", "/v2/app/blobs/uploads/", b"")[1]["location"]
    other = place.replace("/app/", "/other/")
    for method in ("GET", "PATCH", "DELETE"):
        status, _, body = ask(method, other, None if method == "GET" else b"x")
        assert (status, code(body) if body else "") == (404, "BLOB_UPLOAD_UNKNOWN")
    assert ask("DELETE", place)[0] == 204
    assert ask("GET", place)[0] == 404
    for session in ("..%2f..%2fstate.db", "....", "x", "00000000-0000-0000-0000-000000000000"):
        assert ask("PATCH", f"/v2/app/blobs/uploads/{session}", b"x")[0] in (400, 404)


def test_an_upload_outlives_the_server(site: Any, http: Any, ask: Any) -> None:
    from sallyport.registry import make_app, serve

    place = ask("POST", "/v2/app/blobs/uploads/", b"")[1]["location"]
    ask("PATCH", place, DATA[:5000])
    site.serving.stop()
    with serve(make_app(site.store)) as again:
        status, headers, _ = ask("GET", again.url + place)
        assert (status, headers["range"]) == (204, "0-4999")
        assert ask("PUT", f"{again.url}{place}?digest={Digest.of(DATA)}", DATA[5000:])[0] == 201


def test_mounting(ask: Any) -> None:
    digest = Digest.of(DATA)
    ask("POST", f"/v2/first/blobs/uploads/?digest={digest}", DATA)
    status, headers, _ = ask("POST", f"/v2/second/blobs/uploads/?mount={digest}&from=first", b"")
    assert (status, headers["location"]) == (201, f"/v2/second/blobs/{digest}")
    for query in (f"mount={digest}&from=nowhere", f"mount={digest}", f"mount={digest}&from=../x"):
        status, headers, _ = ask("POST", f"/v2/third/blobs/uploads/?{query}", b"")
        assert status == 202
        assert "/v2/third/blobs/uploads/" in headers["location"]


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ("bytes=0-9", slice(0, 10)),
        ("bytes=100-", slice(100, None)),
        ("bytes=-5", slice(-5, None)),
        ("bytes=-99999999", slice(0, None)),
        ("bytes=10000-99999999", slice(10000, None)),
    ],
)
def test_parts_of_a_blob(ask: Any, asked: str, part: slice) -> None:
    digest = Digest.of(DATA)
    ask("POST", f"/v2/app/blobs/uploads/?digest={digest}", DATA)
    status, headers, body = ask("GET", f"/v2/app/blobs/{digest}", Range=asked)
    assert (status, body) == (206, DATA[part])
    start = part.indices(len(DATA))[0]
    assert headers["content-range"] == f"bytes {start}-{start + len(body) - 1}/{len(DATA)}"
    assert headers["content-length"] == str(len(body))


def test_ranges_that_cannot_be_had_or_understood(ask: Any) -> None:
    digest = Digest.of(DATA)
    ask("POST", f"/v2/app/blobs/uploads/?digest={digest}", DATA)
    status, headers, _ = ask("GET", f"/v2/app/blobs/{digest}", Range=f"bytes={len(DATA)}-")
    assert (status, headers["content-range"]) == (416, f"bytes */{len(DATA)}")
    assert ask("GET", f"/v2/app/blobs/{digest}", Range="bytes=-0")[0] == 416
    for odd in ("bytes=9-1", "bytes=-", "bytes=0-1,3-4", "lines=1-2", "bytes=a-b"):
        status, _, body = ask("GET", f"/v2/app/blobs/{digest}", Range=odd)
        assert (status, body) == (200, DATA)


def test_a_manifest_is_kept_as_it_came(ask: Any, site: Any, here: Any, build: Any) -> None:
    image = build.image("app")
    push_image(site.client, "app", ["1"], here.blobs, image)
    spaced = json.dumps(json.loads(load_manifest(here.blobs, image).raw), indent=7).encode()
    digest = Digest.of(spaced)
    kind = f"{media_types.OCI_MANIFEST}; charset=utf-8"
    status, headers, _ = ask("PUT", "/v2/app/manifests/2", spaced, Content_Type=kind)
    assert (status, headers["location"]) == (201, f"/v2/app/manifests/{digest}")
    assert headers["docker-content-digest"] == str(digest)
    assert "oci-subject" not in headers
    for name in ("2", digest):
        status, headers, body = ask("GET", f"/v2/app/manifests/{name}", Accept="text/html")
        assert (status, body, headers["content-type"]) == (200, spaced, media_types.OCI_MANIFEST)
        status, headers, body = ask("HEAD", f"/v2/app/manifests/{name}")
        assert (status, body, headers["content-length"]) == (200, b"", str(len(spaced)))
        assert headers["docker-content-digest"] == str(digest)
    assert ask("GET", "/v2/app/manifests/2", If_None_Match=f'"{digest}"')[0] == 304


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", media_types.OCI_MANIFEST),
        (b"<html>", "text/html"),
        (b"[]", media_types.OCI_MANIFEST),
        (b'{"schemaVersion":1}', media_types.OCI_MANIFEST),
        (b'{"schemaVersion":2,"schemaVersion":2}', media_types.OCI_MANIFEST),
        (
            b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}',
            media_types.OCI_MANIFEST,
        ),
        (b'{"schemaVersion":2,"config":{},"layers":[]}', media_types.OCI_MANIFEST),
        (b"[" * 100_000, media_types.OCI_MANIFEST),
    ],
)
def test_a_broken_manifest_is_refused(ask: Any, body: bytes, kind: str) -> None:
    status, _, answer = ask("PUT", "/v2/app/manifests/1", body, Content_Type=kind)
    assert (status, code(answer)) == (400, "MANIFEST_INVALID")


def test_a_manifest_has_a_limit(ask: Any) -> None:
    status, _, body = ask("PUT", "/v2/app/manifests/1", b" " * (4 * 1024 * 1024 + 1))
    assert (status, code(body)) == (413, "MANIFEST_INVALID")


def test_every_missing_blob_is_named(ask: Any, here: Any, build: Any) -> None:
    manifest: Any = load_manifest(here.blobs, build.image("app", layers=3))
    status, _, body = ask("PUT", "/v2/app/manifests/1", manifest.raw, Content_Type=manifest.media_type)
    assert status == 400
    errors = json.loads(body)["errors"]
    assert {error["code"] for error in errors} == {"MANIFEST_BLOB_UNKNOWN"}
    assert {error["detail"]["digest"] for error in errors} == {str(blob.digest) for blob in manifest.blobs}
    status, _, body = ask("PUT", f"/v2/app/manifests/{Digest.of(b'x')}", manifest.raw, Content_Type=manifest.media_type)
    assert (status, code(body)) == (400, "DIGEST_INVALID")


def test_a_subject_is_acknowledged_before_it_is_there(ask: Any, site: Any, here: Any, build: Any) -> None:
    image = build.image("app")
    about: Any = load_manifest(here.blobs, build.about(image, "application/vnd.example.bill", "bill"))
    for blob in about.blobs:
        data = b"".join(here.blobs.chunks(blob.digest))
        ask("POST", f"/v2/app/blobs/uploads/?digest={blob.digest}", data)
    status, headers, _ = ask("PUT", f"/v2/app/manifests/{about.digest}", about.raw, Content_Type=about.media_type)
    assert (status, headers["oci-subject"]) == (201, str(image.digest))
    status, headers, body = ask("GET", f"/v2/app/referrers/{image.digest}")
    assert (status, headers["content-type"]) == (200, media_types.OCI_INDEX)
    index = json.loads(body)
    assert (index["schemaVersion"], index["mediaType"]) == (2, media_types.OCI_INDEX)
    assert [item["artifactType"] for item in index["manifests"]] == ["application/vnd.example.bill"]
    assert "oci-filters-applied" not in headers


def test_referrers_are_filtered_and_never_missing(ask: Any, site: Any, here: Any, build: Any) -> None:
    image = build.image("app")
    for kind in ("a", "b"):
        push_image(site.client, "app", [], here.blobs, build.about(image, f"application/vnd.example.{kind}", kind))
    path = f"/v2/app/referrers/{image.digest}"
    _, headers, body = ask("GET", f"{path}?artifactType=application/vnd.example.a")
    assert headers["oci-filters-applied"] == "artifactType"
    assert [item["artifactType"] for item in json.loads(body)["manifests"]] == ["application/vnd.example.a"]
    status, _, body = ask("GET", f"/v2/nothing/referrers/{image.digest}")
    assert (status, json.loads(body)["manifests"]) == (200, [])
    status, _, body = ask("GET", "/v2/app/referrers/sha256:nonsense")
    assert (status, code(body)) == (400, "DIGEST_INVALID")


def test_a_config_names_the_type_where_nothing_else_does(ask: Any, site: Any, here: Any, build: Any) -> None:
    from sallyport.oci import build_manifest

    image = build.image("app")
    config = build.blob(b"{}", "application/vnd.example.config")
    manifest = build_manifest(config, [], subject=image)
    push_image(site.client, "app", [], here.blobs, build.blob(manifest.raw, manifest.media_type))
    item = json.loads(ask("GET", f"/v2/app/referrers/{image.digest}")[2])["manifests"][0]
    assert item["artifactType"] == "application/vnd.example.config"


def test_many_referrers_come_page_by_page(
    ask: Any, site: Any, here: Any, build: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sallyport.registry.listings._REFERRERS_BYTES", 700)
    image = build.image("app")
    for number in range(5):
        push_image(site.client, "app", [], here.blobs, build.about(image, "application/vnd.example.a", str(number)))
    assert 'rel="next"' in ask("GET", f"/v2/app/referrers/{image.digest}")[1]["link"]
    assert len({item.digest for item in site.client.referrers("app", image.digest)}) == 5


def test_pages_of_tags(ask: Any, site: Any, here: Any, build: Any) -> None:
    push_image(site.client, "app", ["v3", "v1", "v2"], here.blobs, build.image("app"))
    assert json.loads(ask("GET", "/v2/app/tags/list")[2]) == {"name": "app", "tags": ["v1", "v2", "v3"]}
    _, headers, body = ask("GET", "/v2/app/tags/list?n=2")
    assert json.loads(body)["tags"] == ["v1", "v2"]
    assert headers["link"] == '</v2/app/tags/list?n=2&last=v2>; rel="next"'
    _, headers, body = ask("GET", "/v2/app/tags/list?n=2&last=v2")
    assert (json.loads(body)["tags"], "link" in headers) == (["v3"], False)
    _, headers, body = ask("GET", "/v2/app/tags/list?n=0")
    assert (json.loads(body)["tags"], "link" in headers) == ([], False)
    assert json.loads(ask("GET", "/v2/app/tags/list?last=v1")[2])["tags"] == ["v2", "v3"]
    assert ask("GET", "/v2/app/tags/list?n=-1")[0] == 400
    status, _, body = ask("GET", "/v2/nothing/tags/list")
    assert (status, code(body)) == (404, "NAME_UNKNOWN")
    assert json.loads(ask("GET", "/v2/_catalog")[2]) == {"repositories": ["app"]}


def test_deleting(ask: Any, site: Any, here: Any, build: Any) -> None:
    image = build.image("app")
    push_image(site.client, "app", ["1", "2", "3"], here.blobs, image)
    manifest: Any = load_manifest(here.blobs, image)
    layer = manifest.blobs[1].digest
    assert ask("DELETE", "/v2/app/manifests/1")[0] == 202
    assert ask("GET", "/v2/app/manifests/1")[0] == 404
    status, _, body = ask("DELETE", f"/v2/app/blobs/{layer}")
    assert (status, code(body)) == (405, "UNSUPPORTED")
    assert ask("DELETE", f"/v2/app/manifests/{image.digest}")[0] == 202
    assert {ask("GET", f"/v2/app/manifests/{name}")[0] for name in ("2", "3", image.digest)} == {404}
    assert ask("DELETE", f"/v2/app/manifests/{image.digest}")[0] == 404
    assert ask("DELETE", f"/v2/app/blobs/{layer}")[0] == 202
    assert ask("GET", f"/v2/app/blobs/{layer}")[0] == 404
    assert ask("DELETE", f"/v2/app/blobs/{layer}")[0] == 404


@pytest.mark.parametrize(
    "path",
    [
        "/v2/UPPER/tags/list",
        "/v2/..%2f..%2fetc/manifests/1",
        "/v2/a//b/tags/list",
        "/v2/%3Cscript%3E/tags/list",
        "/v2/a%00b/tags/list",
        f"/v2/{'a' * 300}/tags/list",
        "/v2/app/blobs/sha256:..%2f..%2fstate.db",
        "/v2/app/blobs/%3Cb%3E",
        f"/v2/app/blobs/sha256:{'A' * 64}",
    ],
)
def test_names_are_proven_before_they_touch_a_path(ask: Any, path: str) -> None:
    status, headers, body = ask("GET", path)
    assert status in (400, 404)
    assert headers["content-type"] == "application/json"
    assert code(body) in {"NAME_INVALID", "DIGEST_INVALID", "UNSUPPORTED"}
    assert b"<" not in body


def test_odd_tags_are_unknown_to_readers_and_invalid_to_writers(ask: Any) -> None:
    for name in (".hidden", "a" * 129, "tag%20with%20blanks", "-x"):
        status, _, body = ask("GET", f"/v2/app/manifests/{name}")
        assert (status, code(body)) == (404, "MANIFEST_UNKNOWN")
        status, _, body = ask("PUT", f"/v2/app/manifests/{name}", b"{}")
        assert (status, code(body)) == (400, "MANIFEST_INVALID")


def test_what_is_not_spoken_here(ask: Any) -> None:
    for method, path in (
        ("POST", "/v2/"),
        ("PATCH", "/v2/app/manifests/1"),
        ("PUT", "/v2/app/tags/list"),
    ):
        status, headers, body = ask(method, path, b"")
        assert (status, code(body)) == (405, "UNSUPPORTED")
        assert headers["allow"]
    assert ask("GET", "/v2/app")[0] == 404
    assert ask("GET", "/elsewhere")[0] == 404


def test_a_read_only_registry_reads(site: Any, here: Any, build: Any, ask: Any) -> None:
    from sallyport.registry import make_app, serve

    push_image(site.client, "app", ["1"], here.blobs, build.image("app"))
    with serve(make_app(site.store, writable=False)) as quiet:
        assert ask("GET", f"{quiet.url}/v2/app/manifests/1")[0] == 200
        for method, path in (("POST", "blobs/uploads/"), ("PUT", "manifests/1"), ("DELETE", "manifests/1")):
            status, _, body = ask(method, f"{quiet.url}/v2/app/{path}", b"")
            assert (status, code(body)) == (405, "UNSUPPORTED")


def test_uploads_are_bounded(tmp_path: Path) -> None:
    from sallyport.registry.replies import RefusalError
    from sallyport.registry.uploads import Uploads

    with open_store(tmp_path) as store:
        uploads = Uploads(store, most=3, largest=10)
        begun = [uploads.begin("app") for _ in range(3)]
        with pytest.raises(RefusalError) as caught:
            uploads.begin("app")
        assert (caught.value.status, caught.value.code) == (429, "TOOMANYREQUESTS")
        begun[0].touched -= 400
        uploads.begin("app")
        assert not begun[0].path.exists()
        writing = uploads.writing(begun[1])
        writing.write(b"0123456789")
        with pytest.raises(RefusalError) as caught:
            writing.write(b"x")
        assert caught.value.status == 413
        taken_over = uploads.writing(begun[1])
        with pytest.raises(RefusalError) as caught:
            writing.write(b"")
        assert caught.value.status == 409
        writing.file.close()
        taken_over.file.close()


def test_damage_on_the_disk_is_not_served_as_a_manifest(ask: Any, site: Any, here: Any, build: Any) -> None:
    image = build.image("app")
    push_image(site.client, "app", ["1"], here.blobs, image)
    path = site.store.blobs.path(image.digest)
    path.write_bytes(path.read_bytes().replace(b"schemaVersion", b"schemaversion"))
    status, _, body = ask("GET", "/v2/app/manifests/1")
    assert (status, code(body)) == (500, "UNKNOWN")
    assert b"sha256" not in body


def test_the_escaping_leaves_the_value_as_it_is() -> None:
    from sallyport.registry.replies import json_reply

    value: Any = {"a": "<script>&amp;</script>", "b": ["<", 1]}
    reply = json_reply(value)
    assert json.loads(bytes(reply.body)) == value
    assert b"<" not in bytes(reply.body)
    assert render_json(value) != reply.body


def test_one_damaged_manifest_does_not_take_the_others_along(ask: Any, site: Any, here: Any, build: Any) -> None:
    good, bad = build.image("good"), build.image("bad")
    about = [build.about(good, "application/vnd.example.bill", text) for text in ("one", "two")]
    for number, item in enumerate((good, bad, *about)):
        push_image(site.client, "app", [str(number)], here.blobs, item)
    for item in (bad, about[0]):
        site.store.blobs.path(item.digest).write_bytes(b"x")
    manifest: Any = load_manifest(here.blobs, good)
    for blob in manifest.blobs:
        site.store.state.delete_fact("registry.uploaded", f"app@{blob.digest}")
        assert ask("GET", f"/v2/app/blobs/{blob.digest}")[0] == 200
    with serve(make_app(site.store)) as started_later:  # the other one remembers what it read before the damage
        listed = json.loads(ask("GET", f"{started_later.url}/v2/app/referrers/{good.digest}")[2])["manifests"]
    assert [item["digest"] for item in listed] == [str(about[1].digest)]


class Pathless:
    """A store whose blobs are no files, as in a bucket."""

    def __init__(self, blobs: Any) -> None:
        self.blobs = blobs

    def __getattr__(self, name: str) -> Any:
        return getattr(self.blobs, name)

    def path(self, digest: Digest) -> None:
        return None


def test_a_store_without_files_is_served_too(site: Any, here: Any, build: Any, http: Any) -> None:
    from sallyport.registry import RegistryClient, make_app, serve
    from sallyport.store import Store

    store = Store(site.store.root, Pathless(site.store.blobs), site.store.state)
    with serve(make_app(store)) as serving:
        client = RegistryClient(http, serving.registry)
        image = build.image("app", layers=1, size=2_500_000)
        push_image(client, "app", ["1"], here.blobs, image)
        manifest: Any = client.manifest("app", "1")
        layer = manifest.layers[0].digest
        whole = b"".join(here.blobs.chunks(layer))
        assert b"".join(client.blob("app", layer)) == whole
        assert b"".join(client.blob("app", layer, offset=2_000_000)) == whole[2_000_000:]
