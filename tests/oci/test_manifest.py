"""Manifests and indexes of both families are read strictly and built canonically."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sallyport.errors import (
    DuplicateKeyError,
    MalformedError,
    OversizeError,
    SallyportError,
    UnknownMediaTypeError,
)
from sallyport.oci import (
    EMPTY_CONFIG,
    JSON,
    Descriptor,
    Digest,
    Index,
    Manifest,
    Platform,
    build_index,
    build_manifest,
    media_types,
    parse_config,
    parse_manifest,
    render_json,
)

LAYER = Descriptor(media_types.OCI_LAYER_GZIP, 10, Digest.of(b"layer"))
CONFIG = Descriptor(media_types.OCI_CONFIG, 2, Digest.of(b"config"))
CHILD = Descriptor(media_types.OCI_MANIFEST, 5, Digest.of(b"child"), Platform("linux", "arm", "v7"))

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
descriptors = st.builds(
    Descriptor,
    st.sampled_from([*sorted(media_types.LAYERS), "application/vnd.example"]),
    st.integers(0, 1 << 50),
    st.binary(max_size=3).map(Digest.of),
    st.none() | st.builds(Platform, texts, texts, texts),
    texts,
    st.dictionaries(texts, texts, max_size=2),
)


@given(descriptors, st.lists(descriptors, max_size=3), st.none() | descriptors, texts, st.dictionaries(texts, texts))
@settings(max_examples=100, deadline=None)
def test_what_was_built_is_parsed(
    config: Descriptor, others: list[Descriptor], subject: Descriptor | None, kind: str, notes: dict[str, str]
) -> None:
    bare = subject and Descriptor(subject.media_type, subject.size, subject.digest)
    manifest = build_manifest(config, others, subject=subject, artifact_type=kind, annotations=notes)
    assert parse_manifest(manifest.raw) == Manifest(
        manifest.raw, media_types.OCI_MANIFEST, config, tuple(others), bare, kind, notes
    )
    index = build_index(others, subject=subject, artifact_type=kind, annotations=notes)
    assert parse_manifest(index.raw, media_types.OCI_INDEX) == Index(
        index.raw, media_types.OCI_INDEX, tuple(others), bare, kind, notes
    )
    assert manifest.descriptor.digest == manifest.digest == Digest.of(manifest.raw)


def edited(raw: bytes, **fields: Any) -> bytes:
    value = json.loads(raw)
    value.update(fields)
    return render_json({key: item for key, item in value.items() if item is not ...})


MANIFEST = build_manifest(CONFIG, [LAYER])
INDEX = build_index([CHILD])


@pytest.mark.parametrize(
    ("raw", "said", "kind"),
    [
        (MANIFEST.raw, "", media_types.OCI_MANIFEST),
        (MANIFEST.raw, media_types.OCI_MANIFEST, media_types.OCI_MANIFEST),
        (MANIFEST.raw, media_types.OCI_MANIFEST + "; charset=utf-8", media_types.OCI_MANIFEST),
        (MANIFEST.raw, "application/json", media_types.OCI_MANIFEST),
        (edited(MANIFEST.raw, mediaType=...), "", media_types.OCI_MANIFEST),
        (edited(MANIFEST.raw, mediaType=...), media_types.OCI_MANIFEST, media_types.OCI_MANIFEST),
        (edited(MANIFEST.raw, mediaType=media_types.DOCKER_MANIFEST), "", media_types.DOCKER_MANIFEST),
        (INDEX.raw, "", media_types.OCI_INDEX),
        (edited(INDEX.raw, mediaType=...), "", media_types.OCI_INDEX),
        (edited(INDEX.raw, mediaType=media_types.DOCKER_LIST), media_types.DOCKER_LIST, media_types.DOCKER_LIST),
    ],
)
def test_the_kind_comes_from_the_document_and_the_transport_together(raw: bytes, said: str, kind: str) -> None:
    assert parse_manifest(raw, said).media_type == kind


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (MANIFEST.raw, media_types.OCI_INDEX),
        (MANIFEST.raw, media_types.DOCKER_MANIFEST),
        (INDEX.raw, media_types.OCI_MANIFEST),
        (edited(MANIFEST.raw, mediaType="application/vnd.docker.distribution.manifest.v1+json"), ""),
        (edited(MANIFEST.raw, mediaType=media_types.OCI_CONFIG), ""),
        (edited(MANIFEST.raw, manifests=[]), ""),
        (edited(INDEX.raw, layers=[]), ""),
        (edited(INDEX.raw, config={}), ""),
        (edited(INDEX.raw, mediaType=..., layers=[]), media_types.OCI_INDEX),
        (edited(MANIFEST.raw, schemaVersion=1), ""),
        (edited(MANIFEST.raw, schemaVersion="2"), ""),
        (edited(MANIFEST.raw, schemaVersion=...), ""),
        (edited(MANIFEST.raw, mediaType=...), "text/html"),
    ],
)
def test_what_two_readers_could_take_for_two_things_is_refused(raw: bytes, said: str) -> None:
    with pytest.raises(UnknownMediaTypeError):
        parse_manifest(raw, said)


ENTRY = CHILD.to_json()


@pytest.mark.parametrize(
    "child",
    [
        None,
        [],
        {},
        {**ENTRY, "size": -1},
        {**ENTRY, "size": 1.0},
        {**ENTRY, "size": True},
        {**ENTRY, "size": "1"},
        {**ENTRY, "size": (1 << 50) + 1},
        {**ENTRY, "size": None},
        {**ENTRY, "digest": "sha256:abc"},
        {**ENTRY, "digest": None},
        {**ENTRY, "mediaType": ""},
        {**ENTRY, "mediaType": 1},
        {**ENTRY, "platform": []},
        {**ENTRY, "platform": {"os": 1}},
        {**ENTRY, "annotations": []},
        {**ENTRY, "annotations": {"a": 1}},
        {**ENTRY, "artifactType": 1},
    ],
)
def test_a_broken_descriptor_is_refused(child: JSON) -> None:
    with pytest.raises(MalformedError):
        parse_manifest(edited(INDEX.raw, manifests=[child]))


@pytest.mark.parametrize(
    "raw",
    [
        b"[]",
        b"null",
        edited(MANIFEST.raw, layers=None),
        edited(MANIFEST.raw, layers={}),
        edited(MANIFEST.raw, config=None),
        edited(MANIFEST.raw, mediaType=1),
        edited(MANIFEST.raw, artifactType=1),
        edited(MANIFEST.raw, subject={}),
        edited(MANIFEST.raw, annotations={"a": None}),
        edited(INDEX.raw, manifests=None),
    ],
)
def test_a_broken_document_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_manifest(raw)


def test_a_document_is_bounded() -> None:
    assert isinstance(parse_manifest(build_index([CHILD] * 4096).raw), Index)
    with pytest.raises(OversizeError, match="4097"):
        parse_manifest(build_index([CHILD] * 4097).raw)
    with pytest.raises(OversizeError):
        parse_manifest(b" " * (4 << 20) + MANIFEST.raw)
    with pytest.raises(DuplicateKeyError):
        parse_manifest(MANIFEST.raw.replace(b"{", b'{"schemaVersion":2,', 1))


def test_equal_inputs_give_equal_bytes() -> None:
    assert build_manifest(CONFIG, [LAYER], annotations={"b": "1", "a": "2"}).raw == (
        build_manifest(CONFIG, (LAYER,), annotations={"a": "2", "b": "1"}).raw
    )


def test_an_artifact_may_leave_its_layers_out() -> None:
    raw = edited(build_manifest(EMPTY_CONFIG, [], artifact_type="application/vnd.example").raw, layers=...)
    manifest = parse_manifest(raw)
    assert isinstance(manifest, Manifest)
    assert manifest.layers == ()
    assert not manifest.is_image
    assert manifest.descriptor.artifact_type == "application/vnd.example"


def test_a_referrers_list_names_an_artifact_by_its_configs_type() -> None:
    # Source: OCI distribution-spec 1.1, "Listing Referrers".
    helm = Descriptor("application/vnd.cncf.helm.config.v1+json", 2, Digest.of(b"{}"))
    assert build_manifest(helm, [LAYER]).descriptor.artifact_type == helm.media_type
    assert build_manifest(CONFIG, [LAYER]).descriptor.artifact_type == ""


def test_platforms_are_read_and_written() -> None:
    for text in ("linux/amd64", "linux/arm/v7"):
        assert str(Platform.parse(text)) == text
    for text in ("", "linux", "linux/", "/amd64", "a/b/c/d", "linux//v8"):
        with pytest.raises(MalformedError):
            Platform.parse(text)


def test_a_config_is_read_with_what_it_leaves_out() -> None:
    diff_id = Digest.of(b"x")
    config = parse_config(render_json({"os": "linux", "architecture": "arm64", "rootfs": {"diff_ids": [str(diff_id)]}}))
    assert (config.platform, config.diff_ids, config.created) == (Platform("linux", "arm64"), (diff_id,), "")
    assert parse_config(b"{}").diff_ids == ()
    assert parse_config(b'{"rootfs":{"diff_ids":null},"variant":null,"created":null}').diff_ids == ()


@pytest.mark.parametrize(
    "raw",
    [
        b"[]",
        b'{"os":1}',
        b'{"created":{}}',
        b'{"rootfs":{"diff_ids":{}}}',
        b'{"rootfs":{"diff_ids":[1]}}',
        b'{"rootfs":{"diff_ids":["sha256:x"]}}',
        b'{"os":"linux","os":"windows"}',
    ],
)
def test_a_broken_config_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_config(raw)


@given(st.sampled_from([MANIFEST.raw, INDEX.raw]), st.data())
@settings(max_examples=100, deadline=None)
def test_bytes_gone_wrong_only_ever_give_a_typed_error(raw: bytes, data: st.DataObject) -> None:
    broken = bytearray(raw)
    for _ in range(data.draw(st.integers(1, 3))):
        broken[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = parse_manifest(bytes(broken), data.draw(st.sampled_from(["", media_types.OCI_MANIFEST])))
    except SallyportError:
        return
    assert found.raw == bytes(broken)
    assert isinstance(found, Index) == (found.media_type in media_types.INDEXES)
