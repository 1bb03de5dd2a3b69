"""Copies prove what arrived, whichever way the bytes went."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sallyport.bundle.stream import copy_blob
from sallyport.errors import DigestMismatchError, OversizeError, TruncatedError
from sallyport.oci import CHUNK, Digest

BIG = os.urandom(5 * CHUNK + 17)


class Bytes:
    """A blob reader over bytes, which counts what is read from it."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.read = 0

    def has(self, digest: Digest) -> bool:
        return True

    def size(self, digest: Digest) -> int:
        return len(self.data)

    def chunks(self, digest: Digest, *, offset: int = 0) -> Iterator[bytes]:
        for start in range(offset, len(self.data), 1000):
            piece = self.data[start : start + 1000]
            self.read += len(piece)
            yield piece


def copy(blobs: Bytes, digest: Digest, size: int, folder: Path, source: Path | None = None) -> bytes:
    target = folder / "target"
    with target.open("w+b", buffering=0) as file:
        if source is None:
            moved = sum(copy_blob(blobs, digest, size, file))
        else:
            with source.open("rb") as opened:
                moved = sum(copy_blob(blobs, digest, size, file, source=opened))
    assert moved == size
    return target.read_bytes()


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=5000))
def test_what_is_copied_is_what_was_there(tmp_path: Path, data: bytes) -> None:
    assert copy(Bytes(data), Digest.of(data), len(data), tmp_path) == data


def test_the_kernel_copies_where_there_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    source = tmp_path / "source"
    source.write_bytes(BIG)
    blobs = Bytes(BIG)

    assert copy(blobs, Digest.of(BIG), len(BIG), tmp_path, source) == BIG
    assert blobs.read == 0


def test_on_one_processor_one_thread_does_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0})
    source = tmp_path / "source"
    source.write_bytes(BIG)
    blobs = Bytes(BIG)

    assert copy(blobs, Digest.of(BIG), len(BIG), tmp_path, source) == BIG
    assert blobs.read == len(BIG)


@pytest.mark.parametrize("calls", [0, 1])
def test_what_the_kernel_does_not_copy_is_copied_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    real, made = os.sendfile, [0]

    def failing(out: int, into: int, offset: int, count: int) -> int:
        made[0] += 1
        if made[0] > calls:
            raise OSError(5, "Input/output error")
        return real(out, into, offset, min(count, CHUNK + 5))

    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    monkeypatch.setattr(os, "sendfile", failing)
    source = tmp_path / "source"
    source.write_bytes(BIG)
    blobs = Bytes(BIG)

    assert copy(blobs, Digest.of(BIG), len(BIG), tmp_path, source) == BIG
    assert blobs.read == len(BIG) - calls * (CHUNK + 5)


@pytest.mark.parametrize("file", [False, True])
def test_other_bytes_than_promised_are_refused(tmp_path: Path, file: bool) -> None:  # noqa: FBT001 - a switch of the test
    wrong = bytearray(BIG)
    wrong[-3] ^= 1
    source = tmp_path / "source"
    source.write_bytes(wrong)
    given_source = source if file else None

    with pytest.raises(DigestMismatchError):
        copy(Bytes(bytes(wrong)), Digest.of(BIG), len(BIG), tmp_path, given_source)
    with pytest.raises(TruncatedError, match="5242897 of 5242898"):
        copy(Bytes(BIG), Digest.of(BIG), len(BIG) + 1, tmp_path, None)
    with pytest.raises(OversizeError):
        copy(Bytes(BIG), Digest.of(BIG), len(BIG) - 1, tmp_path, None)


def test_a_source_that_ends_early_is_truncated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    source = tmp_path / "source"
    source.write_bytes(BIG[:-1])

    with pytest.raises(TruncatedError):
        copy(Bytes(BIG[:-1]), Digest.of(BIG), len(BIG), tmp_path, source)


def test_no_thread_is_left_when_the_copy_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    source = tmp_path / "source"
    source.write_bytes(BIG * 4)
    with (tmp_path / "target").open("w+b", buffering=0) as file, source.open("rb") as opened:
        steps = copy_blob(Bytes(BIG * 4), Digest.of(BIG), len(BIG) * 4, file, source=opened)
        next(steps)
        steps.close()  # type: ignore[attr-defined]

    assert [thread.name for thread in threading.enumerate()] == ["MainThread"]
