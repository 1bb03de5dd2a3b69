"""Images are found below a descriptor, proven, and what is no image is told apart."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sallyport.errors import (
    CycleError,
    DigestMismatchError,
    DuplicateKeyError,
    MalformedError,
    MissingBlobError,
    OversizeError,
    SallyportError,
    TruncatedError,
    UnknownMediaTypeError,
)
from sallyport.oci import (
    EMPTY_CONFIG,
    Descriptor,
    Digest,
    Entry,
    Index,
    Kind,
    Manifest,
    Platform,
    build_index,
    build_manifest,
    load_image,
    load_images,
    load_manifest,
    media_types,
    reachable,
    read_blob,
    render_json,
    walk,
)

Blobs = Any  # the Memory of conftest.py, which a test cannot import


def one(blobs: Blobs, name: str = "f", platform: str = "linux/amd64") -> Manifest:
    manifest: Manifest = blobs.image(blobs.layer(Entry(name, Kind.FILE)), platform=platform)
    return manifest


def put(blobs: Blobs, value: object, media_type: str = media_types.OCI_MANIFEST) -> Descriptor:
    raw = value if isinstance(value, bytes) else render_json(value)
    return Descriptor(media_type, len(raw), blobs.add(raw))


def test_an_image_knows_its_layers_with_their_diff_ids(blobs: Blobs) -> None:
    layers = [blobs.layer(Entry(name, Kind.FILE)) for name in ("base", "top")]
    manifest = blobs.image(*layers)
    image = load_image(blobs, manifest.descriptor)
    assert image.layers == tuple(layers)
    assert image.config.platform == Platform("linux", "amd64")
    assert image.manifest == manifest


def test_images_below_an_index_come_in_its_order_and_artifacts_are_passed_over(blobs: Blobs) -> None:
    arm, amd = one(blobs, platform="linux/arm64"), one(blobs)
    blobs.add(b"{}")
    artifact = build_manifest(EMPTY_CONFIG, [EMPTY_CONFIG], artifact_type="application/vnd.example.notes")
    blobs.add(artifact.raw)
    inner = blobs.index([amd.descriptor, artifact.descriptor])
    outer = blobs.index([arm.descriptor, inner.descriptor, arm.descriptor])
    assert [image.manifest for image in load_images(blobs, outer.descriptor)] == [arm, amd]
    assert [image.manifest for image in load_images(blobs, arm.descriptor)] == [arm]
    assert load_images(blobs, artifact.descriptor) == ()


def test_signatures_and_attestations_that_borrow_the_configs_type_are_no_images(blobs: Blobs) -> None:
    image = one(blobs)
    payload = put(blobs, b"{}", "application/vnd.dev.cosign.simplesigning.v1+json")
    signature = build_manifest(image.config, [payload])
    blobs.add(signature.raw)
    attestation = build_manifest(image.config, [replace(payload, media_type="application/vnd.in-toto+json")])
    blobs.add(attestation.raw)
    unknown = replace(attestation.descriptor, platform=Platform("unknown", "unknown"))
    index = blobs.index([image.descriptor, unknown, signature.descriptor])
    assert [found.manifest for found in load_images(blobs, index.descriptor)] == [image]
    with pytest.raises(MalformedError, match="artifact"):
        load_image(blobs, signature.descriptor)


def test_the_mark_unknown_hides_no_image_from_a_scan(blobs: Blobs) -> None:
    image = one(blobs)
    index = blobs.index([replace(image.descriptor, platform=Platform("unknown", "unknown"))])
    assert [found.manifest for found in load_images(blobs, index.descriptor)] == [image]


def test_a_layer_that_nobody_can_read_makes_it_no_artifact(blobs: Blobs) -> None:
    image = one(blobs)
    encrypted = replace(image.layers[0], media_type=media_types.OCI_LAYER_GZIP + "+encrypted")
    manifest = build_manifest(image.config, [encrypted])
    blobs.add(manifest.raw)
    assert len(load_images(blobs, manifest.descriptor)) == 1


def test_an_index_is_no_image(blobs: Blobs) -> None:
    with pytest.raises(MalformedError, match="an index"):
        load_image(blobs, blobs.index([one(blobs).descriptor]).descriptor)


def test_a_config_with_another_number_of_layers_is_refused(blobs: Blobs) -> None:
    image = one(blobs)
    manifest = build_manifest(image.config, image.layers * 2)
    blobs.add(manifest.raw)
    with pytest.raises(MalformedError, match="names 1 layers, and the manifest 2"):
        load_image(blobs, manifest.descriptor)


def test_a_blob_is_proven_and_bounded(blobs: Blobs) -> None:
    digest = blobs.add(b"content")
    assert read_blob(blobs, digest, limit=7) == b"content"
    with pytest.raises(OversizeError):
        read_blob(blobs, digest, limit=6)
    with pytest.raises(OversizeError):
        read_blob(blobs, digest, limit=7, size=6)
    with pytest.raises(OversizeError):
        read_blob(blobs, digest, limit=7, size=1 << 40)
    with pytest.raises(TruncatedError):
        read_blob(blobs, digest, limit=9, size=8)
    blobs.kept[digest] = b"Content"
    with pytest.raises(DigestMismatchError):
        read_blob(blobs, digest, limit=7)
    with pytest.raises(MissingBlobError):
        read_blob(blobs, Digest.of(b"nowhere"), limit=7)


def test_a_reader_that_lies_about_sizes_is_caught(blobs: Blobs) -> None:
    digest = blobs.add(b"content")

    class Liar:
        def has(self, digest: Digest) -> bool:
            return True

        def size(self, digest: Digest) -> int:
            return 3

        def chunks(self, digest: Digest, *, offset: int = 0) -> Iterator[bytes]:
            while True:
                yield b"x" * 1000

    with pytest.raises(OversizeError):
        read_blob(Liar(), digest, limit=100)


@pytest.mark.parametrize("stated", [media_types.OCI_INDEX, media_types.DOCKER_MANIFEST, media_types.OCI_CONFIG])
def test_descriptor_and_document_must_agree_on_the_media_type(blobs: Blobs, stated: str) -> None:
    # The same bytes as a manifest to one reader and an index to the next: CVE-2021-41190.
    with pytest.raises(UnknownMediaTypeError):
        load_manifest(blobs, replace(one(blobs).descriptor, media_type=stated))


def test_duplicate_keys_and_huge_manifests_are_refused(blobs: Blobs) -> None:
    raw = one(blobs).raw
    twice = raw[:-1] + b',"schemaVersion":2}'
    with pytest.raises(DuplicateKeyError):
        load_manifest(blobs, put(blobs, twice))
    huge = raw[:-1] + b" " * (4 << 20) + b"}"
    with pytest.raises(OversizeError):
        load_manifest(blobs, put(blobs, huge))


def test_an_index_that_names_itself_is_refused(blobs: Blobs) -> None:
    # Nobody can make one that has its own digest; a broken store can still hand one out.
    digest = Digest.of(b"any")
    described = Descriptor(media_types.OCI_INDEX, 0, digest)
    raw = build_index([described]).raw
    blobs.kept[digest] = raw
    with pytest.raises(SallyportError) as refused:
        list(walk(blobs, replace(described, size=len(raw))))
    assert isinstance(refused.value, DigestMismatchError | CycleError)


def test_indexes_within_indexes_have_a_depth(blobs: Blobs) -> None:
    current = one(blobs).descriptor
    for _ in range(5):
        current = blobs.index([current]).descriptor
    assert len(list(walk(blobs, current, depth=5))) == 6
    with pytest.raises(CycleError, match="nests"):
        list(walk(blobs, current))


def test_a_flood_of_manifests_is_refused(blobs: Blobs) -> None:
    children = [Descriptor(media_types.OCI_MANIFEST, 500, Digest.of(b"%d" % number)) for number in range(100)]
    with pytest.raises(OversizeError, match="more than 99"):
        list(walk(blobs, blobs.index(children).descriptor, count=99))


def test_all_manifests_together_have_a_size(blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    index = blobs.index([one(blobs).descriptor])
    monkeypatch.setattr("sallyport.oci.image.MANIFESTS_LIMIT", len(index.raw) + 1)
    with pytest.raises(OversizeError, match="bytes of manifests"):
        list(walk(blobs, index.descriptor))


def test_one_digest_described_in_two_ways_is_refused(blobs: Blobs) -> None:
    child = one(blobs).descriptor
    index = blobs.index([child, replace(child, size=child.size + 1)])
    with pytest.raises(MalformedError, match="two ways"):
        list(walk(blobs, index.descriptor))


def test_a_child_that_is_no_manifest_travels_and_is_not_opened(blobs: Blobs) -> None:
    blob = put(blobs, b"\0not JSON", "application/octet-stream")
    index = blobs.index([blob, one(blobs).descriptor])
    assert len(list(walk(blobs, index.descriptor))) == 2
    assert reachable(blobs, index.descriptor)[0] == blob


def test_what_is_reachable_comes_once_and_children_first(blobs: Blobs) -> None:
    shared = blobs.layer(Entry("base", Kind.FILE))
    images = [blobs.image(shared, blobs.layer(Entry(str(number), Kind.FILE))) for number in range(3)]
    inner = blobs.index([image.descriptor for image in images[:2]])
    outer = blobs.index([inner.descriptor, images[2].descriptor, images[0].descriptor])
    order = [descriptor.digest for descriptor in reachable(blobs, outer.descriptor)]
    assert len(order) == len(set(order)) == 3 + 1 + 3 + 3 + 2
    place = {digest: number for number, digest in enumerate(order)}
    for _, manifest in walk(blobs, outer.descriptor):
        below = manifest.manifests if isinstance(manifest, Index) else manifest.blobs
        assert all(place[child.digest] < place[manifest.digest] for child in below)


def test_indexes_that_name_each_other_sideways_do_not_exhaust_the_stack(blobs: Blobs) -> None:
    current = one(blobs).descriptor
    chain = []
    for _ in range(1500):
        current = blobs.index([current]).descriptor
        chain.append(current)
    top = blobs.index(chain)
    assert len(reachable(blobs, top.descriptor)) == 1500 + 1 + 3


def test_a_missing_child_is_named(blobs: Blobs) -> None:
    image = one(blobs)
    index = blobs.index([image.descriptor])
    del blobs.kept[image.digest]
    with pytest.raises(MissingBlobError, match=image.digest.hex):
        reachable(blobs, index.descriptor)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_broken_documents_only_ever_give_typed_errors(new_blobs: Callable[[], Blobs], data: st.DataObject) -> None:
    blobs = new_blobs()
    image = one(blobs)
    index = blobs.index([image.descriptor])
    documents = [(index.raw, "index"), (image.raw, "image"), (blobs.kept[image.config.digest], "config")]
    raw, kind = data.draw(st.sampled_from(documents))
    if data.draw(st.booleans()):
        broken = bytearray(raw)
        for _ in range(data.draw(st.integers(1, 3))):
            broken[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
        raw = bytes(broken)
    else:
        value = json.loads(raw)
        key = data.draw(st.sampled_from(sorted(value)))
        value[key] = data.draw(
            st.one_of(
                st.none(), st.booleans(), st.integers(), st.text(max_size=5), st.just([]), st.just({}), st.just([{}])
            )
        )
        raw = render_json(value)
    if kind == "config":
        manifest = build_manifest(put(blobs, raw, media_types.OCI_CONFIG), image.layers)
        top = put(blobs, manifest.raw)
    else:
        top = put(blobs, raw, media_types.OCI_INDEX if kind == "index" else media_types.OCI_MANIFEST)
    for ask in (load_image, load_images, reachable, load_manifest):
        with contextlib.suppress(SallyportError):
            ask(blobs, top)
