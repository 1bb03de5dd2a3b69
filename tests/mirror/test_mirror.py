"""Upstream -> store, against a real registry on loopback."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sallyport.engine import Http, Inline
from sallyport.errors import (
    DigestMismatchError,
    MalformedError,
    NotFoundError,
    TruncatedError,
    UnreachableError,
    UsageError,
)
from sallyport.mirror import make_selector, mirror, plan_mirror
from sallyport.oci import (
    Descriptor,
    Digest,
    Index,
    Manifest,
    Platform,
    build_index,
    build_manifest,
    load_images,
    load_manifest,
    media_types,
    reachable,
)
from sallyport.registry import RegistryClient, make_app, serve
from sallyport.store import Store, collect_garbage, verify_store

AMD64, ARM64 = Platform("linux", "amd64"), Platform("linux", "arm64")


def test_an_image_for_every_platform_arrives_whole(upstream: Any, here: Store, run: Any) -> None:
    index = upstream.build.index("one")
    upstream.publish("team/app:1.0", index)
    (done,) = run("1.0", to="mirrored/app")
    assert (done.repository, done.tag, done.descriptor.digest, done.changed) == (
        "mirrored/app",
        "1.0",
        index.digest,
        True,
    )
    assert str(done.reference) == f"{upstream.registry}/team/app:1.0"
    assert done.bytes == sum(item.size for item in reachable(here.blobs, index))
    assert verify_store(here) == ()
    assert [image.config.platform for image in load_images(here.blobs, done.descriptor)] == [AMD64, ARM64]
    tag = here.state.tag("mirrored/app", "1.0")
    assert tag is not None
    assert (tag.descriptor.digest, tag.immutable) == (index.digest, False)
    assert len(here.state.manifests("mirrored/app")) == 3
    assert collect_garbage(here, grace_s=0).digests == ()


def test_nothing_new_costs_a_head_and_one_look_for_new_signatures_for_each_tag(
    upstream: Any, site: Any, run: Any
) -> None:
    tags = ["1.0", "1.1", "1.2"]
    for tag in tags:
        upstream.publish(f"team/app:{tag}", upstream.build.index(tag))
    run(*tags)
    site.counted.take()
    again = run(*tags)
    digests = sorted(str(done.descriptor.digest) for done in again)
    asked = [f"GET /v2/team/app/referrers/{digest}" for digest in digests]
    assert sorted(site.counted.take()) == [*asked, *(f"HEAD /v2/team/app/manifests/{tag}" for tag in tags)]
    assert [(done.requests, done.bytes, done.changed) for done in again] == [(2, 0, False)] * 3


def test_a_moved_tag_costs_only_what_is_new(upstream: Any, site: Any, here: Store, run: Any) -> None:
    first = upstream.build.index("one")
    upstream.publish("team/app:1.0", first)
    run("1.0")
    arm = load_manifest(upstream.store.blobs, first)
    assert isinstance(arm, Index)
    second = build_index([upstream.build.image("two"), arm.manifests[1]])
    upstream.publish("team/app:1.0", upstream.build.blob(second.raw, second.media_type))
    site.counted.take()
    (done,) = run("1.0")
    assert done.changed
    assert done.descriptor.digest == second.digest
    blobs = [line for line in site.counted.take() if line.startswith("GET /v2/team/app/blobs")]
    assert len(blobs) == 3, "a config and two layers of one platform"
    assert verify_store(here) == ()


def test_what_is_said_about_an_image_comes_along(upstream: Any, here: Store, run: Any) -> None:
    index = upstream.build.index("one")
    upstream.publish("team/app:1.0", index)
    document = load_manifest(upstream.store.blobs, index)
    assert isinstance(document, Index)
    bill = upstream.build.about(index, "application/vnd.example.bill", "bill")
    on_bill = upstream.build.about(bill, "application/vnd.example.signature", "signature of the bill")
    on_child = upstream.build.about(document.manifests[1], "application/vnd.example.bill", "bill of a platform")
    for item in (bill, on_bill, on_child):
        upstream.publish("team/app", item)
    signature = upstream.build.image("signature", layers=1)
    upstream.publish(f"team/app:sha256-{index.digest.hex}.sig", signature)
    upstream.publish(f"team/app:sha256-{document.manifests[0].digest.hex}.att", signature)
    run("1.0", to="here")
    assert [held.descriptor.digest for held in here.state.referrers("here", index.digest)] == [bill.digest]
    assert [held.descriptor.digest for held in here.state.referrers("here", bill.digest)] == [on_bill.digest]
    assert len(here.state.referrers("here", document.manifests[1].digest)) == 1
    kinds = {tag.name.rpartition(".")[2] for tag in here.state.tags("here") if tag.name.startswith("sha256-")}
    assert kinds == {"sig", "att"}
    assert here.state.referrers("here", index.digest)[0].descriptor.artifact_type == "application/vnd.example.bill"
    assert verify_store(here) == ()


def test_a_referrer_that_is_about_something_else_is_left_out(
    upstream: Any, here: Store, run: Any, clients: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = upstream.build.image("one")
    other = upstream.build.about(upstream.build.image("other"), "application/vnd.example.bill", "bill")
    upstream.publish("team/app:1.0", image)
    upstream.publish("team/app", other)
    monkeypatch.setattr(RegistryClient, "referrers", lambda *_: (other,))
    run("1.0")
    assert here.state.held("team/app", other.digest) is None


def test_one_platform_of_many(upstream: Any, site: Any, here: Store, run: Any) -> None:
    index = upstream.build.index("one", ("linux/amd64", "linux/arm64", "linux/arm/v7", "linux/s390x"))
    upstream.publish("team/app:1.0", index)
    options: dict[str, Any] = {"platforms": (ARM64, Platform("linux", "arm"))}
    (done,) = run("1.0", **options)
    assert done.descriptor.digest != index.digest
    images = load_images(here.blobs, done.descriptor)
    assert [str(image.config.platform) for image in images] == ["linux/arm64", "linux/arm"]
    thinner = load_manifest(here.blobs, done.descriptor)
    assert isinstance(thinner, Index)
    assert [str(child.platform) for child in thinner.manifests] == ["linux/arm64", "linux/arm/v7"]
    assert here.state.held("team/app", index.digest) is not None, "what upstream signed stays"
    assert verify_store(here) == ()

    site.counted.take()
    (again,) = run("1.0", **options)
    assert [line.split()[0] for line in site.counted.take()] == ["HEAD", "GET"]
    assert (again.descriptor, again.changed) == (done.descriptor, False)

    (more,) = run("1.0")
    assert more.descriptor.digest == index.digest, "without platforms it is upstream's own index again"
    with pytest.raises(NotFoundError, match="has no image for windows/amd64"):
        run("1.0", platforms=(Platform("windows", "amd64"),))


def test_all_platforms_selected_leave_the_index_as_it_is(upstream: Any, run: Any) -> None:
    index = upstream.build.index("one")
    upstream.publish("team/app:1.0", index)
    assert run("1.0", platforms=(AMD64, ARM64))[0].descriptor.digest == index.digest


def test_the_platform_of_a_lone_image_is_looked_at(upstream: Any, here: Store, run: Any) -> None:
    upstream.publish("team/app:1.0", upstream.build.image("one"))
    with pytest.raises(NotFoundError, match="is an image for linux/amd64, not for linux/arm64"):
        run("1.0", platforms=(ARM64,))
    assert run("1.0", platforms=(AMD64,))[0].changed


def test_statements_of_build_tools_follow_their_image(upstream: Any, run: Any, here: Store) -> None:
    images = [upstream.build.image("one", platform=platform) for platform in ("linux/amd64", "linux/arm64")]
    statements = [
        Descriptor(
            item.media_type,
            item.size,
            item.digest,
            Platform("unknown", "unknown"),
            annotations={"vnd.docker.reference.digest": str(image.digest)},
        )
        for image in images
        for item in [upstream.build.about(image, "application/vnd.example.provenance", str(image.digest))]
    ]
    index = build_index([*images, *statements])
    upstream.publish("team/app:1.0", upstream.build.blob(index.raw, index.media_type))
    (done,) = run("1.0", platforms=(ARM64,))
    thinner = load_manifest(here.blobs, done.descriptor)
    assert isinstance(thinner, Index)
    assert [child.digest for child in thinner.manifests] == [images[1].digest, statements[1].digest]
    assert verify_store(here) == ()


def test_patterns_ask_once_for_the_list(upstream: Any, site: Any, run: Any) -> None:
    for tag in ("1.0", "1.1", "1.1-rc1", "2.0", "latest"):
        upstream.publish(f"team/app:{tag}", upstream.build.image(tag))
    assert [done.tag for done in run("1.*", "!*-rc*")] == ["1.0", "1.1"]
    site.counted.take()
    again = run("1.*", "!*-rc*", "latest")
    assert [done.tag for done in again] == ["latest", "1.0", "1.1"]
    run("1.*", "!*-rc*", "latest")
    seen = site.counted.take()
    assert seen.count("GET /v2/team/app/tags/list") == 2
    with pytest.raises(NotFoundError, match="is meant by"):
        run("9.*")


def test_one_tag_that_fails_does_not_lose_the_others(upstream: Any, here: Store, run: Any) -> None:
    upstream.publish("team/app:1.0", upstream.build.image("one"))
    with pytest.raises(NotFoundError, match=r"app:missing is not there"):
        run("missing", "1.0")
    assert here.state.tag("team/app", "1.0") is not None
    assert here.state.tag("team/app", "missing") is None


def test_a_plan_says_what_would_move_and_moves_nothing(upstream: Any, clients: Any, here: Store, run: Any) -> None:
    upstream.publish("team/app:1.0", upstream.build.index("one"))
    selector = make_selector(f"{upstream.registry}/team/app", ["1.0"])
    (planned,) = plan_mirror(clients, [selector], here)
    assert planned.needed
    assert [*here.blobs.digests()] == []
    assert here.state.repositories() == []
    (done,) = mirror(clients, [selector], here, executor=Inline())
    assert (planned.bytes, planned.descriptor) == (done.bytes, done.descriptor)
    (planned,) = plan_mirror(clients, [selector], here)
    assert (planned.needed, planned.bytes, planned.requests) == (False, 0, 2)


def test_two_images_under_one_name_are_a_mistake(upstream: Any, clients: Any, here: Store) -> None:
    one = make_selector(f"{upstream.registry}/team/app", ["1.0"], to="x")
    other = make_selector(f"{upstream.registry}/team/other", ["1.0"], to="x")
    with pytest.raises(UsageError, match="would be both"):
        mirror(clients, [one, other], here)
    upstream.publish("team/app:1.0", upstream.build.image("one"))
    assert len(mirror(clients, [one, one], here)) == 1


def test_a_hole_in_the_store_is_mended(upstream: Any, here: Store, run: Any) -> None:
    image = upstream.build.image("one")
    upstream.publish("team/app:1.0", image)
    run("1.0")
    manifest = load_manifest(here.blobs, image)
    assert isinstance(manifest, Manifest)
    here.blobs.delete(manifest.layers[0].digest)
    (done,) = run("1.0")
    assert (done.changed, done.bytes) == (False, manifest.layers[0].size)
    here.state.delete_tag("team/app", "1.0")
    (done,) = run("1.0")
    assert (done.changed, done.bytes) == (True, 0)
    assert verify_store(here) == ()


def test_a_layer_that_must_not_be_handed_on_stays_where_it_is(upstream: Any, here: Store, run: Any) -> None:
    absent = Descriptor(media_types.OCI_LAYER_FOREIGN_GZIP, 7, Digest.of(b"foreign"))
    config = upstream.build.blob(b'{"os":"windows","architecture":"amd64"}', media_types.OCI_CONFIG)
    manifest = build_manifest(config, [absent, upstream.build.blob(b"layer", media_types.OCI_LAYER_GZIP)])
    upstream.publish("team/app:1.0", upstream.build.blob(manifest.raw, manifest.media_type))
    assert run("1.0")[0].changed
    assert run("1.0")[0].requests == 2
    assert verify_store(here) == ()


def test_a_blob_that_upstream_has_lost_is_missed(upstream: Any, here: Store, run: Any) -> None:
    image = upstream.build.image("one")
    upstream.publish("team/app:1.0", image)
    manifest = load_manifest(upstream.store.blobs, image)
    assert isinstance(manifest, Manifest)
    upstream.store.blobs.delete(manifest.layers[1].digest)
    with pytest.raises(NotFoundError, match=str(manifest.layers[1].digest)):
        run("1.0")
    assert here.state.repositories() == []


def test_a_note_of_another_version_is_no_obstacle(upstream: Any, here: Store, run: Any) -> None:
    upstream.publish("team/app:1.0", upstream.build.image("one"))
    run("1.0")
    ((key, _),) = here.state.facts("mirrored")
    here.state.put_fact("mirrored", key, b'{"older":1}')
    assert run("1.0")[0].bytes == 0
    assert run("1.0")[0].requests == 2


def test_a_plan_that_cannot_be_made_says_why(upstream: Any, clients: Any, here: Store) -> None:
    for tags in (["missing"], ["9.*"]):
        with pytest.raises(NotFoundError):
            plan_mirror(clients, [make_selector(f"{upstream.registry}/team/app", tags)], here)


def test_collecting_garbage_waits_for_a_mirror(upstream: Any, here: Store, run: Any) -> None:
    from sallyport.errors import LockedError

    upstream.publish("team/app:1.0", upstream.build.image("one"))
    with here.lease():
        assert run("1.0")[0].changed, "two mirrors may run side by side"
        with pytest.raises(LockedError):
            collect_garbage(here, timeout_s=0)


# --- faults -----------------------------------------------------------------------------------


class Cutting:
    """Breaks the line in the middle of a blob, ``times`` times, and notes the ranges that are asked for."""

    def __init__(self, app: Any, times: int) -> None:
        self.app, self.left = app, times
        self.ranges: list[str] = []

    def read(self, path: str) -> bytes:
        return Path(path).read_bytes()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if "/blobs/" not in scope["path"]:
            await self.app(scope, receive, send)
            return
        self.ranges.append(dict(scope["headers"]).get(b"range", b"").decode())

        async def cut(message: Any) -> None:
            if self.left > 0 and message["type"] != "http.response.start":
                self.left -= 1
                body = self.read(message["path"]) if message["type"] == "http.response.pathsend" else message["body"]
                await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
                raise ConnectionError("the line broke")
            await send(message)

        await self.app(scope, receive, cut)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sallyport.mirror.copy._PAUSE_S", 0.0)


def test_a_copy_cut_in_the_middle_goes_on_there(upstream: Any, here: Store, http: Http) -> None:
    image = upstream.build.image("one", layers=1, size=4_000_000)
    upstream.publish("team/app:1.0", image)
    cutting = Cutting(make_app(upstream.store), 2)
    with serve(cutting) as broken:
        selector = make_selector(f"{broken.registry}/team/app", ["1.0"])
        (done,) = mirror(lambda name: RegistryClient(http, name), [selector], here, executor=Inline())
    asked = [text for text in cutting.ranges if text]
    assert len(asked) == 2
    assert all(int(text.removeprefix("bytes=").removesuffix("-")) > 0 for text in asked)
    assert done.bytes == sum(item.size for item in reachable(here.blobs, image)), "no byte came twice"
    assert verify_store(here) == ()


def test_what_a_stopped_run_left_is_gone_on_with_by_the_next(upstream: Any, here: Store, http: Http) -> None:
    image = upstream.build.image("one", layers=1, size=4_000_000)
    upstream.publish("team/app:1.0", image)
    total = sum(item.size for item in reachable(upstream.store.blobs, image))
    cutting = Cutting(make_app(upstream.store), 100)
    with serve(cutting) as broken:
        selector = make_selector(f"{broken.registry}/team/app", ["1.0"])
        client = RegistryClient(http, broken.registry)
        with pytest.raises(UnreachableError):
            mirror(lambda _: client, [selector], here, executor=Inline())
        assert here.state.tag("team/app", "1.0") is None
        assert here.state.manifests() == []
        cutting.left = 0
        (done,) = mirror(lambda _: client, [selector], here, executor=Inline())
    assert 0 < done.bytes < total
    assert verify_store(here) == ()


def test_damaged_bytes_are_refused_and_nothing_is_named(
    upstream: Any, here: Store, run: Any, lies: dict[str, bytes]
) -> None:
    image = upstream.build.image("one")
    upstream.publish("team/app:1.0", image)
    manifest = load_manifest(upstream.store.blobs, image)
    assert isinstance(manifest, Manifest)
    layer = str(manifest.layers[0].digest)
    honest = b"".join(upstream.store.blobs.chunks(manifest.layers[0].digest))
    lies[layer] = honest[:-1] + bytes([honest[-1] ^ 1])
    with pytest.raises(DigestMismatchError, match=layer):
        run("1.0")
    lies[layer] = honest[:-10]
    with pytest.raises(TruncatedError):
        run("1.0")
    assert here.state.repositories() == []
    lies.clear()
    assert run("1.0")[0].changed
    assert verify_store(here) == ()


def test_an_index_that_misdescribes_its_child_is_refused(upstream: Any, here: Store, run: Any) -> None:
    image = upstream.build.image("one")
    index = build_index([Descriptor(image.media_type, image.size + 1, image.digest, AMD64)])
    top = upstream.build.blob(index.raw, index.media_type)
    for item in (image, top):
        upstream.store.state.hold("team/app", item)
    upstream.store.state.set_tag("team/app", "1.0", top)
    with pytest.raises(MalformedError, match="another size"):
        run("1.0")
    assert here.state.repositories() == []


def test_an_index_without_an_end_is_refused(upstream: Any, run: Any) -> None:
    from sallyport.errors import CycleError

    below = upstream.build.image("one")
    for number in range(7):
        upstream.store.state.hold("team/app", below)
        index = build_index([below], annotations={"level": str(number)})
        below = upstream.build.blob(index.raw, index.media_type)
    upstream.store.state.hold("team/app", below)
    upstream.store.state.set_tag("team/app", "1.0", below)
    with pytest.raises(CycleError):
        run("1.0")
