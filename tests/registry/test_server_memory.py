"""What the server answers from memory, and what it looks at again before it does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from sallyport.errors import DigestMismatchError, StorageError
from sallyport.oci import Digest, load_manifest
from sallyport.registry import push_image
from sallyport.registry.hot import Hot
from sallyport.registry.proven import Proven, stamp
from sallyport.store import open_store
from sallyport.store.watch import Watch


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


def test_memory_has_a_bound(site: Any, build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sallyport.registry.hot.MANIFEST_BYTES", 100)
    monkeypatch.setattr("sallyport.registry.hot.NAMES", 3)
    hot = Hot(site.store)
    image = build.image("app")

    def kept(size: int, names: str) -> str:
        for name in names:
            hot.keep_manifest(hot.version(), "app", name, image, bytes(size))
        return "".join(name for name in "abcdefgh" if hot.manifest("app", name))

    assert kept(40, "ab") == "ab"
    assert kept(40, "c") == "c"
    assert kept(1, "defgh") == "fgh"
    before = hot.version()
    site.store.state.set_tag("app", "1", image)
    assert kept(1, "a") == "a"
    hot.keep_manifest(before, "app", "b", image, b"read before somebody wrote")
    assert hot.manifest("app", "b") is None


def test_blobs_are_proven_once_and_giants_left_to_their_readers(
    site: Any, here: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sallyport.registry.proven.LARGEST", 10)
    read: list[Digest] = []
    chunks = here.blobs.chunks

    def counted(digest: Digest) -> Iterator[bytes]:
        read.append(digest)
        yield from chunks(digest)

    monkeypatch.setattr(here.blobs, "chunks", counted)
    small, giant = Digest.of(b"small"), Digest.of(bytes(11))
    here.blobs.put(small, 5, (b"small",))
    here.blobs.put(giant, 11, (bytes(11),))
    proven = Proven(here.blobs)
    for _ in range(2):
        assert proven.check(small) == stamp(here.blobs.path(small))
        assert proven.check(giant) == stamp(here.blobs.path(giant))
    assert read == [small]
    here.blobs.path(small).write_bytes(b"smell")
    for _ in range(2):
        with pytest.raises(DigestMismatchError):
            proven.check(small)
    assert proven.check(Digest.of(b"nothing")) is None


def test_a_state_that_cannot_be_read_is_said_to_the_operator_only(
    ask: Any, site: Any, here: Any, build: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    push_image(site.client, "app", ["1"], here.blobs, build.image("app"))
    assert ask("GET", "/v2/app/manifests/1")[0] == 200

    def fail(self: Watch) -> int:
        raise StorageError("cannot watch /a/secret/place", "")

    monkeypatch.setattr(Watch, "version", fail)
    status, _, body = ask("GET", "/v2/app/manifests/1")
    assert (status, json.loads(body)["errors"][0]["code"]) == (500, "UNKNOWN")
    assert b"secret" not in body
    assert "secret" in caplog.text
