"""What travels and what stays, as laws."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sallyport.bundle import Attached, Blob, BundlePlan, FeedFile, Position, Receipt, Released, plan_bundle
from sallyport.errors import MalformedError, UsageError
from sallyport.oci import Descriptor, Digest, media_types

NOON = datetime(2026, 7, 11, 12, tzinfo=UTC)


def blob(name: str, media_type: str = media_types.OCI_LAYER, size: int = 0) -> Descriptor:
    return Descriptor(media_type, size or len(name), Digest.of(name.encode()))


class Images:
    """Releases over a pool of layers that they share."""

    def __init__(self, images: dict[str, list[str]]) -> None:
        self.below: dict[Digest, tuple[Descriptor, ...]] = {}
        self.released = []
        for name, layers in images.items():
            manifest = blob(f"manifest {name} {layers}", media_types.OCI_MANIFEST)
            signature = blob(f"signature {name} {layers}", media_types.OCI_MANIFEST)
            self.below[manifest.digest] = (blob(f"config {name} {layers}"), *map(blob, layers), manifest)
            self.below[signature.digest] = (blob(f"payload {name} {layers}"), signature)
            attached = Attached(signature, manifest.digest, "")
            self.released.append(Released(name, "1", manifest, "upstream.example/x:1", (attached,)))

    def reachable(self, descriptor: Descriptor) -> tuple[Descriptor, ...]:
        return self.below[descriptor.digest]

    def every(self) -> set[Digest]:
        return {found.digest for below in self.below.values() for found in below}

    def plan(self, receipt: Receipt | None = None, **named: Any) -> BundlePlan:
        return plan_bundle(self.released, self.reachable, receipt, destination="plant-7", **named)


def receipt(holds: set[Digest], imported: list[Released] | None = None, destination: str = "plant-7") -> Receipt:
    names = tuple(one.name for one in imported or [])
    return Receipt(1, destination, Position(1, 1), NOON, tuple(sorted(holds)), names, ())


images = st.dictionaries(
    st.sampled_from(["a", "b", "c", "d"]), st.lists(st.sampled_from(["l1", "l2", "l3", "l4"]), max_size=4), max_size=4
).map(Images)


@settings(max_examples=100, deadline=None)
@given(images=images, data=st.data())
def test_carried_and_required_are_everything_and_only_what_the_receipt_lists_is_left_out(
    images: Images, data: st.DataObject
) -> None:
    held = data.draw(st.sets(st.sampled_from(sorted(images.every())))) if images.released else set()
    imported = data.draw(st.lists(st.sampled_from(images.released), unique_by=lambda o: o.name)) if held else []

    plan = images.plan(receipt(held, imported))

    carries, requires = ({b.digest for b in blobs} for blobs in (plan.carries, plan.requires))
    needed = {
        found.digest
        for one in plan.released
        for top in (one.descriptor, one.attached[0].descriptor)
        for found in images.reachable(top)
    }
    assert carries | requires == needed
    assert not carries & requires
    assert requires <= held
    assert {one.descriptor.digest for one in plan.released} <= carries
    assert len(plan.carries) == len(carries)
    assert {*plan.released, *plan.imported} == set(images.released)
    assert not set(plan.released) & set(plan.imported)
    assert plan.empty == (not plan.released)


@settings(max_examples=50, deadline=None)
@given(images=images)
def test_without_a_receipt_everything_travels(images: Images) -> None:
    plan = images.plan()

    assert {one.digest for one in plan.carries} == images.every()
    assert plan.requires == ()
    assert plan.spared == 0


@settings(max_examples=50, deadline=None)
@given(images=images)
def test_when_the_receipt_has_everything_the_plan_is_empty(images: Images) -> None:
    plan = images.plan(receipt(images.every(), images.released))

    assert plan.empty
    assert (plan.carries, plan.requires, plan.bytes) == ((), (), 0)


def test_the_blobs_alone_are_not_the_import() -> None:
    images = Images({"a": ["l1"]})

    plan = images.plan(receipt(images.every()))

    # Refused there, or its blobs came with others: it is brought again, and only its manifests travel.
    assert not plan.empty
    assert {b.digest for b in plan.carries} == {
        images.released[0].descriptor.digest,
        images.released[0].attached[0].descriptor.digest,
    }


def test_an_import_whose_bytes_have_gone_is_brought_again() -> None:
    images = Images({"a": ["l1"]})

    plan = images.plan(receipt(images.every() - {Digest.of(b"l1")}, images.released))

    assert not plan.empty
    assert Digest.of(b"l1") in {b.digest for b in plan.carries}


def test_feeds_always_travel_and_do_not_make_a_plan_full() -> None:
    images = Images({"a": []})
    feed = FeedFile(Blob(Digest.of(b"feed"), 4), "changelog", NOON)

    plan = images.plan(receipt(images.every(), images.released), feeds=[feed])

    assert plan.empty
    assert plan.carries == (feed.blob,)


def test_one_tag_is_released_once() -> None:
    images = Images({"a": ["l1"]})
    other = blob("another", media_types.OCI_MANIFEST)
    images.below[other.digest] = (other,)
    images.released.append(images.released[0])
    assert len(images.plan().released) == 1

    images.released.append(Released("a", "1", other, ""))
    with pytest.raises(UsageError, match="a:1 is released twice"):
        images.plan()


def test_a_receipt_of_another_destination_is_not_used() -> None:
    with pytest.raises(UsageError, match="ship-3"):
        Images({}).plan(receipt(set(), destination="ship-3"))


def test_two_sizes_of_one_blob_are_a_broken_image() -> None:
    images = Images({"a": ["l1"], "b": []})
    top = images.released[1].descriptor
    images.below[top.digest] += (blob("l1", size=99),)

    with pytest.raises(MalformedError, match="99"):
        images.plan()
