"""Writing: whole or not at all, gone on from after a kill, signed by those who must."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sallyport.bundle import (
    BundleExistsError,
    NoBundleError,
    Position,
    Signers,
    UnsignedBundleError,
    WronglySignedError,
    approve_bundle,
    find_staged,
    init_root,
    next_position,
    ref_name,
    seal_bundle,
    stage_bundle,
    verify_bundle,
    write_bundle,
)
from sallyport.errors import DigestMismatchError, DiskFullError, LockedError, MissingBlobError, UsageError
from sallyport.oci import Descriptor, Digest, LayoutReader, load_images, media_types, read_layer


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_bundle_is_an_image_layout_that_others_can_read(outside: Any) -> None:
    released = outside.publish()
    layout = LayoutReader(outside.bundle())

    entries = {entry.annotations.get("org.opencontainers.image.ref.name"): entry for entry in layout.entries()}
    assert entries["team/app:12-20260711.1"].digest == released.descriptor.digest
    assert f"team/app:sha256-{released.descriptor.digest.hex}.sig" in entries
    assert None in entries  # the referrer, which other tools find by its subject
    for image in load_images(layout, entries["team/app:12-20260711.1"]):
        for layer, diff_id in image.layers:
            for _ in read_layer(layout, layer, diff_id=diff_id):
                pass


def test_the_same_plan_at_the_same_time_gives_the_same_bytes(outside: Any, tmp_path: Path) -> None:
    outside.publish()
    first = outside.bundle(position=Position(1, 1))
    outside.medium = tmp_path / "again"
    second = outside.bundle(position=Position(1, 1))

    for path in sorted(path for path in first.rglob("*") if path.is_file()):
        assert (second / path.relative_to(first)).read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("repository", "tag", "is_tag"),
    [("team/app", "12-20260711.1", True), ("a__b", "1", False), ("a---b", "1", False), ("a", "1..2", False)],
)
def test_a_name_that_other_tools_refuse_gives_way_to_the_digest(repository: str, tag: str, is_tag: bool) -> None:  # noqa: FBT001 - what is expected
    descriptor = Descriptor(media_types.OCI_MANIFEST, 1, Digest.of(b"x"))

    assert ref_name(repository, tag, descriptor) == (f"{repository}:{tag}" if is_tag else str(descriptor.digest))


def test_sequences_are_given_out_once(outside: Any) -> None:
    taken = [next_position(outside.store, "plant-7") for _ in range(3)]
    assert taken == [Position(1, 1), Position(1, 2), Position(1, 3)]
    assert next_position(outside.store, "ship-3") == Position(1, 1)
    assert next_position(outside.store, "plant-7", new_epoch=True) == Position(2, 1)
    assert next_position(outside.store, "plant-7") == Position(2, 2)
    with pytest.raises(UsageError):
        next_position(outside.store, "Plant 7")


def test_a_bundle_is_never_overwritten(outside: Any) -> None:
    outside.publish()
    outside.bundle(position=Position(1, 1))

    with pytest.raises(BundleExistsError):
        outside.bundle(position=Position(1, 1))
    assert names(outside.medium) == ["plant-7-1.1"]


def test_a_full_medium_is_found_before_anything_is_copied(outside: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    outside.publish()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))

    with pytest.raises(DiskFullError, match="1,000 are free"):
        outside.bundle()
    assert not [path for path in outside.medium.rglob("*") if path.is_file()]


class Store:
    """The outside's store, whose reads are counted and can end in a kill or in other bytes."""

    def __init__(self, blobs: Any, *, kill_after: int | None = None) -> None:
        self._blobs = blobs
        self.kill_after = kill_after
        self.opened: list[Digest] = []
        self.changed: set[Digest] = set()

    def has(self, digest: Digest) -> bool:
        return bool(self._blobs.has(digest))

    def size(self, digest: Digest) -> int:
        return int(self._blobs.size(digest))

    def chunks(self, digest: Digest, *, offset: int = 0) -> Iterator[bytes]:
        if self.kill_after is not None and len(self.opened) >= self.kill_after:
            raise KeyboardInterrupt
        self.opened.append(digest)
        for chunk in self._blobs.chunks(digest, offset=offset):
            yield bytes(len(chunk)) if digest in self.changed else chunk


def write(outside: Any, store: Store, sequence: int) -> Any:
    return write_bundle(
        outside.plan(),
        store,
        outside.medium,
        position=Position(1, sequence),
        created=outside.now,
        roots=outside.roots,
        signers=outside.signers(),
    )


@pytest.mark.parametrize("after", [0, 1, 3, 6])
def test_after_a_kill_whole_blobs_are_hashed_and_not_copied_again(outside: Any, after: int) -> None:
    outside.publish()
    with pytest.raises(KeyboardInterrupt):
        write(outside, Store(outside.store.blobs, kill_after=after), 1)
    assert names(outside.medium) == [".plant-7.partial"]
    store = Store(outside.store.blobs)

    written = write(outside, store, 2)

    assert names(outside.medium) == ["plant-7-1.2"]
    assert len(store.opened) == len(outside.plan().carries) - after
    assert written.copied < outside.plan().bytes or after == 0
    verify_bundle(written.folder, outside.anchor)


def test_a_torn_blob_is_copied_again(outside: Any, flip: Callable[[Path, int, int], bytes]) -> None:
    outside.publish()
    with pytest.raises(KeyboardInterrupt):
        write(outside, Store(outside.store.blobs, kill_after=5), 1)
    for path in (outside.medium / ".plant-7.partial" / "blobs" / "sha256").glob("?" * 64):
        flip(path, 0, 0)

    verify_bundle(write(outside, Store(outside.store.blobs), 2).folder, outside.anchor)


