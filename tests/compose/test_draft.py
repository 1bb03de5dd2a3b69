from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sallyport.compose import Draft, write_draft
from sallyport.errors import CycleError, DiskFullError, MalformedError, StorageError, UnsafePathError
from sallyport.oci import OPAQUE, Entry, Kind, Rootfs, list_layer
from sallyport.store import DirectoryStore

Layered = Callable[..., Rootfs]


def file(path: str, mode: int = 0o644) -> Entry:
    return Entry(path, Kind.FILE, mode)


def folder(path: str, mode: int = 0o755) -> Entry:
    return Entry(path, Kind.DIRECTORY, mode)


def link(path: str, target: str) -> Entry:
    return Entry(path, Kind.SYMLINK, 0o777, link=target)


def test_a_file_lands_where_the_links_lead(layered: Layered) -> None:
    with Draft() as below:
        below.put(folder("usr"))
        below.put(folder("usr/lib"))
        below.put(link("lib", "usr/lib"))
        base = layered(below)
    with Draft(base) as draft:
        assert draft.put(file("lib/x/libz.so"), b"z") == "usr/lib/x/libz.so"
        draft.put(link("opt", "/lib"))
        assert draft.put(file("opt/y"), b"y") == "usr/lib/y"
        assert draft.resolve("opt") == "usr/lib"
        assert draft.resolve("opt", follow_last=False) == "opt"


def test_folders_above_a_file_keep_their_rights(layered: Layered, blobs: DirectoryStore) -> None:
    """Some runtimes make a folder that a layer does not name anew, readable for all."""
    with Draft() as below:
        below.put(folder("root", 0o700))
        below.put(folder("tmp", 0o1777))
        base = layered(below)
    with Draft(base) as draft:
        draft.put(file("root/.profile"), b"x")
        draft.put(file("new/deep/file"), b"x")
        layer, diff_id = write_draft(draft, blobs)
    entries = list_layer(blobs, layer, diff_id=diff_id, keep=lambda _: False).entries
    assert [(entry.path, entry.mode) for entry in entries] == [
        ("new", 0o755),
        ("new/deep", 0o755),
        ("new/deep/file", 0o644),
        ("root", 0o700),
        ("root/.profile", 0o644),
    ]


def test_two_members_with_one_content_are_hard_links(layered: Layered) -> None:
    with Draft() as draft:
        content = draft.keep(3, [b"a", b"bc"])
        draft.put(file("usr/b"), content)
        draft.put(file("usr/a"), content)
        root = layered(draft)
    assert root.read("usr/a") == root.read("usr/b") == b"abc"
    assert root.nodes["usr/b"].member == "usr/a"


def test_what_is_removed_is_whited_out_and_comes_back_only_when_put_again(
    layered: Layered, blobs: DirectoryStore
) -> None:
    with Draft() as below:
        for path in ("etc/one", "etc/two", "srv/old/x"):
            below.put(file(path), b"1")
        base = layered(below)
        with Draft(base) as draft:
            assert draft.remove("etc/one")
            assert not draft.remove("etc/one")
            assert not draft.remove("etc/nothing")
            assert draft.remove("srv/old")
            assert draft.entry("srv/old/x") is None
            draft.put(folder("srv/old"))
            draft.put(file("srv/old/y"), b"2")
            assert draft.children("srv/old") == ["srv/old/y"]
            layer, diff_id = write_draft(draft, blobs)
            names = {e.path for e in list_layer(blobs, layer, diff_id=diff_id, keep=lambda _: False).entries}
            assert {"etc/.wh.one", f"srv/old/{OPAQUE}"} <= names
            root = layered(below, draft)
    assert {path for path in root.nodes if root.nodes[path].entry.kind is Kind.FILE} == {"etc/two", "srv/old/y"}


def test_what_cannot_be_is_refused() -> None:
    with Draft() as draft:
        draft.put(file("etc"), b"x")
        with pytest.raises(MalformedError):
            draft.put(file("etc/passwd"), b"x")
        with pytest.raises(MalformedError):
            draft.put(folder("etc"))
        draft.put(folder("usr"))
        with pytest.raises(MalformedError):
            draft.put(file("usr"), b"")
        with pytest.raises(UnsafePathError):
            draft.put(file("usr/.wh.passwd"), b"")
        with pytest.raises(UnsafePathError):
            draft.put(folder("usr/.wh.x/y"))
        draft.put(link("a", "b"))
        draft.put(link("b", "a"))
        with pytest.raises(CycleError):
            draft.put(file("a/x"), b"")
        with pytest.raises(MalformedError):
            draft.keep(3, [b"ab"])


def test_a_link_never_leads_out_of_the_root() -> None:
    with Draft() as draft:
        draft.put(folder("in"))
        draft.put(link("in/out", "../../../etc"))
        assert draft.put(file("in/out/passwd"), b"x") == "etc/passwd"


NAMES = st.sampled_from(["a", "b", "a/x", "a/y", "b/x", "a/x/deep", "c"])
STEPS = st.lists(st.tuples(st.sampled_from(["put", "remove"]), NAMES, st.binary(max_size=4)), max_size=12)


@settings(max_examples=60, deadline=None)
@given(first=STEPS, second=STEPS)
def test_the_layer_over_its_base_is_what_the_draft_showed(
    first: object, second: object, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = DirectoryStore(tmp_path_factory.mktemp("blobs"), durable=False)
    layers = []
    root = None
    shown: dict[str, bytes | None] = {}
    for steps in (first, second):
        with Draft(root) as draft:
            _play(draft, steps)
            layers.append(write_draft(draft, store))
            known = [name for name in ("a", "b", "a/x", "a/y", "b/x", "a/x/deep", "c") if draft.entry(name) is not None]
            shown = {name: draft.content(name) for name in known}
        root = Rootfs.merge(list_layer(store, layer, diff_id=diff_id, keep=lambda _: True) for layer, diff_id in layers)
    assert root is not None
    assert {path: root.read(path) for path in root.nodes if path} == shown


def _play(draft: Draft, steps: object) -> None:
    assert isinstance(steps, list)
    for action, name, content in steps:
        try:
            if action == "put":
                draft.put(file(name), content)
            else:
                draft.remove(name)
        except MalformedError:
            continue


def test_the_scratch_folder_can_be_named(tmp_path: Path) -> None:
    with Draft(scratch=tmp_path) as draft:
        draft.put(file("x"), b"abc")
        assert draft.content("x") == b"abc"
        assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with Draft() as draft:
        monkeypatch.setattr(os, "pwrite", full)
        with pytest.raises(DiskFullError, match="no space left"):
            draft.put(file("x"), b"abc")


def test_a_scratch_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot keep"):
        Draft(scratch=tmp_path / "missing")
