"""The inside door, as stories."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import pytest

from sallyport.bundle import (
    ExpiredMetadataError,
    ForeignBundleError,
    MissingRequiredError,
    Position,
    ReplayedBundleError,
    RolledBackRootError,
    TrustStore,
    TwoBundlesError,
    rotate_root,
)
from sallyport.errors import DiskFullError, LockedError, SallyportError, StorageError, UnreachableError
from sallyport.gate import Passed, Refused, Undecided
from sallyport.oci import load_images, read_layer
from sallyport.store import collect_garbage, verify_store


def test_a_bundle_is_received_whole(outside: Any, inside: Any) -> None:
    released = outside.publish()
    received = inside.receive(outside.bundle())

    assert [outcome.imported for outcome in received.outcomes] == [True]
    tag = inside.store.state.tag("team/app", "12-20260711.1")
    assert tag.immutable
    assert tag.descriptor.digest == released.descriptor.digest
    for image in load_images(inside.store.blobs, released.descriptor):
        for layer, diff_id in image.layers:
            assert [entry.path for entry, _ in read_layer(inside.store.blobs, layer, diff_id=diff_id)]
    assert verify_store(inside.store) == ()
    assert [step.number for step in received.steps] == [1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]
    assert received.bytes == sum(blob.size for blob in outside.plan().carries)
    assert not list((inside.store.root / "quarantine" / "blobs" / "sha256").iterdir())


def test_the_signatures_arrive_with_the_image(outside: Any, inside: Any) -> None:
    from sallyport.sign import attached

    released = outside.publish()
    inside.receive(outside.bundle())

    kinds = {found.tag for found in attached(inside.store, "team/app", released.descriptor.digest)}
    assert kinds == {"", f"sha256-{released.descriptor.digest.hex}.sig"}


def test_garbage_collection_spares_all_that_was_received(outside: Any, inside: Any) -> None:
    outside.publish()
    inside.receive(outside.bundle())
    before = set(inside.store.blobs.digests())

    collect_garbage(inside.store, grace_s=0)

    assert set(inside.store.blobs.digests()) == before


def test_a_replayed_bundle_is_refused_and_named(outside: Any, inside: Any) -> None:
    outside.publish(tag="12-20260706.1")
    monday = outside.bundle()
    outside.publish(tag="12-20260707.1", files={"app": b"v2"})
    tuesday = outside.bundle()
    inside.receive(monday)
    inside.receive(tuesday)
    before = inside.picture()

    with pytest.raises(ReplayedBundleError, match=monday.name):
        inside.receive(monday)
    with pytest.raises(ReplayedBundleError, match=tuesday.name):
        inside.receive(tuesday)
    assert inside.picture() == before


def test_a_bundle_may_be_skipped_and_not_be_received_later(outside: Any, inside: Any) -> None:
    outside.publish()
    monday, tuesday = outside.bundle(), outside.bundle()
    inside.receive(tuesday)

    with pytest.raises(ReplayedBundleError, match=f"{monday.name} is older than {tuesday.name}"):
        inside.receive(monday)


def test_the_next_bundle_carries_only_what_the_receipt_does_not_list(outside: Any, inside: Any) -> None:
    base = outside.layer({"big": os.urandom(100_000)})
    outside.publish(tag="12-20260706.1", base=base)
    first = inside.receive(outside.bundle())
    receipt = inside.receipt(first)
    outside.publish(tag="12-20260707.1", base=base, files={"app": b"v2"})

    plan = outside.plan(receipt)
    assert base[0].digest in {blob.digest for blob in plan.requires}
    assert [one.tag for one in plan.released] == ["12-20260707.1"]
    assert plan.bytes < 100_000 < plan.spared
    second = inside.receive(outside.bundle(receipt))

    assert [outcome.imported for outcome in second.outcomes] == [True]
    assert verify_store(inside.store) == ()


def test_when_all_has_arrived_there_is_nothing_to_carry(outside: Any, inside: Any) -> None:
    outside.publish()
    outside.publish("team/other", files={"other": b"1"})
    receipt = inside.receipt(inside.receive(outside.bundle()))

    plan = outside.plan(receipt)
    assert plan.empty
    assert plan.bytes == 0
    assert len(plan.imported) == 2


def test_a_lost_bundle_costs_bytes_and_nothing_else(outside: Any, inside: Any) -> None:
    receipt = inside.receipt(inside.receive(outside.bundle()))
    outside.publish(tag="12-20260706.1")
    lost = outside.bundle(receipt)
    outside.publish(tag="12-20260707.1", files={"app": b"v2"})
    found = outside.bundle(receipt)

    received = inside.receive(found)

    assert lost.name == "plant-7-1.2"
    assert [outcome.released.tag for outcome in received.outcomes] == ["12-20260706.1", "12-20260707.1"]
    assert all(outcome.imported for outcome in received.outcomes)


def test_a_bundle_that_builds_on_what_is_not_here_names_it_and_the_mend(outside: Any, inside: Any) -> None:
    base = outside.layer({"base": b"x" * 5000})
    outside.publish(tag="12-20260706.1", base=base)
    receipt = inside.receipt(inside.receive(outside.bundle()))
    outside.publish(tag="12-20260707.1", base=base, files={"app": b"v2"})
    bundle = outside.bundle(receipt)
    inside.store.blobs.delete(base[0].digest)
    before = inside.picture()

    with pytest.raises(MissingRequiredError, match=str(base[0].digest)) as caught:
        inside.receive(bundle)
    assert "receipt" in caught.value.mend
    assert inside.picture() == before

    # The mend: a receipt of what is really here, and another bundle.
    from sallyport.receive import make_receipt

    honest = make_receipt(inside.store, destination="plant-7", position=Position(1, 1), now=inside.now)
    assert all(outcome.imported for outcome in inside.receive(outside.bundle(honest)).outcomes)


def test_a_bundle_for_another_destination_is_refused(outside: Any, inside: Any, tmp_path: Path) -> None:
    other = replace(outside, destination="ship-3", medium=tmp_path / "other", roots=[], releases=[], feeds=[])
    other.found()
    other.publish()

    with pytest.raises(ForeignBundleError, match="ship-3"):
        inside.receive(other.bundle())


def test_two_bundles_of_one_position_are_told_apart(outside: Any, inside: Any, tmp_path: Path) -> None:
    outside.publish()
    first = outside.bundle(position=Position(1, 1))
    outside.medium = tmp_path / "again"
    outside.publish(tag="12-20260707.1")
    second = outside.bundle(position=Position(1, 1))
    inside.receive(first)

    with pytest.raises(TwoBundlesError, match=r"plant-7-1\.1"):
        inside.receive(second)


def test_a_new_epoch_is_newer_than_every_sequence_of_the_old_one(outside: Any, inside: Any) -> None:
    outside.publish()
    inside.receive(outside.bundle(position=Position(1, 70)))
    outside.publish(tag="12-20260707.1")

    received = inside.receive(outside.bundle(position=Position(2, 1)))

    assert received.position == Position(2, 1)
    with pytest.raises(ReplayedBundleError):
        inside.receive(outside.bundle(position=Position(1, 71)))


# --- the inside judges by itself ------------------------------------------------------------


def test_what_the_inside_refuses_leaves_no_trace(outside: Any, inside: Any) -> None:
    good = outside.publish("team/good")
    bad = outside.publish("team/bad", files={"bad": os.urandom(2000)})
    inside.refuses.add("team/bad")

    received = inside.receive(outside.bundle())

    verdicts = {outcome.released.repository: outcome.verdict for outcome in received.outcomes}
    assert verdicts == {"team/good": Passed(("2 scans",)), "team/bad": Refused(("our policy says no",))}
    assert inside.store.state.tag("team/bad", bad.tag) is None
    assert not inside.store.blobs.has(bad.descriptor.digest)
    assert inside.store.blobs.has(good.descriptor.digest)
    receipt = inside.receipt(received)
    assert receipt.imported == (good.name,)
    assert receipt.refused == (f"{bad.name}: our policy says no",)
    assert verify_store(inside.store) == ()
    # It is brought again, whole, for a policy may change.
    plan = outside.plan(receipt)
    assert [one.repository for one in plan.released] == ["team/bad"]


def test_without_a_scan_of_our_own_nothing_crosses(outside: Any, inside: Any) -> None:
    outside.publish()
    inside.unscanned.add("team/app")

    received = inside.receive(outside.bundle())

    assert isinstance(received.outcomes[0].verdict, Undecided)
    assert inside.store.state.tags("team/app") == []


def test_the_outsides_scan_does_not_count_as_ours(outside: Any, inside: Any) -> None:
    outside.publish()
    inside.side = "outside"

    received = inside.receive(outside.bundle())

    assert isinstance(received.outcomes[0].verdict, Undecided)
    assert "does not count" in received.outcomes[0].verdict.because[0]


def test_a_platform_without_a_scan_keeps_the_image_out(outside: Any, inside: Any) -> None:
    outside.publish()
    whole = inside.scan

    received = inside.receive(outside.bundle(), scan=lambda *found: whole(*found)[:1])

    assert received.outcomes[0].verdict == Undecided(("the inside has made no scan for linux/arm64",))


def test_the_scan_is_given_the_feeds_that_came(outside: Any, inside: Any) -> None:
    outside.publish()
    feed = outside.feed(b"some advisories")

    received = inside.receive(outside.bundle(), read_feeds=lambda path: (path.read_bytes(),))

    assert inside.feeds == [(b"some advisories",)]
    assert received.feeds == (feed,)
    assert inside.store.blobs.has(feed.blob.digest)


def test_a_scan_that_cannot_be_made_changes_nothing_and_may_be_tried_again(outside: Any, inside: Any) -> None:
    outside.publish()
    bundle = outside.bundle()
    before = inside.picture()

    def unreachable(*_: object) -> Any:
        raise UnreachableError("no source answered", "run it again")

    with pytest.raises(UnreachableError):
        inside.receive(bundle, scan=unreachable)
    assert inside.picture() == before
    assert inside.receive(bundle).outcomes[0].imported


def test_an_immutable_tag_never_moves(outside: Any, inside: Any, tmp_path: Path) -> None:
    outside.publish()
    inside.receive(outside.bundle())
    before = inside.store.state.tag("team/app", "12-20260711.1")
    outside.releases.clear()
    outside.publish(files={"app": b"another image, the same tag"})

    received = inside.receive(outside.bundle())

    assert isinstance(received.outcomes[0].verdict, Refused)
    assert "never moves" in received.outcomes[0].verdict.because[0]
    assert inside.store.state.tag("team/app", "12-20260711.1") == before


# --- images that are not what they say ------------------------------------------------------


def test_an_unsigned_image_is_refused_alone(outside: Any, inside: Any) -> None:
    outside.publish("team/good")
    outside.publish("team/bad", sign=False, files={"bad": b"1"})

    received = inside.receive(outside.bundle())

    found = {outcome.released.repository: outcome for outcome in received.outcomes}
    assert found["team/good"].imported
    assert found["team/bad"].verdict.because[0].startswith("Unsigned: ")
    assert found["team/bad"].scans == ()


def test_an_image_signed_by_another_key_is_refused(outside: Any, inside: Any) -> None:
    outside.publish(key="stranger")

    received = inside.receive(outside.bundle())

    assert received.outcomes[0].verdict.because[0].startswith("WrongSignature: ")


def test_a_signature_for_another_name_does_not_serve(outside: Any, inside: Any) -> None:
    released = outside.publish()
    outside.releases[:] = [replace(released, tag="13-20260711.1")]

    received = inside.receive(outside.bundle())

    assert received.outcomes[0].verdict.because[0].startswith("WrongSignature: ")


def test_a_layer_with_another_content_than_the_config_says_is_refused(outside: Any, inside: Any) -> None:
    from sallyport.oci import Digest

    layer, _ = outside.layer({"app": b"what it is"})
    outside.publish(descriptor=outside.image((layer, Digest.of(b"what it says"))))

    received = inside.receive(outside.bundle())

    assert received.outcomes[0].verdict.because[0].startswith("DigestMismatch: ")
    assert inside.scanned == []


def test_a_remembered_layer_does_not_lend_its_content_to_another_config(outside: Any, inside: Any) -> None:
    from sallyport.oci import Digest

    base = outside.layer({"base": b"1"})
    outside.publish("team/good", descriptor=outside.image(base))
    receipt = inside.receipt(inside.receive(outside.bundle()))
    outside.publish("team/bad", descriptor=outside.image((base[0], Digest.of(b"another"))))

    received = inside.receive(outside.bundle(receipt))

    assert received.outcomes[0].verdict.because[0].startswith("DigestMismatch: ")


@pytest.mark.parametrize(
    ("data", "says"),
    [(b"this is no archive at all" * 100, "Malformed"), (b"\x1f\x8b\x08\x00" + b"\0" * 50, "")],
)
def test_a_layer_that_is_no_archive_is_refused(outside: Any, inside: Any, data: bytes, says: str) -> None:
    from sallyport.oci import Digest, media_types

    layer = outside.blob(data, media_types.OCI_LAYER_GZIP)
    outside.publish("team/bad", descriptor=outside.image((layer, Digest.of(b"x"))))
    outside.publish("team/good")

    received = inside.receive(outside.bundle())

    found = {outcome.released.repository: outcome for outcome in received.outcomes}
    assert found["team/bad"].verdict.because[0].startswith(says)
    assert isinstance(found["team/bad"].verdict, Refused)
    assert found["team/good"].imported


def test_an_artifact_without_an_image_is_no_release(outside: Any, inside: Any) -> None:
    from sallyport.oci import build_manifest

    config = outside.blob(b"{}", "application/vnd.example.config+json")
    manifest = build_manifest(config, [])
    outside.publish(descriptor=outside.blob(manifest.raw, manifest.media_type))

    received = inside.receive(outside.bundle())

    assert "no container image" in received.outcomes[0].verdict.because[0]


# --- media ----------------------------------------------------------------------------------


def test_one_flipped_bit_in_a_blob_stops_everything(
    outside: Any, inside: Any, flip: Callable[[Path, int, int], bytes]
) -> None:
    outside.publish()
    bundle = outside.bundle()
    before = inside.picture()
    for path in sorted((bundle / "blobs" / "sha256").iterdir()):
        good = flip(path, path.stat().st_size // 2, 3)
        with pytest.raises(SallyportError, match=path.name):
            inside.receive(bundle)
        path.write_bytes(good)
        assert inside.picture() == before
    assert inside.receive(bundle).outcomes[0].imported


def test_a_damaged_copy_of_what_is_here_already_is_found_too(
    outside: Any, inside: Any, flip: Callable[[Path, int, int], bytes]
) -> None:
    outside.publish()
    inside.receive(outside.bundle())
    again = outside.bundle()  # as after a lost receipt: it carries all once more
    path = max((again / "blobs" / "sha256").iterdir(), key=lambda path: path.stat().st_size)
    flip(path, 10, 0)

    with pytest.raises(SallyportError, match=path.name):
        inside.receive(again)


def test_a_read_only_medium_is_enough(outside: Any, inside: Any) -> None:
    outside.publish()
    bundle = outside.bundle()
    for path in [bundle, *bundle.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = {path: path.stat().st_mtime_ns for path in [bundle, *bundle.rglob("*")]}

    assert inside.receive(bundle).outcomes[0].imported

    assert {path: path.stat().st_mtime_ns for path in [bundle, *bundle.rglob("*")]} == before
    for path in [bundle, *bundle.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)


def test_a_full_disk_is_found_before_anything_is_written(
    outside: Any, inside: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    outside.publish()
    bundle = outside.bundle()
    before = inside.picture()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1))

    with pytest.raises(DiskFullError, match="quarantine"):
        inside.receive(bundle)
    assert inside.picture() == before


# --- roots and clocks -----------------------------------------------------------------------


def test_keys_change_by_carrying_a_new_root(outside: Any, inside: Any) -> None:
    outside.publish()
    inside.receive(outside.bundle())
    stale = outside.bundle()
    keys = outside.root_keys(root=("root-2",), targets=("approver-2",))
    newer = rotate_root(
        outside.roots[0], keys, [outside.keys["root"], outside.keys["root-2"]], expires=outside.now.replace(year=2036)
    )
    outside.roots.append(newer)
    outside.publish(tag="12-20260707.1")

    inside.receive(outside.bundle(signers=outside.signers("approver-2")))

    assert TrustStore.open(inside.trust).anchor.roots.version == 2
    with pytest.raises(RolledBackRootError):
        inside.receive(stale)


def test_a_withdrawn_key_is_withdrawn_even_by_a_bundle_that_is_not_received(outside: Any, inside: Any) -> None:
    outside.publish()
    newer = rotate_root(
        outside.roots[0],
        outside.root_keys(targets=("approver-2",)),
        [outside.keys["root"]],
        expires=outside.now.replace(year=2036),
    )
    stale = outside.bundle()
    outside.roots.append(newer)
    broken = outside.bundle(signers=outside.signers("approver-2"))
    max((broken / "blobs" / "sha256").iterdir()).unlink()

    with pytest.raises(SallyportError):
        inside.receive(broken)
    with pytest.raises(RolledBackRootError):
        inside.receive(stale)


def test_a_clock_that_differs_is_reported_and_not_refused(outside: Any, inside: Any) -> None:
    outside.publish()
    inside.now = outside.now - timedelta(days=400)

    received = inside.receive(outside.bundle())

    assert received.outcomes[0].imported
    assert any("clocks differ" in note for note in received.notes)


def test_a_slip_of_the_outsides_clock_does_not_make_later_bundles_expire(outside: Any, inside: Any) -> None:
    outside.publish()
    honest = outside.now
    outside.now = honest + timedelta(days=365 * 5)
    inside.receive(outside.bundle())
    outside.now = honest
    outside.publish(tag="12-20260712.1")

    assert all(outcome.imported for outcome in inside.receive(outside.bundle()).outcomes)


def test_metadata_that_ended_before_a_proven_time_is_refused(outside: Any, inside: Any) -> None:
    outside.publish()
    forgotten = outside.bundle(position=Position(1, 9))
    later = outside.now + timedelta(days=200)
    TrustStore.open(inside.trust).advance(later, now=later)

    with pytest.raises(ExpiredMetadataError, match=r"timestamp\.json"):
        inside.receive(forgotten)


def test_this_machines_clock_alone_expires_nothing(outside: Any, inside: Any) -> None:
    outside.publish()
    inside.now = outside.now + timedelta(days=200)

    received = inside.receive(outside.bundle())

    assert received.outcomes[0].imported
    assert any("signatures ended" in note for note in received.notes)


@pytest.mark.parametrize("bad", ["metadata/targets.json", "index.json", "blobs"])
def test_a_bad_spot_on_the_medium_is_named(
    outside: Any, inside: Any, monkeypatch: pytest.MonkeyPatch, bad: str
) -> None:
    from sallyport.bundle import blobs, folder

    class Bad:
        """A file that can be opened, and not be read."""

        def __init__(self, file: Any) -> None:
            self._file = file

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            self._file.close()

        def fileno(self) -> int:
            return int(self._file.fileno())

        def seek(self, *_: int) -> int:
            return 0

        def read(self, size: int) -> bytes:
            raise OSError(5, "Input/output error")

    real = folder.open_file

    def opening(at: Path, path: str) -> Any:
        return Bad(real(at, path)) if path.startswith(bad) else real(at, path)

    outside.publish()
    bundle = outside.bundle()
    before = inside.picture()
    monkeypatch.setattr(folder, "open_file", opening)
    monkeypatch.setattr(blobs, "open_file", opening)

    with pytest.raises(StorageError, match=bad) as caught:
        inside.receive(bundle)
    assert "Input/output error" in caught.value.message
    assert inside.picture() == before


def test_receipts_are_kept_to_be_carried_back(outside: Any, inside: Any) -> None:
    from sallyport.receive import receipts_of

    assert list(receipts_of(inside.store)) == []
    outside.publish()
    first = inside.receive(outside.bundle())
    second = inside.receive(outside.bundle())

    assert list(receipts_of(inside.store)) == [first.receipt_file, second.receipt_file]


def test_several_images_are_looked_at_at_once(outside: Any, inside: Any) -> None:
    from sallyport.engine import Threads

    base = outside.layer({"base": b"1"})
    for number in range(6):
        outside.publish(f"team/app-{number}", base=base, files={"n": str(number).encode()})

    received = inside.receive(outside.bundle(), executor=Threads(4))

    assert [outcome.imported for outcome in received.outcomes] == [True] * 6
    assert verify_store(inside.store) == ()


def test_a_store_that_keeps_its_blobs_elsewhere_is_filled_by_copying(outside: Any, inside: Any) -> None:
    class Elsewhere:
        """Blobs in an object store, as far as anybody here can tell."""

        def __init__(self, blobs: Any) -> None:
            self._blobs = blobs

        def __getattr__(self, name: str) -> Any:
            return getattr(self._blobs, name)

    released = outside.publish()
    inside.store = replace(inside.store, blobs=Elsewhere(inside.store.blobs))

    assert inside.receive(outside.bundle()).outcomes[0].imported
    assert inside.store.blobs.has(released.descriptor.digest)
    assert verify_store(inside.store) == ()


def test_two_bundles_are_not_received_at_once(outside: Any, inside: Any) -> None:
    from sallyport.engine import exclusive

    outside.publish()
    bundle = outside.bundle()
    (inside.store.root / "quarantine").mkdir()

    with exclusive(inside.store.root / "quarantine" / ".lock"), pytest.raises(LockedError):
        inside.receive(bundle, wait_s=0.1)
