"""Layers laid over each other give what a container would see."""

from __future__ import annotations

import itertools
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sallyport.errors import CycleError, MalformedError, MissingBlobError, OversizeError, UnsafePathError
from sallyport.oci import Digest, Entry, Kind, Listing, Rootfs

numbers = itertools.count()


def folder(path: str, mode: int = 0o755) -> Entry:
    return Entry(path, Kind.DIRECTORY, mode)


def link(path: str, target: str) -> Entry:
    return Entry(path, Kind.SYMLINK, 0o777, link=target)


def hard(path: str, target: str) -> Entry:
    return Entry(path, Kind.HARDLINK, link=target)


def gone(path: str) -> Entry:
    return Entry(path, Kind.FILE)


def layer(*members: Entry | tuple[str, bytes]) -> Listing:
    """A pair is a file whose content is kept."""
    entries = tuple(
        member if isinstance(member, Entry) else Entry(member[0], Kind.FILE, size=len(member[1])) for member in members
    )
    contents = {member[0]: member[1] for member in members if not isinstance(member, Entry)}
    return Listing(Digest.of(b"%d" % next(numbers)), entries, contents)


def test_a_higher_layer_replaces_and_adds() -> None:
    base = layer(folder("etc"), ("etc/motd", b"old"), ("etc/hosts", b"hosts"))
    top = layer(folder("etc", 0o700), ("etc/motd", b"new"), ("etc/more", b""))
    root = Rootfs.merge([base, top])
    assert root.children("etc") == ["etc/hosts", "etc/more", "etc/motd"]
    assert root.read("etc/motd") == b"new"
    nodes = root.nodes
    assert (nodes["etc/motd"].layer, nodes["etc/hosts"].layer) == (top.layer, base.layer)
    assert nodes["etc"].entry.mode == 0o700


def test_a_whiteout_hides_a_file_or_a_whole_folder() -> None:
    base = layer(folder("a"), ("a/x", b""), folder("a/b"), ("a/b/y", b""), ("z", b""))
    assert sorted(Rootfs.merge([base, layer(gone("a/.wh.x"))]).nodes) == ["", "a", "a/b", "a/b/y", "z"]
    assert sorted(Rootfs.merge([base, layer(gone(".wh.a"))]).nodes) == ["", "z"]
    assert sorted(Rootfs.merge([base, layer(gone(".wh.nothing"), gone("no/.wh.where"))]).nodes) == sorted(
        Rootfs.merge([base]).nodes
    )


def test_an_opaque_folder_hides_what_was_below_and_not_what_its_own_layer_brings() -> None:
    base = layer(folder("a"), ("a/x", b"old"), folder("a/b"), ("a/b/y", b""))
    for order in itertools.permutations([folder("a"), gone("a/.wh..wh..opq"), Entry("a/new", Kind.FILE)]):
        assert sorted(Rootfs.merge([base, layer(*order)]).nodes) == ["", "a", "a/new"]


def test_a_whiteout_does_not_hide_what_stands_in_its_own_layer() -> None:
    base = layer(folder("a"), ("a/x", b"old"), ("a/y", b"old"))
    members: list[Entry | tuple[str, bytes]] = [gone(".wh.a"), folder("a"), ("a/x", b"new")]
    for order in itertools.permutations(members):
        root = Rootfs.merge([base, layer(*order)])
        assert root.children("a") == ["a/x"]
        assert root.read("a/x") == b"new"


def test_a_later_layer_brings_back_what_was_hidden() -> None:
    root = Rootfs.merge([layer(("x", b"1")), layer(gone(".wh.x")), layer(("x", b"3"))])
    assert root.read("x") == b"3"


def test_a_folder_and_a_file_replace_each_other() -> None:
    base = layer(folder("a"), ("a/x", b""), ("f", b"file"))
    root = Rootfs.merge([base, layer(("a", b"now a file"), folder("f"), ("f/y", b""))])
    assert sorted(root.nodes) == ["", "a", "f", "f/y"]
    assert root.read("a") == b"now a file"