def test_what_an_older_plan_left_is_removed(outside: Any) -> None:
    outside.publish("team/withdrawn", files={"x": os.urandom(100)})
    with pytest.raises(KeyboardInterrupt):
        write(outside, Store(outside.store.blobs, kill_after=6), 1)
    outside.releases.clear()
    outside.publish()

    verify_bundle(write(outside, Store(outside.store.blobs), 2).folder, outside.anchor)


def test_a_store_that_lost_or_changed_a_blob_is_named(outside: Any) -> None:
    outside.publish()
    lost = outside.plan().carries[1].digest
    store = Store(outside.store.blobs)
    store.changed.add(lost)

    with pytest.raises(DigestMismatchError, match=str(lost)):
        write(outside, store, 1)
    outside_plan = outside.plan()
    outside.store.blobs.delete(lost)
    with pytest.raises(MissingBlobError, match=str(lost)):
        write_bundle(
            outside_plan,
            outside.store.blobs,
            outside.medium,
            position=Position(1, 1),
            created=outside.now,
            roots=outside.roots,
            signers=outside.signers(),
        )
    assert names(outside.medium) == [".plant-7.partial"]


def test_two_writers_do_not_meet_in_one_folder(outside: Any) -> None:
    import fcntl

    outside.publish()
    outside.medium.mkdir()
    handle = os.open(outside.medium, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(LockedError):
            outside.bundle()
    finally:
        os.close(handle)


# --- signatures -----------------------------------------------------------------------------


def test_approvers_sign_when_they_can_and_the_pipeline_seals(outside: Any) -> None:
    outside.found(targets=("alice", "bob", "carol"), targets_threshold=2)
    outside.publish()
    stage_bundle(
        outside.plan(),
        outside.store.blobs,
        outside.medium,
        position=Position(1, 1),
        created=outside.now,
        roots=outside.roots,
    )
    pipeline = outside.keys["pipeline"]
    nobody = Signers((), pipeline, pipeline)
    with pytest.raises(UnsignedBundleError, match=r"targets\.json"):
        seal_bundle(find_staged(outside.medium, "plant-7"), nobody)

    approve_bundle(find_staged(outside.medium, "plant-7"), [outside.keys["carol"]])
    with pytest.raises(WronglySignedError, match="1 of 2"):
        seal_bundle(find_staged(outside.medium, "plant-7"), nobody)
    approve_bundle(find_staged(outside.medium, "plant-7"), [outside.keys["alice"]])
    written = seal_bundle(find_staged(outside.medium, "plant-7"), nobody)

    verify_bundle(written.folder, outside.anchor)
    with pytest.raises(NoBundleError):
        find_staged(outside.medium, "plant-7")


def test_one_approver_does_not_count_twice(outside: Any) -> None:
    outside.found(targets=("alice", "bob"), targets_threshold=2)
    outside.publish()

    with pytest.raises(WronglySignedError, match="1 of 2"):
        outside.bundle(signers=outside.signers("alice", "alice"))
    assert outside.bundle(signers=outside.signers("alice", "bob")).is_dir()


def test_a_root_of_another_destination_does_not_serve(outside: Any) -> None:
    outside.publish()
    outside.roots = [
        init_root("ship-3", outside.root_keys(), [outside.keys["root"]], expires=outside.now.replace(year=2036))
    ]

    with pytest.raises(UsageError, match="ship-3"):
        outside.bundle()


def test_the_sequence_is_in_every_version_and_the_epoch_is_signed(outside: Any) -> None:
    bundle = outside.bundle(position=Position(3, 14))

    def signed(name: str) -> Any:
        return json.loads((bundle / "metadata" / f"{name}.json").read_bytes())["signed"]

    assert {signed(name)["version"] for name in ("timestamp", "snapshot", "targets")} == {14}
    assert signed("targets")["sallyport"] == {"destination": "plant-7", "epoch": 3, "root": 1}
    assert set(signed("targets")["targets"]) == {"bundle.json", "index.json", "oci-layout"}


def test_other_tuf_clients_accept_a_bundle(outside: Any, tmp_path: Path) -> None:
    """python-tuf's own client, reading the folder as a repository: the metadata are TUF, not like TUF."""
    from tuf.api.exceptions import DownloadHTTPError
    from tuf.ngclient import FetcherInterface, Updater  # type: ignore[attr-defined]

    outside.now = outside.now.replace(year=2036)
    outside.found()
    outside.publish()
    bundle = outside.bundle()

    class Folder(FetcherInterface):
        def _fetch(self, url: str) -> Iterator[bytes]:
            path = bundle / url.removeprefix("bundle:/")
            if not path.is_file():
                raise DownloadHTTPError("no such file", 404)
            yield path.read_bytes()

    (tmp_path / "client").mkdir()
    updater = Updater(
        metadata_dir=str(tmp_path / "client"),
        metadata_base_url="bundle:/metadata/",
        target_dir=str(tmp_path / "client"),
        target_base_url="bundle:/",
        fetcher=Folder(),
        bootstrap=outside.roots[0],
    )
    updater.refresh()
    target = updater.get_targetinfo("bundle.json")
    assert target is not None
    updater.download_target(target, str(tmp_path / "statement"))
    assert (tmp_path / "statement").read_bytes() == (bundle / "bundle.json").read_bytes()
