"""Every blob store keeps the same promise: the bytes whole and proven, or nothing at all."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sallyport.errors import (
    DigestMismatchError,
    DiskFullError,
    MissingBlobError,
    OversizeError,
    StorageError,
    TruncatedError,
    UnreachableError,
)
from sallyport.oci import Digest
from sallyport.store import BlobStore, DirectoryStore, S3Store

HELLO = b"hello, harbour" * 1000
NAME = Digest.of(HELLO)


def pieces(data: bytes, size: int = 1000) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def broken_line(data: bytes) -> Iterator[bytes]:
    yield data
    raise UnreachableError("the line broke", "run it again")


def write_and_break(blobs: BlobStore) -> None:
    with contextlib.suppress(UnreachableError), blobs.create() as writer:
        for piece in broken_line(HELLO):
            writer.write(piece)


class BlobStoreContract:
    """Subclassed for each implementation, which brings the fixture ``blobs``."""

    def whole(self, blobs: BlobStore, digest: Digest) -> bytes:
        return b"".join(blobs.chunks(digest))

    def test_what_was_put_comes_back(self, blobs: BlobStore) -> None:
        blobs.put(NAME, len(HELLO), pieces(HELLO))

        assert blobs.has(NAME)
        assert blobs.size(NAME) == len(HELLO)
        assert self.whole(blobs, NAME) == HELLO
        assert list(blobs.digests()) == [NAME]

    def test_reading_may_start_in_the_middle(self, blobs: BlobStore) -> None:
        blobs.put(NAME, len(HELLO), pieces(HELLO))

        assert b"".join(blobs.chunks(NAME, offset=5000)) == HELLO[5000:]
        assert b"".join(blobs.chunks(NAME, offset=len(HELLO))) == b""

    def test_nothing_is_a_blob_too(self, blobs: BlobStore) -> None:
        blobs.put(Digest.of(b""), 0, [])
        assert self.whole(blobs, Digest.of(b"")) == b""
        blobs.delete(Digest.of(b""))
        blobs.resume(Digest.of(b""), 0, lambda _: iter(()))
        assert blobs.size(Digest.of(b"")) == 0

    def test_sha512_is_kept_as_well(self, blobs: BlobStore) -> None:
        import hashlib

        name = Digest("sha512", hashlib.sha512(HELLO).hexdigest())
        blobs.put(name, len(HELLO), pieces(HELLO))
        assert self.whole(blobs, name) == HELLO
        assert list(blobs.digests()) == [name]

    def test_what_is_there_is_not_read_again(self, blobs: BlobStore) -> None:
        blobs.put(NAME, len(HELLO), pieces(HELLO))

        unread = pieces(HELLO)
        blobs.put(NAME, len(HELLO), unread)
        blobs.resume(NAME, len(HELLO), lambda _: unread)
        assert next(unread) == HELLO[:1000]

    @pytest.mark.parametrize(
        ("data", "wrong"),
        [
            pytest.param(HELLO[:-1] + b"!", DigestMismatchError, id="another-byte"),
            pytest.param(HELLO[:-1], TruncatedError, id="too-short"),
            pytest.param(HELLO + b"!", OversizeError, id="too-long"),
        ],
    )
    def test_wrong_bytes_leave_nothing(self, blobs: BlobStore, data: bytes, wrong: type[Exception]) -> None:
        with pytest.raises(wrong):
            blobs.put(NAME, len(HELLO), pieces(data))

        assert not blobs.has(NAME)
        assert list(blobs.digests()) == []
        with pytest.raises(MissingBlobError):
            blobs.size(NAME)
        with pytest.raises(MissingBlobError):
            blobs.chunks(NAME)

    def test_a_source_that_breaks_leaves_nothing(self, blobs: BlobStore) -> None:
        with pytest.raises(UnreachableError):
            blobs.put(NAME, len(HELLO), broken_line(HELLO[:100]))
        assert not blobs.has(NAME)

    def test_a_broken_copy_goes_on_where_it_broke(self, blobs: BlobStore) -> None:
        asked: list[int] = []

        def fetch(offset: int) -> Iterable[bytes]:
            asked.append(offset)
            return broken_line(HELLO[offset : offset + 6000]) if len(asked) == 1 else pieces(HELLO[offset:])

        with pytest.raises(UnreachableError):
            blobs.resume(NAME, len(HELLO), fetch)
        assert not blobs.has(NAME)
        blobs.resume(NAME, len(HELLO), fetch)

        assert asked == [0, 6000]
        assert self.whole(blobs, NAME) == HELLO

    def test_a_copy_that_only_lacked_its_end_note_fetches_nothing(self, blobs: BlobStore) -> None:
        with pytest.raises(UnreachableError):
            blobs.resume(NAME, len(HELLO), lambda _: broken_line(HELLO))
        blobs.resume(NAME, len(HELLO), lambda _: pytest.fail("fetched"))
        assert self.whole(blobs, NAME) == HELLO

    def test_wrong_bytes_on_resume_leave_nothing_and_the_next_try_starts_anew(self, blobs: BlobStore) -> None:
        with pytest.raises(DigestMismatchError):
            blobs.resume(NAME, len(HELLO), lambda offset: pieces(b"x" * (len(HELLO) - offset)))
        assert not blobs.has(NAME)

        asked: list[int] = []

        def fetch(offset: int) -> Iterable[bytes]:
            asked.append(offset)
            return pieces(HELLO[offset:])

        blobs.resume(NAME, len(HELLO), fetch)
        assert asked == [0]
        assert self.whole(blobs, NAME) == HELLO

    def test_a_writer_says_the_digest_when_it_commits(self, blobs: BlobStore) -> None:
        with blobs.create() as writer:
            for piece in pieces(HELLO):
                writer.write(piece)
            assert writer.size == len(HELLO)
            assert writer.commit() == NAME
        assert self.whole(blobs, NAME) == HELLO

    def test_without_commit_nothing_is_kept(self, blobs: BlobStore) -> None:
        with blobs.create() as writer:
            writer.write(HELLO)
        assert list(blobs.digests()) == []

    def test_an_error_in_the_block_keeps_nothing(self, blobs: BlobStore) -> None:
        write_and_break(blobs)
        assert list(blobs.digests()) == []

    def test_delete_says_how_much(self, blobs: BlobStore) -> None:
        blobs.put(NAME, len(HELLO), pieces(HELLO))
        assert blobs.delete(NAME) == len(HELLO)
        assert blobs.delete(NAME) == 0
        assert not blobs.has(NAME)

    # The suite runs once for each implementation, so hypothesis sees several executors; that is the point of it.
    @settings(
        max_examples=50,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    )
    @given(data=st.binary(max_size=5000), cuts=st.lists(st.integers(0, 5000), max_size=4))
    def test_however_often_the_line_breaks_the_bytes_are_the_same(
        self, blobs: BlobStore, data: bytes, cuts: list[int]
    ) -> None:
        digest = Digest.of(data)
        blobs.delete(digest)
        for cut in cuts:

            def fetch(offset: int, cut: int = cut) -> Iterator[bytes]:
                return broken_line(data[offset : max(offset, cut)])

            # A copy that has all its bytes already is finished without asking.
            with contextlib.suppress(UnreachableError):
                blobs.resume(digest, len(data), fetch)
        blobs.resume(digest, len(data), lambda offset: pieces(data[offset:], 700))
        assert self.whole(blobs, digest) == data


class TestDirectoryStore(BlobStoreContract):
    @pytest.fixture
    def blobs(self, tmp_path: Path) -> BlobStore:
        return DirectoryStore(tmp_path)


class TestDirectoryStoreAsCache(BlobStoreContract):
    @pytest.fixture
    def blobs(self, tmp_path: Path) -> BlobStore:
        return DirectoryStore(tmp_path, durable=False)


class TestS3StoreInMemory(BlobStoreContract):
    @pytest.fixture
    def blobs(self, tmp_path: Path) -> BlobStore:
        from obstore.store import MemoryStore

        return S3Store(MemoryStore(), tmp_path)


@pytest.fixture
def blobs(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path)


def everything(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_the_folder_is_laid_out_as_an_image_layout(blobs: DirectoryStore, tmp_path: Path) -> None:
    blobs.put(NAME, len(HELLO), pieces(HELLO))
    assert everything(tmp_path) == [f"blobs/sha256/{NAME.hex}"]
    assert blobs.path(NAME) == tmp_path / "blobs" / "sha256" / NAME.hex
    assert blobs.path(Digest.of(b"other")) is None


def test_refused_bytes_leave_no_file_at_all(blobs: DirectoryStore, tmp_path: Path) -> None:
    with pytest.raises(DigestMismatchError):
        blobs.put(NAME, len(HELLO), pieces(HELLO[::-1]))
    write_and_break(blobs)
    assert everything(tmp_path) == []


def test_a_torn_partial_is_found_out_and_copied_anew(blobs: DirectoryStore, tmp_path: Path) -> None:
    """A power cut may keep a file's length and forget its bytes."""
    (tmp_path / "partial" / f"sha256-{NAME.hex}").write_bytes(HELLO[:4000] + bytes(2000))
    asked: list[int] = []

    def fetch(offset: int) -> Iterable[bytes]:
        asked.append(offset)
        return pieces(HELLO[offset:])

    blobs.resume(NAME, len(HELLO), fetch)

    assert asked == [6000, 0]
    assert b"".join(blobs.chunks(NAME)) == HELLO
    assert everything(tmp_path) == [f"blobs/sha256/{NAME.hex}"]


