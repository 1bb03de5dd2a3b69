"""Our client and our server, over a real socket."""

from __future__ import annotations

from typing import Any

import pytest

from sallyport.errors import ConflictError, DeniedError, NotFoundError
from sallyport.oci import Digest, Index, Manifest, load_manifest, media_types, reachable
from sallyport.registry import push_image
from sallyport.store import verify_store


def test_an_image_arrives_whole_and_is_pushed_once(site: Any, here: Any, build: Any) -> None:
    index = build.index("app")
    sent = push_image(site.client, "team/app", ["1.0", "latest"], here.blobs, index)
    assert sent > 12_000
    assert site.client.head("team/app", "1.0") == index
    assert [*site.client.tags("team/app")] == ["1.0", "latest"]
    assert all(site.store.blobs.has(item.digest) for item in reachable(here.blobs, index))
    assert verify_store(site.store) == ()

    site.counted.take()
    assert push_image(site.client, "team/app", ["1.0"], here.blobs, index) == 0
    assert all(line.startswith("HEAD ") for line in site.counted.take())


def test_a_pulled_blob_is_the_pushed_one_from_any_offset(site: Any, here: Any, build: Any) -> None:
    image = build.image("app", layers=1, size=2_500_000)
    push_image(site.client, "app", ["1"], here.blobs, image)
    manifest = site.client.manifest("app", "1", expected=image.digest)
    assert isinstance(manifest, Manifest)
    layer = manifest.layers[0]
    data = b"".join(here.blobs.chunks(layer.digest))
    for offset in (0, 1, 1_000_000, layer.size - 1, layer.size):
        assert b"".join(site.client.blob("app", layer.digest, offset=offset)) == data[offset:]


def test_what_is_not_there_is_said_so(site: Any) -> None:
    nothing = Digest.of(b"nothing")
    assert site.client.head("no/such", "tag") is None
    assert not site.client.has_blob("no/such", nothing)
    assert site.client.referrers("no/such", nothing) == ()
    for ask in (
        lambda: site.client.manifest("no/such", "tag"),
        lambda: [*site.client.blob("no/such", nothing)],
        lambda: [*site.client.tags("no/such")],
    ):
        with pytest.raises(NotFoundError, match="no/such"):
            ask()


def test_a_manifest_without_its_blobs_is_refused(site: Any, here: Any, build: Any) -> None:
    manifest = load_manifest(here.blobs, build.image("app"))
    with pytest.raises(DeniedError, match="MANIFEST_BLOB_UNKNOWN"):
        site.client.push_manifest("app", "1", manifest)
    assert site.client.head("app", "1") is None


def test_an_index_without_its_images_is_refused(site: Any, here: Any, build: Any) -> None:
    index = load_manifest(here.blobs, build.index("app"))
    with pytest.raises(DeniedError, match="MANIFEST_BLOB_UNKNOWN"):
        site.client.push_manifest("app", "1", index)


def test_a_released_tag_never_moves(site: Any, here: Any, build: Any) -> None:
    first, second = build.image("first"), build.image("second")
    push_image(site.client, "app", ["1.0-20260711.1"], here.blobs, first)
    push_image(site.client, "app", ["1.0-20260711.1"], here.blobs, first)
    with pytest.raises(ConflictError, match="412"):
        push_image(site.client, "app", ["1.0-20260711.1"], here.blobs, second)
    with pytest.raises(ConflictError):
        site.client.delete_manifest("app", "1.0-20260711.1")
    with pytest.raises(ConflictError):
        site.client.delete_manifest("app", str(first.digest))
    assert site.client.head("app", "1.0-20260711.1").digest == first.digest
    push_image(site.client, "app", ["1.0"], here.blobs, first)
    push_image(site.client, "app", ["1.0"], here.blobs, second)
    assert site.client.head("app", "1.0").digest == second.digest


def test_a_blob_of_one_repository_is_no_secret_door_to_another(site: Any, here: Any, build: Any) -> None:
    image = build.image("app")
    push_image(site.client, "secret/app", ["1"], here.blobs, image)
    manifest = load_manifest(here.blobs, image)
    assert isinstance(manifest, Manifest)
    layer = manifest.layers[0].digest
    assert site.client.has_blob("secret/app", layer)
    assert not site.client.has_blob("other/app", layer)
    assert site.client.head("other/app", str(image.digest)) is None
    assert not site.client.mount("third/app", layer, "other/app")
    assert site.client.mount("other/app", layer, "secret/app")
    assert site.client.has_blob("other/app", layer)


