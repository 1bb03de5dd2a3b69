"""Who may sign, m of n, and how that changes."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from sallyport.bundle import (
    BundleExistsError,
    MalformedMetadataError,
    NoTrustError,
    UnsignedBundleError,
    WronglySignedError,
    add_root,
    init_root,
    read_roots,
    rotate_root,
    sign_metadata,
    verify_roots,
)
from sallyport.errors import SallyportError, UsageError
from sallyport.oci import render_json


def end(outside: Any) -> datetime:
    return outside.now.replace(year=2036)  # type: ignore[no-any-return]


def test_a_root_needs_as_many_holders_as_it_says(outside: Any) -> None:
    keys = outside.root_keys(root=("r1", "r2", "r3"), root_threshold=2)
    one = init_root("plant-7", keys, [outside.keys["r1"]], expires=end(outside))
    with pytest.raises(WronglySignedError, match="1 of 2"):
        verify_roots([one])

    two = sign_metadata(one, [outside.keys["r3"]])

    assert verify_roots([two]).version == 1
    assert sign_metadata(two, [outside.keys["r3"]]) == two


def test_an_unsigned_root_is_none(outside: Any) -> None:
    raw = init_root("plant-7", outside.root_keys(), [], expires=end(outside))
    with pytest.raises(UnsignedBundleError, match=r"1\.root\.json"):
        verify_roots([raw])
    with pytest.raises(UnsignedBundleError):
        verify_roots([])


@pytest.mark.parametrize(
    ("signers", "says"),
    [
        (("old-1", "new-1"), "1 of 2 signatures"),
        (("old-1", "old-2"), "0 of 2 signatures"),
        (("new-1", "new-2"), "0 of 2 signatures"),
        (("old-1", "old-2", "new-1"), "1 of 2 signatures"),
        (("old-1", "old-2", "new-1", "new-2", "stranger"), "no key of root"),
    ],
)
def test_the_old_and_the_new_holders_must_sign_a_new_root(outside: Any, signers: tuple[str, ...], says: str) -> None:
    keys = outside.keys
    old = outside.root_keys(root=("old-1", "old-2", "old-3"), root_threshold=2)
    new = outside.root_keys(root=("new-1", "new-2"), root_threshold=2)
    first = init_root("plant-7", old, [keys["old-1"], keys["old-2"]], expires=end(outside))

    second = rotate_root(first, new, [keys[name] for name in signers], expires=end(outside))
    with pytest.raises(WronglySignedError, match=says):
        verify_roots([first, second])

    enough = [keys[name] for name in ("old-1", "old-3", "new-1", "new-2")]
    assert verify_roots([first, rotate_root(first, new, enough, expires=end(outside))]).version == 2


def test_a_version_cannot_be_left_out(outside: Any) -> None:
    holder = [outside.keys["root"]]
    first = outside.roots[0]
    second = rotate_root(first, outside.root_keys(), holder, expires=end(outside))
    third = rotate_root(second, outside.root_keys(), holder, expires=end(outside))

    with pytest.raises(MalformedMetadataError, match="states version 3"):
        verify_roots([first, third])


def test_the_pipeline_cannot_be_a_person(outside: Any) -> None:
    with pytest.raises(UsageError, match="person"):
        outside.root_keys(targets=("pipeline",))


@pytest.mark.parametrize("threshold", [0, 3])
def test_a_threshold_that_nobody_can_meet_is_refused(outside: Any, threshold: int) -> None:
    with pytest.raises(UsageError, match="targets asks for"):
        outside.root_keys(targets=("alice", "bob"), targets_threshold=threshold)
    with pytest.raises(UsageError):
        outside.root_keys(targets=("alice", "alice"), targets_threshold=2)


def _changed(outside: Any, change: Any) -> bytes:
    """A root that somebody built by hand, and signed."""
    value = json.loads(outside.roots[0])
    change(value["signed"])
    value["signatures"] = []
    return sign_metadata(render_json(value), [outside.keys["root"]])


def _second_name(signed: Any) -> None:
    """The approver's key again, under another name: it would count twice."""
    (keyid,) = signed["roles"]["targets"]["keyids"]
    signed["keys"]["0" * 64] = signed["keys"][keyid]
    signed["roles"]["targets"] = {"keyids": ["0" * 64, keyid], "threshold": 2}


def _unused_key(signed: Any) -> None:
    signed["roles"]["targets"]["keyids"] = signed["roles"]["root"]["keyids"]


def _unknown_key(signed: Any) -> None:
    signed["roles"]["targets"]["keyids"].append("0" * 64)


def _unreachable(signed: Any) -> None:
    signed["roles"]["targets"]["threshold"] = 2


def _consistent(signed: Any) -> None:
    signed["consistent_snapshot"] = True


def _another_scheme(signed: Any) -> None:
    for key in signed["keys"].values():
        key["scheme"] = "ed25519"


def _another_field(signed: Any) -> None:
    signed["note"] = "ignored by some readers, not by others"


def _nobody(signed: Any) -> None:
    signed["sallyport"] = {"destination": "../etc"}


def _untidy_key(signed: Any) -> None:
    for key in signed["keys"].values():
        key["keyval"]["public"] += "\n"


@pytest.mark.parametrize(
    "change",
    [
        _second_name,
        _unused_key,
        _unknown_key,
        _unreachable,
        _consistent,
        _another_scheme,
        _another_field,
        _nobody,
        _untidy_key,
    ],
)
def test_a_signed_root_out_of_the_profile_is_refused(outside: Any, change: Any) -> None:
    try:
        raw = _changed(outside, change)
    except SallyportError:
        return  # python-tuf would not even sign it
    with pytest.raises(MalformedMetadataError, match=r"1\.root\.json"):
        verify_roots([raw])


def test_a_destination_keeps_its_name(outside: Any) -> None:
    holder = [outside.keys["root"]]
    second = json.loads(rotate_root(outside.roots[0], outside.root_keys(), holder, expires=end(outside)))
    second["signed"]["sallyport"]["destination"] = "ship-3"
    second["signatures"] = []
    raw = sign_metadata(render_json(second), holder)

    with pytest.raises(MalformedMetadataError, match="ship-3"):
        verify_roots([outside.roots[0], raw])


def test_the_outside_keeps_its_chain_in_a_folder(outside: Any, tmp_path: Path) -> None:
    with pytest.raises(NoTrustError):
        read_roots(tmp_path)
    first = outside.roots[0]
    second = rotate_root(first, outside.root_keys(), [outside.keys["root"]], expires=end(outside))
    stray = rotate_root(first, outside.root_keys(), [outside.keys["stranger"]], expires=end(outside))

    add_root(tmp_path, first)
    with pytest.raises(WronglySignedError):
        add_root(tmp_path, stray)
    add_root(tmp_path, second)

    assert read_roots(tmp_path) == (first, second)
    with pytest.raises(BundleExistsError):
        add_root(tmp_path, second)