def test_a_partial_longer_than_the_blob_is_no_start(blobs: DirectoryStore, tmp_path: Path) -> None:
    (tmp_path / "partial" / f"sha256-{NAME.hex}").write_bytes(HELLO + HELLO)
    blobs.resume(NAME, len(HELLO), lambda offset: pieces(HELLO[offset:]))
    assert b"".join(blobs.chunks(NAME)) == HELLO


def test_a_source_that_lies_twice_is_refused(blobs: DirectoryStore, tmp_path: Path) -> None:
    (tmp_path / "partial" / f"sha256-{NAME.hex}").write_bytes(HELLO[:4000])
    with pytest.raises(DigestMismatchError):
        blobs.resume(NAME, len(HELLO), lambda offset: pieces(b"x" * (len(HELLO) - offset)))
    assert not blobs.has(NAME)
    assert (tmp_path / "partial" / f"sha256-{NAME.hex}").stat().st_size == 0


def test_a_full_disk_is_named_and_keeps_nothing(
    blobs: DirectoryStore, tmp_path: Path, full_disk: Callable[[int], None]
) -> None:
    full_disk(5000)
    with pytest.raises(DiskFullError, match="no space left"):
        blobs.put(NAME, len(HELLO), pieces(HELLO))
    assert everything(tmp_path) == []


