from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest

from sallyport.archives import Deb
from sallyport.compose import Draft, unpack
from sallyport.engine import Threads
from sallyport.errors import ConflictError, UnsafePathError
from sallyport.oci import Entry, Kind, Rootfs

Make = Callable[..., Deb]
Layered = Callable[..., Rootfs]


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def test_packages_meet_the_links_of_a_merged_usr(deb: Make, layered: Layered) -> None:
    one = deb("one", files={"bin/one": b"1", "lib/liba.so": b"a"})
    two = deb(
        "two", files={"usr/bin/two": b"2", "lib/libb.so": Entry("lib/libb.so", Kind.SYMLINK, 0o777, link="liba.so")}
    )
    with Draft() as draft:
        for name in ("bin", "lib"):
            draft.put(Entry(f"usr/{name}", Kind.DIRECTORY, 0o755))
            draft.put(Entry(name, Kind.SYMLINK, 0o777, link=f"usr/{name}"))
        first, second = unpack([one, two], draft, executor=Threads(2))
        root = layered(draft)
    assert root.read("bin/one") == b"1"
    assert root.nodes["usr/bin/one"].entry.kind is Kind.FILE
    assert root.read("lib/libb.so") == b"a"
    assert first.placed["bin/one"] == "usr/bin/one"
    assert first.files == ("/.", "/bin", "/bin/one", "/lib", "/lib/liba.so")
    assert second.placed["usr/bin/two"] == "usr/bin/two"


def test_two_packages_with_one_file_conflict_unless_one_replaces_the_other(deb: Make, layered: Layered) -> None:
    old = deb("old", files={"usr/x": b"old"})
    new = deb("new", files={"usr/x": b"new"})
    heir = deb("heir", files={"usr/x": b"heir"}, replaces="old (<< 2)")
    with Draft() as draft, pytest.raises(ConflictError, match="new and old"):
        unpack([old, new], draft)
    for order in ([old, heir], [heir, old]):
        with Draft() as draft:
            unpack(order, draft)
            assert layered(draft).read("usr/x") == b"heir"


def test_what_is_left_out_stays_in_the_list_and_the_sums(deb: Make) -> None:
    package = deb("tool", files={"usr/bin/tool": b"#!", "usr/share/doc/tool/README": b"read"})
    with Draft() as draft:
        (result,) = unpack([package], draft, exclude=lambda path: path.endswith("README"))
        assert draft.entry("usr/share/doc/tool/README") is None
        assert draft.entry("usr/bin/tool") is not None
    assert "/usr/share/doc/tool/README" in result.files
    assert result.md5sums["usr/share/doc/tool/README"] == md5(b"read")
    assert "usr/share/doc/tool/README" not in result.placed


def test_conffiles_have_the_md5_of_the_package_and_missing_sums_are_made(deb: Make) -> None:
    package = deb(
        "tool", files={"etc/tool.conf": b"x", "usr/bin/tool": b"#!"}, conffiles=["/etc/tool.conf"], md5sums=False
    )
    with Draft() as draft:
        (result,) = unpack([package], draft)
    assert result.conffiles == {"/etc/tool.conf": md5(b"x")}
    assert result.md5sums == {"usr/bin/tool": md5(b"#!")}


def test_a_folder_that_is_there_wins_over_a_link_and_a_link_over_a_folder(deb: Make, layered: Layered) -> None:
    """As dpkg: whoever was first; scripts of packages would have to move things."""
    with_folder = deb("one", files={"usr/share/doc/one/x": b"x"})
    with_link = deb("two", files={"usr/share/doc/one": Entry("usr/share/doc/one", Kind.SYMLINK, 0o777, link="two")})
    with Draft() as draft:
        unpack([with_folder, with_link], draft)
        assert layered(draft).nodes["usr/share/doc/one"].entry.kind is Kind.DIRECTORY
    with Draft() as draft:
        draft.put(Entry("usr/share/doc/two", Kind.DIRECTORY, 0o755))
        unpack([with_link, with_folder], draft)
        root = layered(draft)
        assert root.nodes["usr/share/doc/one"].entry.kind is Kind.SYMLINK
        assert root.read("usr/share/doc/two/x") == b"x"


def test_hard_links_stay_hard_links(deb: Make, layered: Layered) -> None:
    package = deb(
        "tool", files={"usr/bin/z": b"perl", "usr/bin/a": Entry("usr/bin/a", Kind.HARDLINK, link="usr/bin/z")}
    )
    with Draft() as draft:
        unpack([package], draft)
        root = layered(draft)
    assert root.read("usr/bin/a") == root.read("usr/bin/z") == b"perl"
    assert root.nodes["usr/bin/z"].member == root.nodes["usr/bin/a"].member == "usr/bin/a"


def test_a_device_in_a_package_is_refused(deb: Make) -> None:
    package = deb("evil", files={"dev/sda": Entry("dev/sda", Kind.BLOCK, 0o666, device=(8, 0))})
    with Draft() as draft, pytest.raises(UnsafePathError, match="device"):
        unpack([package], draft)


def test_owners_rights_and_times_are_the_packages(deb: Make, layered: Layered) -> None:
    entry = Entry("usr/bin/su", Kind.DIRECTORY, 0o2775, 0, 42, mtime=1_600_000_000)
    package = deb("login", files={"usr/bin/su": entry})
    with Draft() as draft:
        unpack([package], draft)
        node = layered(draft).nodes["usr/bin/su"].entry
    assert (node.mode, node.uid, node.gid, node.mtime) == (0o2775, 0, 42, 1_600_000_000)
