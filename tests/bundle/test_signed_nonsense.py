"""Signed, and yet wrong: what approvers or a pipeline must not be able to get past the inside by mistake or malice."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sallyport.bundle import (
    Anchor,
    Blob,
    Contents,
    ExpiredMetadataError,
    ForeignBundleError,
    LongFileError,
    MalformedContentsError,
    MalformedMetadataError,
    MixedMetadataError,
    Position,
    TrustedKey,
    WronglySignedError,
    open_bundle,
    sign_metadata,
    verify_metadata,
)
from sallyport.bundle.index import render_index
from sallyport.bundle.profile import RootFile, TimestampFile, read_shape
from sallyport.errors import MalformedError, SallyportError
from sallyport.oci import Digest, decode, encode, render_json

Resign = Callable[..., None]


@pytest.fixture
def bundle(outside: Any) -> Path:
    outside.publish()
    outside.feed()
    return outside.bundle()  # type: ignore[no-any-return]


@pytest.fixture
def resign(outside: Any, bundle: Path) -> Resign:
    """Change a bundle's files and have everybody sign what came of it."""
    metadata = bundle / "metadata"

    def signed(name: str, value: Any, key: str) -> bytes:
        raw = sign_metadata(render_json({**value, "signatures": []}), [outside.keys[key]])
        (metadata / f"{name}.json").write_bytes(raw)
        return raw

    def entry(raw: bytes) -> dict[str, Any]:
        return {"length": len(raw), "hashes": {"sha256": Digest.of(raw).hex}}

    def resign(files: dict[str, bytes] | None = None, **changes: Callable[[Any], None]) -> None:
        values = {
            name: json.loads((metadata / f"{name}.json").read_bytes()) for name in ("targets", "snapshot", "timestamp")
        }
        for path, data in (files or {}).items():
            (bundle / path).write_bytes(data)
            values["targets"]["signed"]["targets"][path] = entry(data)
        for name, change in changes.items():
            change(values[name]["signed"])
        targets = signed("targets", values["targets"], "approver")
        meta = values["snapshot"]["signed"]["meta"]["targets.json"]
        meta.update(entry(targets), version=values["targets"]["signed"]["version"])
        snapshot = signed("snapshot", values["snapshot"], "pipeline")
        meta = values["timestamp"]["signed"]["meta"]["snapshot.json"]
        meta.update(entry(snapshot), version=values["snapshot"]["signed"]["version"])
        signed("timestamp", values["timestamp"], "pipeline")

    return resign


def contents_of(bundle: Path) -> Contents:
    return decode((bundle / "bundle.json").read_bytes(), Contents, what="bundle.json")


def state(resign: Resign, contents: Contents) -> None:
    resign({"bundle.json": encode(contents), "index.json": render_index(contents)})


def test_signing_again_what_was_there_is_accepted(outside: Any, bundle: Path, resign: Resign) -> None:
    resign()
    assert open_bundle(bundle, outside.anchor).contents == contents_of(bundle)


# --- the statement --------------------------------------------------------------------------


def _twice(contents: Contents) -> Contents:
    return replace(contents, requires=(contents.carries[0],))


def _negative(contents: Contents) -> Contents:
    return replace(contents, requires=(Blob(Digest.of(b"x"), -1),))


def _neither(contents: Contents) -> Contents:
    digest = contents.released[0].descriptor.digest
    return replace(contents, carries=tuple(blob for blob in contents.carries if blob.digest != digest))


def _no_feed(contents: Contents) -> Contents:
    digest = contents.feeds[0].blob.digest
    return replace(contents, carries=tuple(blob for blob in contents.carries if blob.digest != digest))


def _two_tags(contents: Contents) -> Contents:
    return replace(contents, released=(*contents.released, *contents.released))


def _no_name(contents: Contents) -> Contents:
    return replace(contents, released=(replace(contents.released[0], repository="../../etc"),))


