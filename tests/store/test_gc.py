"""Garbage collection removes what nothing needs, and nothing else."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sallyport.engine import SystemClock
from sallyport.errors import LockedError, StorageError
from sallyport.oci import Descriptor, Digest, Index, Manifest
from sallyport.store import Collected, Store, collect_garbage, open_store, verify_store

PutBlob: TypeAlias = Callable[..., Descriptor]
PutImage: TypeAlias = Callable[..., Manifest]
PutIndex: TypeAlias = Callable[..., Index]


def there(store: Store) -> set[Digest]:
    return set(store.blobs.digests())


def test_an_image_keeps_its_layers_and_the_rest_goes(
    store: Store, put_blob: PutBlob, put_image: PutImage, put_index: PutIndex
) -> None:
    index = put_index("debian/web", "12", put_image("debian/web", "", b"amd64"), put_image("debian/web", "", b"arm64"))
    needed = there(store)
    orphan = put_blob(b"left by a push that broke off")

    collected = collect_garbage(store, grace_s=0)

    assert collected == Collected((orphan.digest,), orphan.size, 0, 0, 0, dry_run=False)
    assert there(store) == needed
    assert index.digest in needed
    assert verify_store(store) == ()


def test_a_dry_run_says_the_same_and_removes_nothing(store: Store, put_blob: PutBlob, put_image: PutImage) -> None:
    put_image("a", "1", b"layer")
    put_image("a", "", b"untagged")
    put_blob(b"orphan")
    before = there(store)

    plan = collect_garbage(store, dry_run=True, untagged=True, grace_s=0)
    assert there(store) == before
    assert len(store.state.manifests()) == 2

    done = collect_garbage(store, untagged=True, grace_s=0)
    assert (plan.digests, plan.bytes, plan.let_go) == (done.digests, done.bytes, done.let_go)
    assert done.let_go == 1
    assert there(store) == before - set(done.digests)


def test_young_blobs_are_spared(store: Store, put_blob: PutBlob) -> None:
    """Their manifest may be on its way through the registry."""
    blob = put_blob(b"half of a push")
    collected = collect_garbage(store)
    assert (collected.digests, collected.spared) == ((), 1)

    path = store.blobs.path(blob.digest)
    assert path is not None
    os.utime(path, (0, 0))
    assert collect_garbage(store, dry_run=True).digests == (blob.digest,)
    put_blob(b"half of a push")  # somebody needs it again
    assert collect_garbage(store, dry_run=True).digests == ()


def test_signatures_live_as_long_as_what_they_are_about(store: Store, put_image: PutImage) -> None:
    old = put_image("a", "channel", b"old")
    about_old = put_image("a", "", b"signature of old", subject=old.descriptor)
    about_about = put_image("a", "", b"countersignature", subject=about_old.descriptor)
    new = put_image("a", "channel", b"new")
    about_new = put_image("a", "", b"signature of new", subject=new.descriptor)
    about_about_new = put_image("a", "", b"countersignature of new", subject=about_new.descriptor)

    assert collect_garbage(store, grace_s=0).let_go == 0
    collected = collect_garbage(store, untagged=True, grace_s=0)

    assert collected.let_go == 3
    assert {held.descriptor.digest for held in store.state.manifests()} == {
        new.digest,
        about_new.digest,
        about_about_new.digest,
    }
    assert {old.digest, about_old.digest, about_about.digest} <= set(collected.digests)
    assert verify_store(store) == ()


def test_roots_are_kept_with_all_that_they_need(store: Store, put_blob: PutBlob, put_image: PutImage) -> None:
    image = put_image("a", "", b"layer")
    store.state.unhold("a", image.digest)
    feed = put_blob(b"advisories")
    put_blob(b"orphan")

    kept = collect_garbage(store, roots=[image.digest, feed.digest, Digest.of(b"not here")], grace_s=0)

    assert kept.digests == (Digest.of(b"orphan"),)
    assert store.blobs.has(Digest.of(b"layer"))
    collect_garbage(store, grace_s=0)
    assert there(store) == set()


def test_an_index_may_lack_platforms(store: Store, put_image: PutImage, put_index: PutIndex) -> None:
    arm = put_image("a", "", b"arm64")
    put_index("a", "1", put_image("a", "", b"amd64"), arm)
    store.state.unhold("a", arm.digest)
    store.blobs.delete(arm.digest)

    assert set(collect_garbage(store, grace_s=0).digests) == {Digest.of(b"arm64")}
    assert verify_store(store) == ()


@pytest.mark.parametrize("harm", ["missing", "changed"])
def test_a_damaged_store_is_not_collected(store: Store, put_blob: PutBlob, put_image: PutImage, harm: str) -> None:
    """What a manifest needs cannot be known while it cannot be read."""
    image = put_image("a", "1", b"layer")
    put_blob(b"orphan")
    path = store.blobs.path(image.digest)
    assert path is not None
    if harm == "missing":
        path.unlink()
    else:
        path.write_bytes(image.raw[:-1] + b" ")
    before = there(store)

    with pytest.raises(StorageError, match="nothing was removed"):
        collect_garbage(store, grace_s=0)
    assert there(store) == before


def test_a_writer_keeps_the_collector_out(store: Store) -> None:
    with store.lease(), store.lease(), pytest.raises(LockedError):
        collect_garbage(store, timeout_s=0)
    with store.lock(), pytest.raises(LockedError):
        collect_garbage(store, timeout_s=0)
    with store.lock(), pytest.raises(LockedError):
        store.lease(timeout_s=0).__enter__()
    collect_garbage(store, timeout_s=0)


def test_temporaries_of_a_killed_process_are_swept(store: Store) -> None:
    ages = {"partial/.tmp-1": 8, "partial/sha256-x": 8, ".tmp-2": 1, "partial/.tmp-young": 0}
    for name, days in ages.items():
        path = store.root / name
        path.write_bytes(b"12345")
        os.utime(path, (time.time() - days * 86400,) * 2)
    assert "partial" in {problem.subject for problem in verify_store(store)}

    assert collect_garbage(store, dry_run=True).swept == 10
    assert collect_garbage(store).swept == 15
    assert sorted(path.name for path in (store.root / "partial").iterdir()) == [".tmp-young"]
    assert verify_store(store) == ()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    images=st.lists(st.tuples(st.integers(0, 5), st.sets(st.integers(0, 6), max_size=3), st.booleans()), max_size=8),
    orphans=st.sets(st.integers(0, 9)),
)
def test_after_collecting_the_store_is_whole_and_there_is_no_more(
    tmp_path_factory: pytest.TempPathFactory,
    images: list[tuple[int, set[int], bool]],
    orphans: set[int],
) -> None:
    root: Path = tmp_path_factory.mktemp("store")
    with open_store(root, clock=SystemClock()) as store:
        for number, layers, held in images:
            blobs = [b"layer %d" % layer for layer in sorted(layers)]
            for blob in [*blobs, b"{}"]:
                store.blobs.put(Digest.of(blob), len(blob), [blob])
            from sallyport.oci import EMPTY_CONFIG, build_manifest, media_types

            described = [Descriptor(media_types.OCI_LAYER, len(blob), Digest.of(blob)) for blob in blobs]
            manifest = build_manifest(EMPTY_CONFIG, described, annotations={"n": str(number)})
            store.blobs.put(manifest.digest, len(manifest.raw), [manifest.raw])
            if held:
                store.state.hold("a", manifest.descriptor)
        for number in orphans:
            blob = b"orphan %d" % number
            store.blobs.put(Digest.of(blob), len(blob), [blob])

        collect_garbage(store, grace_s=0)

        assert verify_store(store) == ()
        assert collect_garbage(store, grace_s=0).digests == ()
        held_digests = {held.descriptor.digest for held in store.state.manifests()}
        assert held_digests <= there(store)
