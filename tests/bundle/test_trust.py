"""What the inside knows about the gap: it rises, it is never made anew, and torn it refuses."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sallyport.bundle import (
    ForeignRootError,
    NoTrustError,
    Position,
    ReplayedBundleError,
    RolledBackRootError,
    TrustDamagedError,
    TrustExistsError,
    TrustStore,
    TwoBundlesError,
    WrongFingerprintError,
    fingerprint,
    rotate_root,
    verify_roots,
)
from sallyport.errors import SallyportError, UntrustedError
from sallyport.oci import Digest

ONE, TWO = Digest.of(b"one"), Digest.of(b"two")


def received(trust: TrustStore, position: Position, bundle: Digest, at: Any) -> None:
    trust.begin(position, bundle)
    trust.finish(position, bundle, signed_at=at, now=at)


def test_a_root_is_imported_by_its_fingerprint_and_no_other(outside: Any, tmp_path: Path) -> None:
    root = outside.roots[0]
    with pytest.raises(WrongFingerprintError):
        TrustStore.create(tmp_path / "t", root, expect="0" * 64)
    assert not (tmp_path / "t").exists()

    trust = TrustStore.create(tmp_path / "t", root, expect=f" SHA256:{fingerprint(root).upper()}\n")

    assert trust.destination == "plant-7"
    assert trust.fingerprint == fingerprint(root)
    with pytest.raises(TrustExistsError):
        TrustStore.create(tmp_path / "t", root, expect=fingerprint(root))


def test_the_fingerprint_is_what_sha256sum_shows(outside: Any) -> None:
    import hashlib

    assert fingerprint(outside.roots[0]) == hashlib.sha256(outside.roots[0]).hexdigest()


def test_without_an_imported_root_nothing_is_trusted(tmp_path: Path) -> None:
    with pytest.raises(NoTrustError) as caught:
        TrustStore.open(tmp_path / "trust")
    assert "fingerprint" in caught.value.mend


def test_the_mark_only_rises(outside: Any, trust: TrustStore) -> None:
    received(trust, Position(1, 5), ONE, outside.now)

    for position in (Position(1, 4), Position(1, 5)):
        with pytest.raises(ReplayedBundleError):
            trust.begin(position, ONE)
    with pytest.raises(TwoBundlesError):
        trust.begin(Position(1, 5), TWO)
    trust.begin(Position(1, 6), TWO)
    assert TrustStore.open(trust.folder).begun == Position(1, 6)
    assert TrustStore.open(trust.folder).position == Position(1, 5)


def test_two_programs_cannot_lower_it(outside: Any, trust: TrustStore) -> None:
    other = TrustStore.open(trust.folder)
    received(trust, Position(1, 5), ONE, outside.now)

    with pytest.raises(ReplayedBundleError):
        other.begin(Position(1, 4), TWO)
    assert TrustStore.open(trust.folder).position == Position(1, 5)


def test_an_inside_that_is_built_again_is_told_where_it_was(outside: Any, tmp_path: Path) -> None:
    root = outside.roots[0]
    trust = TrustStore.create(tmp_path / "t", root, expect=fingerprint(root), received=Position(1, 40))

    with pytest.raises(ReplayedBundleError):
        trust.check(Position(1, 40), ONE)
    trust.check(Position(1, 41), ONE)


def test_time_rises_with_signed_sources_and_not_far_past_our_own_clock(outside: Any, trust: TrustStore) -> None:
    now = outside.now
    trust.advance(now, now=now)
    trust.advance(now - timedelta(days=9), now=now)
    assert TrustStore.open(trust.folder).time == now

    trust.advance(now + timedelta(days=4000), now=now)
    assert TrustStore.open(trust.folder).time == now + timedelta(days=1)
    trust.advance(now + timedelta(days=5), now=now - timedelta(days=4000))
    assert TrustStore.open(trust.folder).time == now + timedelta(days=1)


# --- torn, lost, changed --------------------------------------------------------------------


@pytest.fixture
def grown(outside: Any, trust: TrustStore) -> TrustStore:
    """A trust that has received and rotated, so that every kind of file is there."""
    for year in (2037, 2038):
        outside.roots.append(
            rotate_root(
                outside.roots[-1],
                outside.root_keys(),
                [outside.keys["root"]],
                expires=outside.now.replace(year=year),
            )
        )
    trust.renew(verify_roots(outside.roots))
    received(trust, Position(1, 7), ONE, outside.now)
    return trust


def test_a_missing_file_refuses_and_is_never_made_anew(grown: TrustStore) -> None:
    for path in sorted(grown.folder.glob("*.json")):
        raw = path.read_bytes()
        path.unlink()
        with pytest.raises(TrustDamagedError, match=path.name) as caught:
            TrustStore.open(grown.folder)
        assert "do not make it anew" in caught.value.mend
        with pytest.raises(UntrustedError):
            grown.begin(Position(1, 1), TWO)
        assert not path.exists()
        path.write_bytes(raw)
    assert TrustStore.open(grown.folder).position == Position(1, 7)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_truncated_file_refuses(grown: TrustStore, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted(grown.folder.glob("*.json"))))
    raw = path.read_bytes()
    path.write_bytes(raw[: data.draw(st.integers(0, len(raw) - 1))])
    try:
        with pytest.raises(TrustDamagedError):
            TrustStore.open(grown.folder)
    finally:
        path.write_bytes(raw)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_changed_bit_refuses(grown: TrustStore, flip: Callable[[Path, int, int], bytes], data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted(grown.folder.glob("*.json"))))
    before = flip(path, data.draw(st.integers(0, path.stat().st_size - 1)), data.draw(st.integers(0, 7)))
    try:
        with pytest.raises(TrustDamagedError):
            TrustStore.open(grown.folder)
    finally:
        path.write_bytes(before)


def test_a_write_that_breaks_off_leaves_the_older_mark_whole(
    outside: Any, grown: TrustStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(SallyportError):
            grown.begin(Position(1, 8), TWO)

    again = TrustStore.open(grown.folder)
    assert (again.position, again.complete) == (Position(1, 7), True)
    assert not list(grown.folder.glob(".tmp-*"))


def test_every_change_is_synced_before_it_counts(
    outside: Any, trust: TrustStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    done: list[str] = []
    real_fsync, real_replace = os.fsync, Path.replace

    def fsync(handle: int) -> None:
        done.append("fsync")
        real_fsync(handle)

    def replace(path: Path, target: Path) -> Path:
        done.append("rename")
        return real_replace(path, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    trust.begin(Position(1, 1), ONE)

    assert done == ["fsync", "rename", "fsync"]


def test_an_empty_folder_is_not_a_fresh_start(grown: TrustStore) -> None:
    shutil.rmtree(grown.folder)
    with pytest.raises(NoTrustError):
        TrustStore.open(grown.folder)


# --- roots ----------------------------------------------------------------------------------


def test_newer_roots_are_kept_and_older_ones_have_no_say(outside: Any, grown: TrustStore) -> None:
    again = TrustStore.open(grown.folder)
    assert again.anchor.roots.version == 3
    with pytest.raises(RolledBackRootError, match="version 2"):
        again.renew(verify_roots(outside.roots[:2]))


def test_another_root_of_a_trusted_version_is_refused(outside: Any, grown: TrustStore) -> None:
    fork = rotate_root(
        outside.roots[0],
        outside.root_keys(targets=("mallory",)),
        [outside.keys["root"]],
        expires=outside.now.replace(year=2037),
    )
    longer = rotate_root(fork, outside.root_keys(), [outside.keys["root"]], expires=outside.now.replace(year=2038))

    with pytest.raises(ForeignRootError, match=r"2\.root\.json"):
        grown.renew(verify_roots([outside.roots[0], fork, longer]))


def test_a_kill_between_the_new_root_and_the_state_is_gone_on_from(
    outside: Any, trust: TrustStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sallyport.bundle import trust as module

    newer = rotate_root(
        outside.roots[0], outside.root_keys(), [outside.keys["root"]], expires=outside.now.replace(year=2037)
    )
    chain = verify_roots([outside.roots[0], newer])

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "_write_state", killed)
        with pytest.raises(KeyboardInterrupt):
            trust.renew(chain)

    assert TrustStore.open(trust.folder).anchor.roots.version == 1
    TrustStore.open(trust.folder).renew(chain)
    assert TrustStore.open(trust.folder).anchor.roots.version == 2


def test_trust_may_start_at_a_later_root(outside: Any, tmp_path: Path) -> None:
    newer = rotate_root(
        outside.roots[0], outside.root_keys(), [outside.keys["root"]], expires=outside.now.replace(year=2037)
    )
    outside.roots.append(newer)
    trust = TrustStore.create(tmp_path / "t", newer, expect=fingerprint(newer))

    trust.renew(verify_roots(outside.roots))
    assert TrustStore.open(tmp_path / "t").anchor.roots.first == 2
    with pytest.raises(RolledBackRootError):
        trust.renew(verify_roots(outside.roots[:1]))
