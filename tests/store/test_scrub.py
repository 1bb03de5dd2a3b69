"""Rot is found while the store is in use, taken away, told, and heals."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sallyport.oci import Digest
from sallyport.store import S3Store, Store, open_store, scrub_once, scrubbing, verify_store
from sallyport.store.scrub import QUARANTINE, Pace, read_position

NOW = datetime(2026, 7, 1, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "store") as opened:
        yield opened


def put(store: Store, data: bytes) -> Digest:
    digest = Digest.of(data)
    store.blobs.put(digest, len(data), [data])
    return digest


def rot(store: Store, digest: Digest, place: int = 0, *, bit: int = 1) -> Path:
    path = store.blobs.path(digest)
    assert path is not None
    with path.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)
        file.seek(place)
        file.write(bytes([byte[0] ^ bit]))
    return path


def now() -> datetime:
    return NOW


def test_what_is_whole_stays(store: Store) -> None:
    digests = {put(store, os.urandom(1000 + number)) for number in range(20)}
    found = scrub_once(store, now=now)
    assert (found.checked, found.bytes, found.damaged, found.finished) == (20, sum(range(1000, 1020)), (), True)
    assert set(store.blobs.digests()) == digests
    assert not (store.root / QUARANTINE).exists()
    assert list(store.state.events()) == []


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(min_size=1, max_size=200), place=st.integers(0, 199), bit=st.sampled_from([1, 128]))
def test_one_rotten_bit_anywhere_is_found_and_heals(store: Store, data: bytes, place: int, bit: int) -> None:
    digest, other = put(store, data), put(store, b"whole" + data)
    rotten = rot(store, digest, place % len(data), bit=bit)
    before = rotten.read_bytes()
    found = scrub_once(store, now=now)
    assert found.damaged == (digest,)
    assert not store.blobs.has(digest)
    assert store.blobs.has(other)
    kept = store.root / QUARANTINE / f"sha256-{digest.hex}"
    assert kept.read_bytes() == before
    last = list(store.state.events())[-1]
    assert (last.verb, last.subject, last.detail["to"]) == ("quarantined", str(digest), f"quarantine/{kept.name}")
    put(store, data)
    assert scrub_once(store, now=now).damaged == ()
    assert verify_store(store) == ()


def test_a_blob_that_was_cut_short_is_damaged(store: Store) -> None:
    digest = put(store, b"x" * 1000)
    path = store.blobs.path(digest)
    assert path is not None
    os.truncate(path, 10)
    assert scrub_once(store, now=now).damaged == (digest,)


def test_a_round_goes_on_where_it_was_stopped(store: Store) -> None:
    for number in range(10):
        put(store, bytes([number]) * 100)
    left = [4]

    def stop() -> bool:
        left[0] -= 1
        return left[0] < 0

    first = scrub_once(store, now=now, stop=stop)
    assert not first.finished
    assert 0 < first.checked < 10
    position = read_position(store)
    assert position is not None
    assert (position.done, position.checked) == (False, first.checked)
    second = scrub_once(store, now=lambda: NOW + timedelta(days=1))
    assert second.checked == 10 - first.checked
    position = read_position(store)
    assert position is not None
    assert (position.began, position.done, position.checked) == (NOW, True, 10)


def test_a_note_that_cannot_be_read_begins_anew(store: Store) -> None:
    put(store, b"x")
    for noted in (b"", b"[]", b"{}", b'{"began":"x"}'):
        store.state.put_fact("store.scrub", "position", noted)
        assert read_position(store) is None
    assert scrub_once(store, now=now).checked == 1


def test_bytes_that_were_put_anew_meanwhile_are_put_back(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = put(store, b"good")
    path = rot(store, digest)

    def look(*_: object) -> tuple[int, str]:
        path.write_bytes(b"good")
        return 4, "it was damaged a moment ago"

    monkeypatch.setattr("sallyport.store.scrub._look", look)
    assert scrub_once(store, now=now).damaged == ()
    assert b"".join(store.blobs.chunks(digest)) == b"good"
    assert list((store.root / QUARANTINE).iterdir()) == []
    assert list(store.state.events()) == []


def test_a_blob_that_vanishes_meanwhile_is_nobodys_fault(store: Store) -> None:
    digests = sorted(put(store, bytes([number]) * 100) for number in range(3))

    def stop() -> bool:
        store.blobs.delete(digests[1])
        return False

    assert scrub_once(store, now=now, stop=stop).damaged == ()


def test_the_pace_is_kept() -> None:
    at = [0.0]
    pace = Pace(1000, sleep=lambda seconds: at.__setitem__(0, at[0] + seconds), now=lambda: at[0])
    for _ in range(10):
        pace.passed(500)
    assert at[0] == pytest.approx(5.0)
    at[0] = 100.0
    pace.passed(500)
    assert at[0] == pytest.approx(100.5), "a pause is not made up for"


def test_a_thread_scrubs_beside_a_writer_and_ends_when_asked(store: Store) -> None:
    rotten = put(store, b"x" * 100_000)
    rot(store, rotten)
    with scrubbing(store, every=timedelta(days=1), rate=0):
        for number in range(50):
            put(store, bytes([number]) * 1000)
        until = time.monotonic() + 10
        while store.blobs.has(rotten) and time.monotonic() < until:
            time.sleep(0.01)
    assert not store.blobs.has(rotten)
    assert verify_store(store) == ()


def test_a_slow_read_ends_at_once_when_asked(store: Store) -> None:
    put(store, os.urandom(3 << 20))
    began = time.monotonic()
    with scrubbing(store, every=timedelta(days=1), rate=1):
        time.sleep(0.1)
    assert time.monotonic() - began < 5


def test_rot_in_a_bucket_is_taken_away_too(tmp_path: Path) -> None:
    from obstore.store import MemoryStore

    bucket = MemoryStore()
    with open_store(tmp_path / "store", blobs=S3Store(bucket, tmp_path / "store")) as store:
        digest = put(store, b"good")
        bucket.put(f"blobs/sha256/{digest.hex}", b"evil")
        assert scrub_once(store, now=now).damaged == (digest,)
        assert not store.blobs.has(digest)
        assert bytes(bucket.get(f"quarantine/sha256-{digest.hex}").bytes()) == b"evil"
        assert scrub_once(store, now=now).damaged == ()
