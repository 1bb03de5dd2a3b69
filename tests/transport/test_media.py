"""A folder on a medium, as stories."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sallyport.bundle import Position, Receipt, newest_receipt, sign_receipt, verify_bundle
from sallyport.errors import ConflictError, DiskFullError, StorageError, UsageError
from sallyport.transport import Transport, open_transport

START = Position(0, 0)


@pytest.fixture
def medium(tmp_path: Path) -> Transport:
    return open_transport(f"media:{tmp_path / 'usb'}")


def test_a_bundle_may_be_written_on_the_medium_itself(outside: Any, medium: Transport) -> None:
    outside.medium = medium.outgoing
    outside.publish()
    bundle = outside.bundle()

    medium.deliver(bundle)

    assert medium.waiting("plant-7", after=START) == (bundle,)


def test_a_bundle_is_delivered_whole(outside: Any, medium: Transport) -> None:
    outside.publish()
    bundle = outside.bundle()

    medium.deliver(bundle)
    medium.deliver(bundle)

    (carried,) = medium.waiting("plant-7", after=START)
    assert carried.parent == medium.outgoing
    assert verify_bundle(carried, outside.anchor).name == bundle.name
    assert sorted(path.name for path in medium.outgoing.iterdir()) == [bundle.name]


def test_bundles_wait_in_their_order_and_by_destination(medium: Transport) -> None:
    names = ["plant-7-1.10", "plant-7-1.9", "plant-7-2.1", "ship-3-1.1", "plant-1.1", ".plant-7.partial", "receipts"]
    for name in names:
        (medium.outgoing / name).mkdir(parents=True)
    (medium.outgoing / "plant-7-1.99").write_text("a file, no bundle")

    assert [path.name for path in medium.waiting("plant-7", after=START)] == [
        "plant-7-1.9",
        "plant-7-1.10",
        "plant-7-2.1",
    ]
    assert [path.name for path in medium.waiting("plant-7", after=Position(1, 9))] == ["plant-7-1.10", "plant-7-2.1"]
    assert medium.waiting("plant", after=Position(1, 1)) == ()


def test_a_medium_that_is_empty_or_not_there_has_nothing(medium: Transport) -> None:
    assert medium.waiting("plant-7", after=START) == ()
    assert list(medium.receipts()) == []


def test_another_bundle_of_the_same_name_is_not_overwritten(outside: Any, medium: Transport) -> None:
    outside.publish()
    bundle = outside.bundle()
    (medium.outgoing / bundle.name).mkdir(parents=True)

    with pytest.raises(ConflictError, match=bundle.name):
        medium.deliver(bundle)


def test_what_has_no_bundles_name_is_not_delivered(medium: Transport, tmp_path: Path) -> None:
    (tmp_path / "holiday-photos").mkdir()

    with pytest.raises(UsageError):
        medium.deliver(tmp_path / "holiday-photos")


def test_a_full_medium_is_found_first_and_nothing_is_left(
    outside: Any, medium: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside.publish()
    bundle = outside.bundle()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10_000))

    with pytest.raises(DiskFullError, match="usb"):
        medium.deliver(bundle)
    assert list(medium.outgoing.iterdir()) == []


def test_a_delivery_that_breaks_off_leaves_nothing_under_the_name(
    outside: Any, medium: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sallyport.transport import media

    outside.publish()
    bundle = outside.bundle()
    real, calls = media._copy, [0]

    def breaking(source: Path, target: Path) -> None:
        calls[0] += 1
        if calls[0] == 5:
            raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr(media, "_copy", breaking)
    with pytest.raises(DiskFullError):
        medium.deliver(bundle)
    assert list(medium.outgoing.iterdir()) == []


def _receipt(outside: Any, folder: Path, sequence: int, key: str = "receipt") -> Path:
    receipt = Receipt(1, "plant-7", Position(1, sequence), outside.now, (), (), ())
    path = folder / f"plant-7-1.{sequence}.receipt.json"
    path.write_bytes(sign_receipt(receipt, outside.keys[key]))
    return path


def test_receipts_come_back_and_the_newest_that_verifies_counts(
    outside: Any, medium: Transport, tmp_path: Path
) -> None:
    medium.put_receipt(_receipt(outside, tmp_path, 9))
    medium.put_receipt(_receipt(outside, tmp_path, 10))
    medium.put_receipt(_receipt(outside, tmp_path, 11, key="stranger"))

    newest, wrong = newest_receipt(medium.receipts(), outside.keys["receipt"].public, destination="plant-7")

    assert newest is not None
    assert newest.position == Position(1, 10)
    assert len(wrong) == 1
    assert "receipts/plant-7-1.11.receipt.json is not signed by the receipt key of plant-7" in wrong[0].message


def test_what_is_no_receipt_is_passed_over(outside: Any, medium: Transport, tmp_path: Path) -> None:
    medium.put_receipt(_receipt(outside, tmp_path, 1))
    folder = medium.outgoing / "receipts"
    (folder / "notes.txt").write_text("hello")
    (folder / "plant-7-1.2.receipt.json").symlink_to("/dev/zero")
    os.mkfifo(folder / "plant-7-1.3.receipt.json")
    (folder / "plant-7-1.4.receipt.json").mkdir()

    assert [Path(name).name for name, _ in medium.receipts()] == ["plant-7-1.1.receipt.json"]


def test_a_receipt_that_cannot_be_written_says_how_else_to_carry_it(
    outside: Any, medium: Transport, tmp_path: Path
) -> None:
    receipt = _receipt(outside, tmp_path, 1)
    medium.outgoing.mkdir()
    (medium.outgoing / "receipts").write_text("in the way")

    with pytest.raises(StorageError) as caught:
        medium.put_receipt(receipt)
    assert str(receipt) in caught.value.mend
    with pytest.raises(UsageError):
        medium.put_receipt(tmp_path / "other.json")


@pytest.mark.parametrize("address", ["", "media:", "/media/usb0", "diode-of-somebody:x"])
def test_an_unknown_address_says_which_ones_are_known(address: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_transport(address)
    assert "media" in caught.value.mend