def test_a_copy_that_filled_the_disk_goes_on_when_there_is_room(
    blobs: DirectoryStore, full_disk: Callable[[int], None]
) -> None:
    asked: list[int] = []

    def fetch(offset: int) -> Iterable[bytes]:
        asked.append(offset)
        return pieces(HELLO[offset:])

    full_disk(5000)
    with pytest.raises(DiskFullError):
        blobs.resume(NAME, len(HELLO), fetch)
    full_disk(1 << 30)
    blobs.resume(NAME, len(HELLO), fetch)
    assert asked == [0, 5000]
    assert b"".join(blobs.chunks(NAME)) == HELLO


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("only root may mount a small disk; the same story runs above with a disk that is full by decree")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_is_really_full_keeps_nothing(small_disk: Path) -> None:
    blobs = DirectoryStore(small_disk)
    data = os.urandom(1 << 20)
    with pytest.raises(DiskFullError):
        blobs.put(Digest.of(data), len(data), pieces(data, 1 << 16))
    assert everything(small_disk) == []
    blobs.put(NAME, len(HELLO), pieces(HELLO))


def test_names_that_are_no_digest_are_not_listed(blobs: DirectoryStore, tmp_path: Path) -> None:
    (tmp_path / "blobs" / "sha256" / "notes.txt").write_text("left by a person")
    (tmp_path / "blobs" / "stray").write_text("a file where folders are")
    assert list(blobs.digests()) == []


def test_sweep_takes_only_what_is_old_enough(blobs: DirectoryStore, tmp_path: Path) -> None:
    old, new = tmp_path / "partial" / "sha256-old", tmp_path / "partial" / "sha256-new"
    old.write_bytes(b"12345")
    new.write_bytes(b"123")
    week_ago = time.time() - 8 * 86400
    os.utime(old, (week_ago, week_ago))

    assert blobs.sweep(dry_run=True) == 5
    assert old.exists()
    assert blobs.sweep() == 5
    assert not old.exists()
    assert new.exists()


def test_a_folder_that_cannot_be_made_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="file"):
        DirectoryStore(tmp_path / "file" / "store")


def test_two_copies_of_one_blob_at_once_end_in_one(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    blobs = DirectoryStore(tmp_path)
    fetched: list[int] = []

    def fetch(offset: int) -> Iterator[bytes]:
        fetched.append(offset)
        for piece in pieces(HELLO[offset:]):
            time.sleep(0.001)
            yield piece

    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(blobs.resume, NAME, len(HELLO), fetch) for _ in range(4)]:
            future.result()

    assert fetched == [0]
    assert b"".join(blobs.chunks(NAME)) == HELLO
    assert everything(tmp_path) == [f"blobs/sha256/{NAME.hex}"]