def test_folders_that_no_member_named_are_there() -> None:
    root = Rootfs.merge([layer(("usr/share/doc/x", b""))])
    assert sorted(root.nodes) == ["", "usr", "usr/share", "usr/share/doc", "usr/share/doc/x"]
    assert root.nodes["usr"].entry == folder("usr")


def test_a_member_below_a_link_lands_where_the_link_leads() -> None:
    base = layer(folder("usr/lib"), link("lib", "usr/lib"), link("abs", "/usr/lib"), link("up", "../../usr/lib"))
    root = Rootfs.merge([base, layer(("lib/a", b"1"), ("abs/b", b"2"), ("up/c", b"3"))])
    assert root.children("usr/lib") == ["usr/lib/a", "usr/lib/b", "usr/lib/c"]
    assert root.nodes["usr/lib/a"].entry.path == "usr/lib/a"
    assert root.nodes["usr/lib/a"].member == "lib/a"
    assert root.read("lib/b") == b"2"
    assert root.nodes["lib"].entry.kind is Kind.SYMLINK
    hidden = Rootfs.merge([base, layer(("lib/a", b"1"), ("usr/lib/z", b"")), layer(gone("lib/.wh.a"))])
    assert hidden.children("lib") == ["usr/lib/z"]


def test_a_folder_in_place_of_a_link_is_opaque_by_itself_and_spares_what_the_link_led_to() -> None:
    base = layer(folder("usr/lib"), ("usr/lib/x", b""), link("lib", "usr/lib"))
    root = Rootfs.merge([base, layer(folder("lib"), gone("lib/.wh..wh..opq"), ("lib/y", b""))])
    assert root.children("usr/lib") == ["usr/lib/x"]
    assert root.children("lib") == ["lib/y"]


def test_a_hard_link_is_the_file_it_names() -> None:
    base = layer(("bin/gzip", b"program"), hard("bin/gunzip", "bin/gzip"), hard("bin/zcat", "bin/gunzip"))
    top = layer(hard("bin/later", "bin/gzip"), link("s", "nowhere"), hard("t", "s"))
    root = Rootfs.merge([base, top])
    node = root.nodes["bin/zcat"]
    assert (node.entry.kind, node.entry.path, node.entry.size) == (Kind.FILE, "bin/zcat", 7)
    assert node.member == "bin/gzip"
    assert root.read("bin/later") == b"program"
    assert root.nodes["bin/later"].layer == base.layer, "the content is in the layer that brought it"
    assert root.nodes["t"].entry == link("t", "nowhere")


def test_a_hard_link_names_what_stood_there_when_it_was_made() -> None:
    root = Rootfs.merge([layer(("a", b"1"), hard("b", "a")), layer(("a", b"2"))])
    assert (root.read("a"), root.read("b")) == (b"2", b"1")


def test_links_are_followed_inside_the_root_only() -> None:
    root = Rootfs.merge(
        [
            layer(
                ("usr/lib/os-release", b"ID=debian\n"),
                link("etc/os-release", "../usr/lib/os-release"),
                link("etc/climber", "../../../../usr/lib/os-release"),
                link("lib", "usr/lib"),
                link("chain", "lib/../lib/./os-release"),
                link("dangling", "no/where"),
            )
        ]
    )
    for path in ("etc/os-release", "/etc/os-release", "etc/climber", "chain", "lib/os-release", "../etc/os-release"):
        assert root.resolve(path) == "usr/lib/os-release"
        assert root.read(path) == b"ID=debian\n"
    assert root.resolve("dangling/x") == "no/where/x"
    assert root.resolve("usr/missing/tail") == "usr/missing/tail"
    assert root.resolve("/") == ""
    assert root.read("dangling") is None
    assert root.read("usr") is None
    assert root.get("/etc/os-release") is not root.get("usr/lib/os-release")
    assert root.get("nothing") is None
    assert root.children("usr/lib/os-release") == []


