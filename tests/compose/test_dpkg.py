from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from sallyport.archives import Deb
from sallyport.compose import DpkgDatabase, Draft, Style, is_database_file, read_database, record, unpack
from sallyport.errors import MalformedError
from sallyport.oci import Entry, Kind, Rootfs

Make = Callable[..., Deb]
Layered = Callable[..., Rootfs]


def recorded(debs: list[Deb], style: Style = Style.STATUS) -> DpkgDatabase:
    with Draft() as draft:
        return DpkgDatabase().having(record(item, style) for item in unpack(debs, draft))


def written(database: DpkgDatabase, layered: Layered) -> Rootfs:
    with Draft() as draft:
        for path, file in database.render().items():
            draft.put(Entry(path, Kind.FILE, file.mode), file.content)
        return layered(draft)


@pytest.fixture
def tool(deb: Make) -> Deb:
    return deb(
        "tool",
        "1.0-1",
        architecture="amd64",
        files={"usr/bin/tool": b"#!", "etc/tool.conf": b"x"},
        conffiles=["/etc/tool.conf"],
        scripts={"postinst": "#!/bin/sh\n"},
        triggers="interest-noawait /usr/share/x\ninterest ldconfig\nactivate y\n",
        multi_arch="same",
        source="tools (1.0)",
        depends="libc6",
    )


@pytest.mark.parametrize("style", list(Style))
def test_what_is_written_is_read_back(deb: Make, tool: Deb, layered: Layered, style: Style) -> None:
    database = recorded([tool, deb("other.x", files={"usr/y": b"y"})], style)
    assert read_database(written(database, layered)).render() == database.render()
    assert all(is_database_file(path) or "triggers" in path for path in database.render())


def test_the_stanza_is_as_dpkg_writes_it(tool: Deb) -> None:
    (package,) = recorded([tool]).packages
    assert list(package.fields)[:5] == ["Package", "Status", "Priority", "Section", "Maintainer"]
    assert package.fields["Status"] == "install ok installed"
    assert package.fields["Conffiles"] == "\n /etc/tool.conf 9dd4e461268c8034f5c8564e155c67a6"
    assert package.conffiles == {"/etc/tool.conf": "9dd4e461268c8034f5c8564e155c67a6"}
    assert package.stem == "tool:amd64"
    assert package.files == ("usr", "usr/bin", "usr/bin/tool", "etc", "etc/tool.conf")


def test_interests_in_triggers_are_collected(tool: Deb) -> None:
    files = recorded([tool]).render()
    assert files["var/lib/dpkg/triggers/File"].content == b"/usr/share/x tool:amd64/noawait\n"
    assert files["var/lib/dpkg/triggers/ldconfig"].content == b"tool:amd64\n"
    assert "var/lib/dpkg/triggers/y" not in files


def test_a_newer_version_takes_the_place_of_the_older_and_nothing_else_changes(
    deb: Make, tool: Deb, layered: Layered
) -> None:
    before = read_database(written(recorded([tool, deb("a"), deb("z")]), layered))
    new = deb("tool", "1.0-2", architecture="amd64", files={"usr/bin/tool": b"#!!"}, multi_arch="same")
    with Draft() as draft:
        (item,) = unpack([new], draft)
    old = before.get("tool")
    after = before.having([record(item, Style.STATUS, old=old)])

    assert [package.name for package in after.packages] == ["tool", "a", "z"]
    files, removed = after.changes(before)
    assert set(files) == {
        "var/lib/dpkg/status",
        "var/lib/dpkg/info/tool:amd64.list",
        "var/lib/dpkg/info/tool:amd64.md5sums",
    }
    assert removed == {
        "var/lib/dpkg/info/tool:amd64.conffiles",
        "var/lib/dpkg/info/tool:amd64.postinst",
        "var/lib/dpkg/info/tool:amd64.triggers",
        "var/lib/dpkg/triggers/File",
        "var/lib/dpkg/triggers/ldconfig",
    }
    changed = after.get("tool")
    assert changed is not None
    assert changed.fields["Conffiles"].endswith(" obsolete")
    assert changed.conffiles == {}


