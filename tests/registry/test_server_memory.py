"""What the server answers from memory, and what it looks at again before it does."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sallyport.oci import load_manifest
from sallyport.registry import push_image
from sallyport.store import open_store


def test_what_is_remembered_is_forgotten_when_anybody_writes(ask: Any, site: Any, here: Any, build: Any) -> None:
    old, new = build.image("old"), build.image("new")
    push_image(site.client, "app", ["1"], here.blobs, old)
    push_image(site.client, "app", ["2"], here.blobs, new)
    for _ in range(2):  # the second answer comes from memory
        status, headers, body = ask("GET", "/v2/app/manifests/1")
        assert (status, headers["docker-content-digest"]) == (200, str(old.digest))
        assert body == load_manifest(here.blobs, old).raw
        assert ask("HEAD", "/v2/app/manifests/1")[1]["content-length"] == str(len(body))
    assert ask("GET", "/v2/app/manifests/1", if_none_match=headers["etag"])[0] == 304
    # Another process moves the tag.
    with open_store(site.store.root) as elsewhere:
        elsewhere.state.set_tag("app", "1", new)
    assert ask("GET", "/v2/app/manifests/1")[1]["docker-content-digest"] == str(new.digest)
    assert ask("GET", f"/v2/app/manifests/{old.digest}")[0] == 200
    assert ask("DELETE", f"/v2/app/manifests/{old.digest}")[0] == 202
    assert ask("GET", f"/v2/app/manifests/{old.digest}")[0] == 404


def test_a_blob_from_memory_is_shown_only_while_it_may_be(ask: Any, site: Any, here: Any, build: Any) -> None:
    image = build.image("app")
    push_image(site.client, "app", ["1"], here.blobs, image)
    manifest: Any = load_manifest(here.blobs, image)
    digest = manifest.layers[0].digest
    whole = b"".join(here.blobs.chunks(digest))
    for _ in range(2):
        status, headers, body = ask("GET", f"/v2/app/blobs/{digest}")
        assert (status, body, headers["content-type"]) == (200, whole, "application/octet-stream")
    assert ask("GET", f"/v2/other/blobs/{digest}")[0] == 404
    assert ask("GET", f"/v2/app/blobs/{digest}", range="bytes=3-5")[2] == whole[3:6]
    # Garbage collection, in another process, takes the bytes and writes nothing to the state.
    site.store.blobs.path(digest).unlink()
    assert ask("GET", f"/v2/app/blobs/{digest}")[0] == 404


def test_a_manifest_that_is_known_comes_from_memory_as_such(ask: Any, site: Any, here: Any, build: Any) -> None:
    image = build.image("app")
    push_image(site.client, "app", ["1"], here.blobs, image)
    etag = f'"{image.digest}"'
    for _ in range(2):  # once asked of the store, once from memory
        status, headers, body = ask("GET", "/v2/app/manifests/1", if_none_match=f'"other", {etag}')
        assert (status, headers["docker-content-digest"], headers["etag"]) == (304, str(image.digest), etag)
        assert body == b""
        assert ask("GET", "/v2/app/manifests/1", if_none_match='"other"')[0] == 200


def test_a_blob_that_is_damaged_on_the_disk_is_not_sent(
    ask: Any, site: Any, here: Any, build: Any, caplog: pytest.LogCaptureFixture
) -> None:
    image = build.image("app")
    push_image(site.client, "app", ["1"], here.blobs, image)
    manifest: Any = load_manifest(here.blobs, image)
    early, late = (site.store.blobs.path(layer.digest) for layer in manifest.layers)
    early.write_bytes(early.read_bytes()[:-1] + b"?")
    for headers in ({}, {"range": "bytes=0-9"}):
        status, _, body = ask("GET", f"/v2/app/blobs/{manifest.layers[0].digest}", **headers)
        assert (status, json.loads(body)["errors"][0]["code"]) == (500, "UNKNOWN")
    assert ask("HEAD", f"/v2/app/blobs/{manifest.layers[0].digest}")[0] == 500
    # One that is remembered is looked at again when its file was written to.
    url = f"/v2/app/blobs/{manifest.layers[1].digest}"
    whole = late.read_bytes()
    assert [ask("GET", url)[2] for _ in range(2)] == [whole, whole]
    late.write_bytes(b"?" + whole[1:])
    assert ask("GET", url)[0] == 500
    late.write_bytes(whole)
    assert ask("GET", url)[2] == whole
    assert "request_failed" in caplog.text