def test_links_in_a_circle_end() -> None:
    root = Rootfs.merge([layer(link("a", "b"), link("b", "a"), link("c", "c/c"))])
    for path in ("a", "b/x", "c"):
        with pytest.raises(CycleError):
            root.resolve(path)
    with pytest.raises(CycleError):
        Rootfs.merge([layer(link("a", "b"), link("b", "a"), ("a/x", b""))])


def test_a_content_that_was_not_kept_is_never_taken_for_absence() -> None:
    root = Rootfs.merge([layer(Entry("status", Kind.FILE, size=9), Entry("empty", Kind.FILE), link("s", "status"))])
    assert root.read("empty") == b""
    for path in ("status", "s"):
        with pytest.raises(MissingBlobError, match="not kept"):
            root.read(path)


def test_devices_stand_in_the_root_and_have_no_content() -> None:
    root = Rootfs.merge([layer(("x", b"1")), layer(Entry("x", Kind.CHARACTER, device=(0, 0)))])
    assert root.read("x") is None
    assert root.nodes["x"].entry.kind is Kind.CHARACTER


def test_records_of_an_old_union_file_system_are_passed_over() -> None:
    root = Rootfs.merge([layer(folder(".wh..wh.plnk"), gone(".wh..wh.plnk/103.5"), gone(".wh..wh.aufs"), ("x", b""))])
    assert sorted(root.nodes) == ["", "x"]


@pytest.mark.parametrize(
    ("members", "error"),
    [
        ([gone(".wh.")], UnsafePathError),
        ([gone("a/.wh..")], UnsafePathError),
        ([gone("a/.wh...")], UnsafePathError),
        ([gone(".wh.a/b")], MalformedError),
        ([gone("x/.wh.a/b")], MalformedError),
        ([hard("a", "nothing")], MalformedError),
        ([folder("d"), hard("a", "d")], MalformedError),
        ([hard("a", "a")], MalformedError),
        ([("f", b""), ("f/x", b"")], MalformedError),
        ([("f", b""), link("l", "f"), ("l/x", b"")], MalformedError),
    ],
)
def test_broken_layers_are_refused(members: list[Entry | tuple[str, bytes]], error: type[Exception]) -> None:
    with pytest.raises(error):
        Rootfs.merge([layer(*members)])


def test_names_and_work_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sallyport.oci.rootfs.NAMES_LIMIT", 10_000)
    with pytest.raises(OversizeError, match="bytes of paths"):
        Rootfs.merge([layer(("/".join("a" * 200), b""))])
    files = [Entry(f"f/{number}", Kind.FILE) for number in range(300)]
    monkeypatch.setattr("sallyport.oci.rootfs.STEPS_LIMIT", 10_000)
    with pytest.raises(OversizeError, match="tangled"):
        Rootfs.merge([layer(*files, *[gone("f/.wh..wh..opq")] * 100)])


def test_a_deep_tree_goes_without_a_deep_stack() -> None:
    deep = "/".join("d" * 1900)
    root = Rootfs.merge([layer((deep, b"")), layer(gone(".wh.d"))])
    assert sorted(root.nodes) == [""]


# --- laws ---------------------------------------------------------------------------------

short = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map("/".join)
changes = st.lists(
    st.tuples(st.sampled_from(["file", "folder", "hide", "opaque"]), short),
    unique_by=lambda change: change[1],
    max_size=6,
)