def _no_tag(contents: Contents) -> Contents:
    return replace(contents, released=(replace(contents.released[0], tag="../x"),))


def _no_attached_tag(contents: Contents) -> Contents:
    one = contents.released[0]
    attached = tuple(replace(at, tag="a/b") for at in one.attached)
    return replace(contents, released=(replace(one, attached=attached),))


def _a_layer_as_an_image(contents: Contents) -> Contents:
    one = contents.released[0]
    descriptor = replace(one.descriptor, media_type="application/vnd.oci.image.layer.v1.tar")
    return replace(contents, released=(replace(one, descriptor=descriptor),))


def _format(contents: Contents) -> Contents:
    return replace(contents, format=2)


def _purpose(contents: Contents) -> Contents:
    return replace(contents, keys=(TrustedKey("everything", contents.keys[0].pem),))


def _key(contents: Contents) -> Contents:
    return replace(contents, keys=(TrustedKey("release", "no key"),))


def _untidy_key(contents: Contents) -> Contents:
    return replace(contents, keys=(TrustedKey("release", contents.keys[0].pem + "\n"),))


def _position(contents: Contents) -> Contents:
    return replace(contents, position=Position(1, 2))


def _too_late(contents: Contents) -> Contents:
    return replace(contents, created=contents.created + timedelta(days=900))


@pytest.mark.parametrize(
    "change",
    [
        _twice,
        _negative,
        _neither,
        _no_feed,
        _two_tags,
        _no_name,
        _no_tag,
        _no_attached_tag,
        _a_layer_as_an_image,
        _format,
        _purpose,
        _key,
        _untidy_key,
        _position,
        _too_late,
    ],
)
def test_a_statement_that_contradicts_itself_is_refused(
    outside: Any, bundle: Path, resign: Resign, change: Callable[[Contents], Contents]
) -> None:
    state(resign, change(contents_of(bundle)))

    with pytest.raises(MalformedContentsError, match=r"bundle\.json"):
        open_bundle(bundle, outside.anchor)


def test_a_statement_for_another_destination_is_refused(outside: Any, bundle: Path, resign: Resign) -> None:
    state(resign, replace(contents_of(bundle), destination="ship-3"))
    with pytest.raises(ForeignBundleError, match="ship-3"):
        open_bundle(bundle, outside.anchor)


@pytest.mark.parametrize(
    "raw",
    [
        b"{}",
        b"[]",
        b"",
        b"\xff",
        b'{"format":1,"format":1}',
        b"[" * 100_000,
    ],
)
def test_a_statement_that_is_none_is_refused(outside: Any, bundle: Path, resign: Resign, raw: bytes) -> None:
    resign({"bundle.json": raw})
    with pytest.raises(MalformedContentsError):
        open_bundle(bundle, outside.anchor)


def test_a_statement_in_another_form_is_refused(outside: Any, bundle: Path, resign: Resign) -> None:
    raw = (bundle / "bundle.json").read_bytes()
    for other in (
        raw + b"\n",
        json.dumps(json.loads(raw)).encode(),
        raw.replace(b'"format":1', b'"extra":0,"format":1'),
    ):
        resign({"bundle.json": other})
        with pytest.raises(MalformedContentsError):
            open_bundle(bundle, outside.anchor)


def test_a_layout_that_shows_other_tools_another_bundle_is_refused(outside: Any, bundle: Path, resign: Resign) -> None:
    index = json.loads((bundle / "index.json").read_bytes())
    index["manifests"].pop()
    resign({"index.json": render_json(index)})
    with pytest.raises(MalformedContentsError, match=r"index\.json"):
        open_bundle(bundle, outside.anchor)


def test_a_statement_of_absurd_length_is_not_read(outside: Any, bundle: Path, resign: Resign) -> None:
    def absurd(signed: Any) -> None:
        signed["targets"]["bundle.json"]["length"] = 1 << 39

    resign(targets=absurd)
    with pytest.raises(LongFileError, match=r"bundle\.json"):
        open_bundle(bundle, outside.anchor)