def test_images_that_other_rooms_hold_are_served(site: Any, build: Any) -> None:
    """Mirror, receive and release write to the state, not through the server."""
    other = type(build)(site.store.blobs)
    image = other.image("held")
    site.store.state.hold("team/held", image)
    site.store.state.set_tag("team/held", "1", image)
    manifest = site.client.manifest("team/held", "1")
    assert all(site.client.has_blob("team/held", blob.digest) for blob in manifest.blobs)
    assert all(site.client.has_blob("team/held", blob.digest) for blob in manifest.blobs)
    assert site.client.delete_manifest("team/held", str(image.digest))
    assert not any(site.client.has_blob("team/held", blob.digest) for blob in manifest.blobs)
    assert site.client.head("team/held", "1") is None
    assert not site.client.delete_manifest("team/held", str(image.digest))


def test_mounting_spares_the_bytes(site: Any, here: Any, build: Any) -> None:
    image = build.image("app", size=500_000)
    push_image(site.client, "first/app", ["1"], here.blobs, image)
    sent = push_image(site.client, "second/app", ["1"], here.blobs, image, mount_from="first/app")
    assert sent == image.size
    assert site.client.head("second/app", "1").digest == image.digest


def test_referrers_are_listed_with_type_and_annotations(site: Any, here: Any, build: Any) -> None:
    image = build.image("app")
    bill = build.about(image, "application/vnd.example.bill", "bill", annotations={"org.example.key": "<b>value</b>"})
    signature = build.about(image, "application/vnd.example.signature", "signed")
    # A referrer may come before what it is about.
    for item in (bill, signature):
        push_image(site.client, "app", [], here.blobs, item)
    push_image(site.client, "app", ["1"], here.blobs, image)
    found = {item.digest: item for item in site.client.referrers("app", image.digest)}
    assert set(found) == {bill.digest, signature.digest}
    assert found[bill.digest].artifact_type == "application/vnd.example.bill"
    assert found[bill.digest].annotations == {"org.example.key": "<b>value</b>"}
    assert not [line for line in site.counted.take() if "sha256-" in line], "the API needs no tag schema"


def test_many_tags_come_page_by_page(site: Any, here: Any, build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    image = build.image("app")
    push_image(site.client, "app", ["x"], here.blobs, image)
    site.client.delete_manifest("app", "x")
    assert [*site.client.tags("app")] == []
    wanted = sorted(f"v{number}" for number in range(25))
    for name in wanted:
        site.store.state.set_tag("app", name, image)
    monkeypatch.setattr("sallyport.registry.client._PAGE", 10)
    site.counted.take()
    assert [*site.client.tags("app")] == wanted
    assert len(site.counted.take()) == 3


def test_a_docker_image_keeps_its_family(site: Any, here: Any, build: Any) -> None:
    from sallyport.oci import build_manifest

    config = build.blob(b'{"os":"linux","architecture":"amd64"}', media_types.DOCKER_CONFIG)
    layer = build.blob(b"layer", media_types.DOCKER_LAYER_GZIP)
    manifest = build_manifest(config, [layer], media_type=media_types.DOCKER_MANIFEST)
    image = build.blob(manifest.raw, manifest.media_type)
    push_image(site.client, "docker/app", ["1"], here.blobs, image)
    assert site.client.head("docker/app", "1") == image
    assert site.client.manifest("docker/app", "1").raw == manifest.raw


def test_an_index_may_be_thin_where_the_registry_allows_it(here: Any, build: Any, http: Any, tmp_path: Any) -> None:
    from sallyport.registry import RegistryClient, make_app, serve
    from sallyport.store import open_store

    index = load_manifest(here.blobs, build.index("app"))
    assert isinstance(index, Index)
    with open_store(tmp_path / "thin") as store, serve(make_app(store, sparse=True)) as serving:
        client = RegistryClient(http, serving.registry)
        client.push_manifest("app", "1", index)
        found = client.head("app", "1")
        assert found is not None
        assert found.digest == index.digest
        client.ping()