@given(st.lists(changes, max_size=5))
@settings(max_examples=100, deadline=None)
def test_merging_is_what_the_specification_says(layers: list[list[tuple[str, str]]]) -> None:
    expected: dict[str, str] = {"": "folder"}
    listings = []
    for number, found in enumerate(layers):
        # The specification leaves a file with members below it open; so do we, by refusing.
        files = {path for kind, path in found if kind == "file"}
        assume(not any(path.startswith(f"{file}/") for file in files for _, path in found))
        parents = {path[:at] for _, path in found for at, sign in enumerate(path) if sign == "/"}
        # 1. What lower layers brought is hidden first.
        for kind, path in found:
            if kind == "opaque":
                expected = {p: k for p, k in expected.items() if not p.startswith(f"{path}/")}
            elif kind == "hide":
                expected = {p: k for p, k in expected.items() if p != path and not p.startswith(f"{path}/")}
        # 2. Then this layer's members are there.
        brought = {path: kind for kind, path in found if kind in ("file", "folder")}
        assume(not any(expected.get(parent, "").startswith("file") and parent not in brought for parent in parents))
        for path, kind in brought.items():
            if kind == "file":
                expected = {p: k for p, k in expected.items() if not p.startswith(f"{path}/")}
            expected[path] = f"{kind} {number}" if kind == "file" else kind
            expected.update(
                {path[:at]: "folder" for at, sign in enumerate(path) if sign == "/" and path[:at] not in brought}
            )
        listings.append(layer(*(member_of(kind, path, b"%d" % number) for kind, path in in_order(found))))
    root = Rootfs.merge(listings)
    seen = dict.fromkeys(root.nodes, "folder")
    for path, node in root.nodes.items():
        if node.entry.kind is Kind.FILE:
            seen[path] = f"file {(root.read(path) or b'').decode()}"
    assert {p: k for p, k in seen.items() if p} == {p: k for p, k in expected.items() if p}
    for path in root.nodes:
        assert root.children(path) == sorted(p for p in seen if p and p.rpartition("/")[0] == path)


def in_order(found: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Whiteouts first, then parents before children: the order in which engines write layers."""
    return sorted(found, key=lambda change: (change[0] in ("file", "folder"), change[1]))


def member_of(kind: str, path: str, content: bytes) -> Entry | tuple[str, bytes]:
    parent, _, name = path.rpartition("/")
    if kind == "file":
        return path, content
    if kind == "folder":
        return folder(path)
    if kind == "opaque":
        return gone(f"{path}/.wh..wh..opq")
    return gone(f"{parent}/.wh.{name}" if parent else f".wh.{name}")


steps = st.sampled_from(["a", "b", "c", "..", "."])
links = st.dictionaries(
    st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map("/".join),
    st.one_of(st.none(), st.lists(steps, min_size=1, max_size=4).map("/".join)),
    max_size=8,
)


@given(links, st.lists(steps, min_size=1, max_size=5).map("/".join))
@settings(max_examples=100, deadline=None)
def test_links_lead_where_the_kernel_says(tree: dict[str, str | None], path: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        # So deep that no path climbs out: what the root clamps, the folder above must not show.
        top = Path(name).resolve() / "root"
        top.mkdir()
        members = []
        for at, target in sorted(tree.items()):
            if any(parent in tree and tree[parent] is not None for parent in parents_of(at)):
                continue
            place = top / at
            place.parent.mkdir(parents=True, exist_ok=True)
            if target is None:
                place.mkdir(exist_ok=True)
                members.append(folder(at))
            else:
                place.symlink_to(target)
                members.append(link(at, target))
        root = Rootfs.merge([layer(*members)])
        try:
            expected = Path(os.path.realpath(top / path, strict=True))
        except FileNotFoundError:
            return  # a tail behind something missing is kept as it stands; the kernel has no word on it
        except OSError:
            with pytest.raises(CycleError):
                root.resolve(path)
            return
        assume(expected.is_relative_to(top))
        assume(not climbs(tree, path))
        assert root.resolve(path) == ("" if expected == top else str(expected.relative_to(top)))


def parents_of(path: str) -> list[str]:
    return [path[:at] for at, sign in enumerate(path) if sign == "/"]


def climbs(tree: dict[str, str | None], path: str) -> bool:
    """Whether the way may leave the root in between: then the two are allowed to differ."""
    texts = [path, *(target for target in tree.values() if target)]
    return any(text.split("/").count("..") > 1 for text in texts)
