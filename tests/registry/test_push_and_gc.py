"""A push in several requests is not hurt by garbage collection between them."""

from __future__ import annotations

import http.client
import os
import time
from pathlib import Path

import pytest

from sallyport.oci import EMPTY_CONFIG, Descriptor, Digest, build_manifest, media_types
from sallyport.registry import make_app, serve
from sallyport.store import S3Store, Store, collect_garbage, open_store, verify_store

LAYER = b"a layer that took long to come" * 100


def opened(root: Path, kind: str) -> Store:
    root.mkdir()
    if kind == "directory":
        return open_store(root)
    from obstore.store import MemoryStore

    return open_store(root, blobs=S3Store(MemoryStore(), root))


def ask(registry: str, method: str, path: str, body: bytes = b"", media_type: str = "") -> tuple[int, str]:
    connection = http.client.HTTPConnection(registry, timeout=20)
    try:
        connection.request(method, path, body, {"Content-Type": media_type or "application/octet-stream"})
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.headers.get("Location", "")
    finally:
        connection.close()


def push_blob(registry: str, data: bytes) -> None:
    status, place = ask(registry, "POST", "/v2/team/app/blobs/uploads/")
    assert status == 202
    assert ask(registry, "PUT", f"{place}?digest={Digest.of(data)}", data)[0] == 201


@pytest.mark.parametrize("kind", ["directory", "objects"])
@pytest.mark.parametrize("before", ["new", "left by a push that broke off long ago"])
def test_blobs_wait_for_their_manifest(tmp_path: Path, kind: str, before: str) -> None:
    with opened(tmp_path / "store", kind) as store, serve(make_app(store)) as serving:
        if before != "new":
            store.blobs.put(Digest.of(LAYER), len(LAYER), [LAYER])
            old = time.time() - 7200
            path = store.blobs.path(Digest.of(LAYER))
            if path is not None:
                os.utime(path, (old, old))
            else:
                os.utime(store.root / "asked" / f"sha256-{Digest.of(LAYER).hex}", (old, old))
        for blob in (LAYER, b"{}"):
            push_blob(serving.registry, blob)
        collected = collect_garbage(store)
        assert collected.digests == ()
        assert collected.spared == 2

        manifest = build_manifest(EMPTY_CONFIG, [Descriptor(media_types.OCI_LAYER, len(LAYER), Digest.of(LAYER))])
        path_of = "/v2/team/app/manifests/1"
        assert ask(serving.registry, "PUT", path_of, manifest.raw, manifest.media_type)[0] == 201
        collect_garbage(store, grace_s=0)
        assert store.blobs.has(Digest.of(LAYER))
        assert verify_store(store) == ()


def test_an_upload_that_waited_long_for_its_end_is_new_when_it_ends(tmp_path: Path) -> None:
    with opened(tmp_path / "store", "directory") as store, serve(make_app(store)) as serving:
        _, place = ask(serving.registry, "POST", "/v2/team/app/blobs/uploads/")
        assert ask(serving.registry, "PATCH", place, LAYER)[0] == 202
        (partial,) = (store.root / "partial").iterdir()
        os.utime(partial, (time.time() - 7200,) * 2)
        assert ask(serving.registry, "PUT", f"{place}?digest={Digest.of(LAYER)}")[0] == 201
        assert collect_garbage(store).spared == 1
