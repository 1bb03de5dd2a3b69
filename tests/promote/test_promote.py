"""Channels move, and only to what cannot move."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sallyport.errors import ImmutableTagError, UsageError
from sallyport.oci import Descriptor, Digest, media_types
from sallyport.promote import Promotion, promote
from sallyport.store import State


def image(text: str) -> Descriptor:
    return Descriptor(media_types.OCI_INDEX, len(text), Digest.of(text.encode()))


MONDAY, TUESDAY = image("monday"), image("tuesday")


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    state = State(f"sqlite:///{tmp_path}/state.db")
    state.set_tag("debian/web", "12-20260706.1", MONDAY, immutable=True)
    state.set_tag("debian/web", "12-20260707.1", TUESDAY, immutable=True)
    state.set_tag("debian/web", "12", TUESDAY)
    yield state
    state.close()


def test_a_channel_follows_promotions_and_can_be_rolled_back(state: State) -> None:
    first = promote(state, "debian/web", "12-20260706.1")
    assert first == Promotion("debian/web", "12-20260706.1", "stable", MONDAY, None)

    second = promote(state, "debian/web", "12-20260707.1")
    assert (second.previous, second.moved) == (MONDAY.digest, True)

    again = promote(state, "debian/web", "12-20260707.1")
    assert (again.previous, again.moved) == (TUESDAY.digest, False)

    back = promote(state, "debian/web", "12-20260706.1")
    assert back.moved
    found = state.tag("debian/web", "stable")
    assert found is not None
    assert found.descriptor == MONDAY
    assert not found.immutable


def test_rings_move_by_themselves(state: State) -> None:
    promote(state, "debian/web", "12-20260707.1", channel="ring-0")
    promote(state, "debian/web", "12-20260706.1", channel="ring-1")
    assert [tag.descriptor for name in ("ring-0", "ring-1") if (tag := state.tag("debian/web", name))] == [
        TUESDAY,
        MONDAY,
    ]


def test_a_tag_that_can_move_is_not_promoted(state: State) -> None:
    with pytest.raises(UsageError, match="debian/web:12 can move"):
        promote(state, "debian/web", "12")


def test_a_tag_that_is_not_there_is_named_with_those_that_are(state: State) -> None:
    with pytest.raises(UsageError, match="there is no debian/web:13") as caught:
        promote(state, "debian/web", "13")
    assert "12-20260706.1, 12-20260707.1" in caught.value.mend
    with pytest.raises(UsageError) as caught:
        promote(state, "debian/other", "13")
    assert "receive or release" in caught.value.mend


def test_an_immutable_tag_is_no_channel(state: State) -> None:
    with pytest.raises(ImmutableTagError):
        promote(state, "debian/web", "12-20260707.1", channel="12-20260706.1")


@pytest.mark.parametrize("channel", ["", "-x", "a b", "a/b"])
def test_a_channel_needs_a_name(state: State, channel: str) -> None:
    with pytest.raises(UsageError, match="no name for a channel"):
        promote(state, "debian/web", "12-20260707.1", channel=channel)
