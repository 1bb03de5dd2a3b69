"""Verification names every kind of harm, and what to do."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import TypeAlias

import pytest

from sallyport.engine import Silent
from sallyport.oci import Descriptor, Digest, Index, Manifest, build_manifest, media_types
from sallyport.store import Problem, Store, verify_store

PutBlob: TypeAlias = Callable[..., Descriptor]
PutImage: TypeAlias = Callable[..., Manifest]
PutIndex: TypeAlias = Callable[..., Index]


def subjects(problems: tuple[Problem, ...]) -> list[str]:
    return [problem.subject for problem in problems]


def test_a_whole_store_has_no_problem(store: Store, put_image: PutImage, put_index: PutIndex) -> None:
    put_index("a", "1", put_image("a", "", b"one"), put_image("a", "", b"two"))
    store.state.append("mirrored", "a:1", {})
    assert verify_store(store) == ()


def test_one_flipped_bit_is_found_and_named_once(store: Store, put_image: PutImage) -> None:
    put_image("a", "1", b"layer")
    path = store.blobs.path(Digest.of(b"layer"))
    assert path is not None
    path.write_bytes(b"lbyer")

    (problem,) = verify_store(store)

    assert problem.subject == str(Digest.of(b"layer"))
    assert "mirror or receive" in problem.mend


@pytest.mark.parametrize("data", [b"lay", b"layer, and more"])
def test_another_length_is_found(store: Store, put_image: PutImage, data: bytes) -> None:
    image = put_image("a", "1", b"layer")
    path = store.blobs.path(Digest.of(b"layer"))
    assert path is not None
    path.write_bytes(data)

    problems = verify_store(store)

    assert str(Digest.of(b"layer")) in subjects(problems)
    assert f"a@{image.digest}" in subjects(problems)
    assert f"with 5 bytes, and there are {len(data)}" in problems[1].message


def test_a_missing_layer_is_named_with_the_image_that_needs_it(store: Store, put_image: PutImage) -> None:
    image = put_image("a", "1", b"layer")
    store.blobs.delete(Digest.of(b"layer"))

    (problem,) = verify_store(store)

    assert problem.subject == f"a@{image.digest}"
    assert str(Digest.of(b"layer")) in problem.message


def test_a_missing_manifest_is_named_with_its_tag(store: Store, put_image: PutImage) -> None:
    image = put_image("a", "1", b"layer")
    store.blobs.delete(image.digest)
    assert subjects(verify_store(store)) == ["a:1", f"a@{image.digest}"]


def test_a_manifest_that_is_something_else_than_noted_is_found(store: Store, put_blob: PutBlob) -> None:
    manifest = build_manifest(put_blob(b"{}", media_types.OCI_CONFIG), [])
    store.blobs.put(manifest.digest, len(manifest.raw), [manifest.raw])
    store.state.hold("a", Descriptor(media_types.OCI_INDEX, len(manifest.raw), manifest.digest))

    (problem,) = verify_store(store)

    assert problem.subject == f"a@{manifest.digest}"
    assert "says it is" in problem.message


def test_layers_that_may_not_be_passed_on_are_not_missed(store: Store, put_blob: PutBlob) -> None:
    foreign = Descriptor(media_types.DOCKER_LAYER_FOREIGN, 5, Digest.of(b"their"))
    manifest = build_manifest(put_blob(b"{}", media_types.OCI_CONFIG), [foreign])
    store.blobs.put(manifest.digest, len(manifest.raw), [manifest.raw])
    store.state.hold("a", manifest.descriptor)
    assert verify_store(store) == ()


def test_a_broken_journal_is_one_problem_among_others(store: Store, put_image: PutImage) -> None:
    put_image("a", "1", b"layer")
    store.blobs.delete(Digest.of(b"layer"))
    store.state.append("mirrored", "a:1", {})
    store.state.append("judged", "a:1", {})
    with closing(sqlite3.connect(store.root / "state.db")) as connection:
        connection.execute("DROP TRIGGER events_refuse_update")
        connection.execute("UPDATE events SET verb = 'released' WHERE sequence = 2")
        connection.commit()

    problems = verify_store(store)

    assert len(problems) == 2
    assert problems[1].subject == "the journal"
    assert "line 2" in problems[1].message


def test_a_disk_that_cannot_be_read_is_a_problem_not_a_crash(
    store: Store, put_image: PutImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_image("a", "1", b"layer")
    whole = store.blobs.chunks

    def chunks(digest: Digest, *, offset: int = 0) -> Iterator[bytes]:
        if digest == Digest.of(b"layer"):
            raise OSError(5, "Input/output error")
        return whole(digest, offset=offset)

    monkeypatch.setattr(store.blobs, "chunks", chunks)

    (problem,) = verify_store(store, progress=Silent())

    assert "Input/output error" in problem.message
    assert "check the disk" in problem.mend
