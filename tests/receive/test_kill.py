"""A kill between any two steps leaves the store as it was, or the next run completes it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sallyport.bundle import ReplayedBundleError, TrustStore
from sallyport.engine import Silent
from sallyport.store import State, verify_store


class Killed(BaseException):
    """Nothing catches it, as nothing catches a power cut."""


class Dying(Silent):
    """A progress that ends the process when the wanted line is said."""

    def __init__(self, when: Callable[[str], bool]) -> None:
        object.__setattr__(self, "when", when)

    def say(self, text: str) -> None:
        if self.when(text):  # type: ignore[attr-defined]
            raise Killed(text)


STEPS = [f"{number}. " for number in (1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13)]


def _crossing(outside: Any) -> Path:
    outside.publish()
    outside.publish("team/other", files={"other": b"2"})
    outside.feed()
    return outside.bundle()  # type: ignore[no-any-return]


def _complete(outside: Any, inside: Any, bundle: Path) -> None:
    received = inside.receive(bundle)
    assert [outcome.imported for outcome in received.outcomes] == [True, True]
    assert verify_store(inside.store) == ()
    assert outside.plan(inside.receipt(received)).empty
    assert not list((inside.store.root / "quarantine" / "blobs" / "sha256").iterdir())
    with pytest.raises(ReplayedBundleError):
        inside.receive(bundle)


@pytest.mark.parametrize("step", STEPS)
def test_a_kill_before_any_step_is_gone_on_from(outside: Any, inside: Any, step: str) -> None:
    bundle = _crossing(outside)
    before = inside.picture()

    with pytest.raises(Killed):
        inside.receive(bundle, progress=Dying(lambda text: text.startswith(step)))

    if step != "13. ":
        assert inside.picture() == before
    _complete(outside, inside, bundle)


@pytest.mark.parametrize("image", ["team/app", "team/other"])
def test_a_kill_before_any_image_is_imported_is_gone_on_from(outside: Any, inside: Any, image: str) -> None:
    bundle = _crossing(outside)

    with pytest.raises(Killed):
        inside.receive(bundle, progress=Dying(lambda text: text.startswith(f"import {image}")))

    assert not TrustStore.open(inside.trust).complete
    assert verify_store(inside.store) == ()
    _complete(outside, inside, bundle)


CHANGES: list[tuple[type, str, int]] = [
    *((State, "hold", call) for call in (1, 2, 5, 10)),
    *((State, "set_tag", call) for call in (1, 2, 3, 4)),
    *((State, "put_fact", call) for call in (1, 2, 3, 5)),
    (TrustStore, "begin", 1),
    (TrustStore, "finish", 1),
]


@pytest.mark.parametrize(("owner", "name", "call"), CHANGES)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_around_any_change_is_gone_on_from(
    outside: Any, inside: Any, monkeypatch: pytest.MonkeyPatch, owner: type, name: str, call: int, when: str
) -> None:
    bundle = _crossing(outside)
    real, calls = getattr(owner, name), [0]

    def dying(*given: Any, **named: Any) -> Any:
        calls[0] += 1
        if calls[0] == call and when == "before":
            raise Killed(name)
        result = real(*given, **named)
        if calls[0] == call and when == "after":
            raise Killed(name)
        return result

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, dying)
        with pytest.raises(Killed):
            inside.receive(bundle)

    assert verify_store(inside.store) == ()
    if (name, when) == ("finish", "after"):
        with pytest.raises(ReplayedBundleError):
            inside.receive(bundle)
        assert len(list(inside.store.root.glob("receipts/*"))) == 1
    else:
        _complete(outside, inside, bundle)


@pytest.mark.parametrize("blob", range(1, 12))
def test_a_kill_while_bytes_are_copied_or_adopted_is_gone_on_from(
    outside: Any, inside: Any, monkeypatch: pytest.MonkeyPatch, blob: int
) -> None:
    from sallyport.receive.quarantine import Quarantine

    bundle = _crossing(outside)
    for name in ("take", "move_to"):
        real, calls = getattr(Quarantine, name), [0]

        def dying(*given: Any, _real: Any = real, _calls: list[int] = calls) -> None:
            _calls[0] += 1
            if _calls[0] == blob:
                raise Killed
            _real(*given)

        with monkeypatch.context() as patch:
            patch.setattr(Quarantine, name, dying)
            with pytest.raises(Killed):
                inside.receive(bundle)
        assert verify_store(inside.store) == ()
    _complete(outside, inside, bundle)


def test_a_torn_blob_in_quarantine_is_copied_again(
    outside: Any, inside: Any, flip: Callable[[Path, int, int], bytes]
) -> None:
    bundle = _crossing(outside)
    with pytest.raises(Killed):
        inside.receive(bundle, progress=Dying(lambda text: text.startswith("8. ")))
    for path in (inside.store.root / "quarantine" / "blobs" / "sha256").iterdir():
        flip(path, 0, 7)  # as a power cut may, since the quarantine is not synced

    _complete(outside, inside, bundle)


def test_an_older_bundle_does_not_slip_in_while_a_newer_one_is_half_imported(outside: Any, inside: Any) -> None:
    older = outside.bundle()
    bundle = _crossing(outside)
    with pytest.raises(Killed):
        inside.receive(bundle, progress=Dying(lambda text: text.startswith("import team/other")))

    with pytest.raises(ReplayedBundleError):
        inside.receive(older)
    _complete(outside, inside, bundle)


def test_a_newer_bundle_may_take_the_place_of_one_that_was_broken_off(outside: Any, inside: Any) -> None:
    bundle = _crossing(outside)
    newer = outside.bundle()
    with pytest.raises(Killed):
        inside.receive(bundle, progress=Dying(lambda text: text.startswith("import team/other")))

    _complete(outside, inside, newer)
    with pytest.raises(ReplayedBundleError):
        inside.receive(bundle)
