"""One flipped bit, one missing byte, one file too many: each is refused, and named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sallyport.bundle import (
    DamagedFileError,
    ExtraFileError,
    LongFileError,
    MissingFileError,
    MixedMetadataError,
    NoBundleError,
    TruncatedFileError,
    UnsafeFileError,
    UnsignedBundleError,
    WronglySignedError,
    rotate_root,
    verify_bundle,
    verify_metadata,
)
from sallyport.errors import SallyportError


@pytest.fixture
def sealed(outside: Any) -> Path:
    """A bundle with every kind of file: two roots, a feed, images with attachments."""
    newer = outside.root_keys(targets=("approver", "approver-2"))
    outside.roots.append(
        rotate_root(outside.roots[0], newer, [outside.keys["root"]], expires=outside.now.replace(year=2036))
    )
    outside.publish()
    outside.feed()
    return outside.bundle()  # type: ignore[no-any-return]


def test_a_whole_bundle_is_proven(outside: Any, sealed: Path) -> None:
    verified = verify_bundle(sealed, outside.anchor)

    files = [path for path in sealed.rglob("*") if path.is_file()]
    assert verified.files == len(files)
    assert verified.bytes == sum(path.stat().st_size for path in files)
    assert verified.name == sealed.name == "plant-7-1.1"


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_one_flipped_bit_anywhere_is_refused_and_named(
    outside: Any, sealed: Path, flip: Callable[[Path, int, int], bytes], data: st.DataObject
) -> None:
    files = sorted(path for path in sealed.rglob("*") if path.is_file())
    path = data.draw(st.sampled_from(files))
    offset = data.draw(st.integers(0, path.stat().st_size - 1))
    before = flip(path, offset, data.draw(st.integers(0, 7)))
    try:
        with pytest.raises(SallyportError) as caught:
            verify_bundle(sealed, outside.anchor)
        assert str(path.relative_to(sealed)) in caught.value.message
        assert caught.value.exit_code in (3, 4)
    finally:
        path.write_bytes(before)


def test_the_bit_of_the_case_may_not_change_anywhere_in_the_timestamp(
    outside: Any, sealed: Path, flip: Callable[[Path, int, int], bytes]
) -> None:
    # Upper-case hexadecimal is one bit away, and most readers take it for the same.
    path = sealed / "metadata" / "timestamp.json"
    for offset in range(path.stat().st_size):
        before = flip(path, offset, 5)
        with pytest.raises(SallyportError, match=r"metadata/timestamp\.json"):
            verify_metadata(sealed, outside.anchor)
        path.write_bytes(before)


def test_a_signature_in_upper_case_is_another_file_and_is_refused(outside: Any, sealed: Path) -> None:
    path = sealed / "metadata" / "timestamp.json"
    raw = path.read_bytes()
    start = raw.index(b'"sig":"') + 7
    end = raw.index(b'"', start)
    path.write_bytes(raw[:start] + raw[start:end].upper() + raw[end:])

    with pytest.raises(SallyportError, match=r"metadata/timestamp\.json"):
        verify_bundle(sealed, outside.anchor)


@pytest.mark.parametrize("where", ["", "metadata/", "blobs/", "blobs/sha256/"])
@pytest.mark.parametrize("name", [".DS_Store", "3.root.json", "a" * 64, "timestamp.json.bak"])
def test_an_extra_file_is_refused_and_named(outside: Any, sealed: Path, where: str, name: str) -> None:
    extra = sealed / where / name
    extra.write_bytes(b"")

    with pytest.raises((ExtraFileError, SallyportError)) as caught:
        verify_bundle(sealed, outside.anchor)
    assert name in caught.value.message


def test_an_extra_folder_is_refused_and_named(outside: Any, sealed: Path) -> None:
    (sealed / "blobs" / "sha512").mkdir()

    with pytest.raises(ExtraFileError, match="blobs/sha512"):
        verify_bundle(sealed, outside.anchor)


def test_each_missing_file_is_named(outside: Any, sealed: Path) -> None:
    for path in sorted(path for path in sealed.rglob("*") if path.is_file()):
        before = path.read_bytes()
        path.unlink()
        with pytest.raises(SallyportError) as caught:
            verify_bundle(sealed, outside.anchor)
        name = str(path.relative_to(sealed))
        assert name in caught.value.message
        unsigned = name.startswith("metadata/") and name != "metadata/2.root.json"
        assert isinstance(caught.value, UnsignedBundleError if unsigned else MissingFileError)
        path.write_bytes(before)


def test_each_truncated_file_is_named(outside: Any, sealed: Path) -> None:
    for path in sorted(path for path in sealed.rglob("*") if path.is_file()):
        before = path.read_bytes()
        path.write_bytes(before[:-1])
        with pytest.raises(SallyportError) as caught:
            verify_bundle(sealed, outside.anchor)
        assert str(path.relative_to(sealed)) in caught.value.message
        if "metadata" not in path.parts:
            assert isinstance(caught.value, TruncatedFileError)
        path.write_bytes(before)


def test_each_lengthened_file_is_named(outside: Any, sealed: Path) -> None:
    for path in sorted(path for path in sealed.rglob("*") if path.is_file()):
        before = path.read_bytes()
        path.write_bytes(before + b"\n")
        with pytest.raises(SallyportError) as caught:
            verify_bundle(sealed, outside.anchor)
        assert str(path.relative_to(sealed)) in caught.value.message
        if "metadata" not in path.parts:
            assert isinstance(caught.value, LongFileError)
        path.write_bytes(before)


def test_a_link_in_place_of_a_file_is_refused_and_never_followed(outside: Any, sealed: Path, tmp_path: Path) -> None:
    for path in sorted(path for path in sealed.rglob("*") if path.is_file()):
        moved = tmp_path / "moved"
        path.rename(moved)
        path.symlink_to(moved)
        with pytest.raises(UnsafeFileError) as caught:
            verify_bundle(sealed, outside.anchor)
        assert str(path.relative_to(sealed)) in caught.value.message
        path.unlink()
        moved.rename(path)


def test_a_pipe_in_place_of_a_file_does_not_hold_it_up(outside: Any, sealed: Path) -> None:
    import os

    path = sealed / "metadata" / "timestamp.json"
    path.unlink()
    os.mkfifo(path)

    with pytest.raises(UnsafeFileError, match=r"timestamp\.json"):
        verify_bundle(sealed, outside.anchor)


def test_several_damaged_blobs_are_counted(outside: Any, sealed: Path, flip: Callable[[Path, int, int], bytes]) -> None:
    first, second, *_ = sorted((sealed / "blobs" / "sha256").iterdir())
    flip(first, 0, 0)
    flip(second, 0, 0)

    with pytest.raises(DamagedFileError, match="and 1 more"):
        verify_bundle(sealed, outside.anchor)


def test_files_of_two_bundles_do_not_mix(outside: Any) -> None:
    outside.publish()
    monday = outside.bundle()
    tuesday = outside.bundle()
    (tuesday / "metadata" / "targets.json").write_bytes((monday / "metadata" / "targets.json").read_bytes())

    with pytest.raises(MixedMetadataError, match=r"targets\.json"):
        verify_bundle(tuesday, outside.anchor)


def test_what_is_no_bundle_says_so(outside: Any, tmp_path: Path) -> None:
    with pytest.raises(NoBundleError):
        verify_bundle(tmp_path / "nothing", outside.anchor)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnsignedBundleError):
        verify_bundle(tmp_path / "empty", outside.anchor)


def test_a_stranger_with_a_root_of_their_own_is_refused(outside: Any, keys: Any, tmp_path: Path) -> None:
    from dataclasses import replace

    stranger = replace(outside, medium=tmp_path / "stranger", roots=[], releases=[])
    stranger.roots = []
    from sallyport.bundle import ForeignRootError, RootKeys, Signers, init_root

    theirs = keys["stranger"]
    own = keys["stranger-pipeline"]
    stranger.roots = [
        init_root(
            "plant-7",
            RootKeys((theirs.public,), (theirs.public,), (own.public,), (own.public,)),
            [theirs],
            expires=outside.now.replace(year=2036),
        )
    ]
    stranger.publish()
    bundle = stranger.bundle(signers=Signers((theirs,), own, own))

    with pytest.raises(ForeignRootError, match=r"1\.root\.json"):
        verify_bundle(bundle, outside.anchor)


def test_the_pipeline_alone_cannot_release(outside: Any) -> None:
    outside.publish()
    with pytest.raises(WronglySignedError, match=r"targets\.json"):
        outside.bundle(signers=outside.signers("pipeline"))
    assert not [path for path in outside.medium.iterdir() if not path.name.startswith(".")]