def test_a_distroless_record_is_the_control_file_and_its_sums(tool: Deb) -> None:
    files = recorded([tool], Style.STATUS_D).render()
    assert set(files) == {"var/lib/dpkg/status.d/tool", "var/lib/dpkg/status.d/tool.md5sums"}
    assert files["var/lib/dpkg/status.d/tool"].content == tool.members_of_control["control"]
    assert files["var/lib/dpkg/status.d/tool.md5sums"].content == tool.members_of_control["md5sums"]


def test_a_file_of_another_name_in_status_d_keeps_it(deb: Make, layered: Layered) -> None:
    with Draft() as draft:
        draft.put(
            Entry("var/lib/dpkg/status.d/bGliYzY=", Kind.FILE), b"Package: libc6\nVersion: 1\nArchitecture: amd64\n"
        )
        root = layered(draft)
    before = read_database(root)
    with Draft() as draft:
        (item,) = unpack([deb("libc6", "2", architecture="amd64")], draft)
    after = before.having([record(item, Style.STATUS_D, old=before.get("libc6"))])
    assert "var/lib/dpkg/status.d/bGliYzY=" in after.render()
    assert len(after.packages) == 1


def test_what_was_never_touched_is_written_as_it_stood(layered: Layered) -> None:
    text = b"Package: odd\nStatus: install ok installed\nX-Unknown:   spaced   \nVersion: 1\nArchitecture: all\n\n"
    with Draft() as draft:
        draft.put(Entry("var/lib/dpkg/status", Kind.FILE), text)
        root = layered(draft)
    assert read_database(root).render()["var/lib/dpkg/status"].content == text


def test_removed_packages_own_nothing(layered: Layered) -> None:
    with Draft() as draft:
        text = b"Package: gone\nStatus: deinstall ok config-files\nVersion: 1\nArchitecture: all\n"
        draft.put(Entry("var/lib/dpkg/status", Kind.FILE), text)
        draft.put(Entry("var/lib/dpkg/info/gone.list", Kind.FILE), b"/.\n/etc\n/etc/gone\n")
        root = layered(draft)
    database = read_database(root)
    assert database.packages[0].files == ("etc", "etc/gone")
    assert database.owners("etc/gone") == ()


def test_no_database_is_an_empty_one(layered: Layered) -> None:
    with Draft() as draft:
        draft.put(Entry("etc/passwd", Kind.FILE), b"")
        assert read_database(layered(draft)) == DpkgDatabase()


@pytest.mark.parametrize("text", [b"no stanza", b"Version: 1\n", b"Package: x\nPackage: y\n", b"\xff\xfe"])
def test_a_broken_database_is_an_error_and_not_an_empty_one(layered: Layered, text: bytes) -> None:
    with Draft() as draft:
        draft.put(Entry("var/lib/dpkg/status", Kind.FILE), text)
        root = layered(draft)
    with pytest.raises(MalformedError):
        read_database(root)


@pytest.mark.skipif(shutil.which("dpkg-query") is None, reason="dpkg is not installed: no peer to compare with")
def test_dpkg_reads_what_is_written(deb: Make, tool: Deb, tmp_path: Path) -> None:
    for path, file in recorded([tool, deb("other", files={"usr/y": b"y"}, architecture="amd64")]).render().items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(file.content)
    admin = f"--admindir={tmp_path}/var/lib/dpkg"

    def ask(*argv: str) -> str:
        return subprocess.run(["dpkg-query", admin, *argv], check=True, capture_output=True, text=True).stdout

    assert ask("-W", "-f", "${binary:Package} ${Version} ${source:Package} ${db:Status-Abbrev}\n").split("\n")[:2] == [
        "other 1.0-1 other ii ",
        "tool:amd64 1.0-1 tools ii ",
    ]
    assert ask("-L", "tool").split() == ["/.", "/usr", "/usr/bin", "/usr/bin/tool", "/etc", "/etc/tool.conf"]
    assert ask("-S", "/usr/y") == "other: /usr/y\n"
    assert set(ask("--control-list", "tool").split()) >= {"postinst", "triggers"}