# --- the metadata ---------------------------------------------------------------------------


def _set(**fields: Any) -> Callable[[Any], None]:
    return lambda signed: signed.update(fields)


def test_the_pipeline_alone_cannot_run_ahead(outside: Any, bundle: Path, resign: Resign) -> None:
    resign(snapshot=_set(version=2), timestamp=_set(version=2))
    with pytest.raises(MixedMetadataError, match="versions"):
        verify_metadata(bundle, outside.anchor)


def test_targets_for_another_destination_are_refused(outside: Any, bundle: Path, resign: Resign) -> None:
    resign(targets=_set(sallyport={"destination": "ship-3", "epoch": 1, "root": 1}))
    with pytest.raises(ForeignBundleError, match="ship-3"):
        verify_metadata(bundle, outside.anchor)


@pytest.mark.parametrize(
    "change",
    [
        _set(targets={}),
        _set(sallyport={"destination": "plant-7"}),
        _set(sallyport={"destination": "plant-7", "epoch": 0, "root": 1}),
        _set(version=True),
        _set(version=1.0),
        _set(spec_version="2.0.0"),
        _set(expires="2036-07-11T12:00:00+00:00"),
        _set(expires="2036-13-11T12:00:00Z"),
        _set(delegations={"keys": {}, "roles": []}),
        _set(_type="snapshot"),
        _set(note="\ud800"),
    ],
)
def test_metadata_out_of_the_profile_are_refused(
    outside: Any, bundle: Path, resign: Resign, change: Callable[[Any], None]
) -> None:
    try:
        resign(targets=change)
    except MalformedError:
        return  # it could not even be signed
    with pytest.raises(MalformedMetadataError, match=r"targets\.json"):
        verify_metadata(bundle, outside.anchor)


@pytest.mark.parametrize("name", ["timestamp", "snapshot", "targets"])
def test_each_part_expires_by_proven_time(outside: Any, bundle: Path, resign: Resign, name: str) -> None:
    anchor = Anchor(outside.anchor.roots, outside.now + timedelta(days=30))
    verify_metadata(bundle, anchor)

    resign(**{name: _set(expires="2026-08-01T00:00:00Z")})

    with pytest.raises(ExpiredMetadataError, match=rf"{name}\.json"):
        verify_metadata(bundle, anchor)


def test_an_expired_root_is_refused(outside: Any, bundle: Path) -> None:
    anchor = Anchor(outside.anchor.roots, outside.now + timedelta(days=4000))
    with pytest.raises(ExpiredMetadataError, match=r"1\.root\.json"):
        verify_metadata(bundle, anchor)


@pytest.mark.parametrize("name", ["timestamp", "snapshot", "targets"])
def test_a_signature_by_a_stranger_is_refused_even_beside_a_good_one(outside: Any, bundle: Path, name: str) -> None:
    path = bundle / "metadata" / f"{name}.json"
    path.write_bytes(sign_metadata(path.read_bytes(), [outside.keys["stranger"]]))

    with pytest.raises(SallyportError, match=rf"{name}\.json") as caught:
        verify_metadata(bundle, outside.anchor)
    assert isinstance(caught.value, WronglySignedError if name == "timestamp" else MixedMetadataError)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=st.one_of(st.binary(max_size=200), st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["signatures", "signed", "_type", "version", "keys", "roles", "x"]), inner), max_leaves=20).map(lambda value: json.dumps(value).encode())))  # fmt: skip
def test_nonsense_is_refused_and_never_anything_else(raw: bytes) -> None:
    with pytest.raises((MalformedMetadataError, LongFileError), match="it"):
        read_shape(raw, RootFile, what="it", limit=100_000)
    with pytest.raises((MalformedMetadataError, LongFileError), match="it"):
        read_shape(raw, TimestampFile, what="it", limit=100_000)
