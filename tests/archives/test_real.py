"""The real mirror of this host; about 20 MB are fetched."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sallyport.archives import changelog_of, compare_debian

pytestmark = pytest.mark.archive


def test_a_fix_of_the_security_suite_is_found_and_explained(real_archive: Any) -> None:
    archive = real_archive("bookworm", "bookworm-security")
    index = archive.packages("amd64")
    assert len(index) > 50_000
    versions = index.versions("openssl")
    assert {package.suite.name for package in versions} == {"bookworm", "bookworm-security"}
    assert compare_debian(versions[0].version, versions[-1].version) == 1
    assert {"bash", "dpkg", "libc-bin", "tar"} <= {package.name for package in index.essential()}
    assert "mawk" in {package.name for package in index.providers("awk")}

    deb = archive.fetch(index.newest("libssl3"))

    assert deb.control["Package"] == "libssl3"
    assert deb.control["Version"] == index.newest("libssl3").version
    assert any(path.endswith("libcrypto.so.3") for path in deb.md5sums)
    text = changelog_of(deb)
    assert text is not None
    assert text.startswith("openssl (")
    assert re.search(r"CVE-20\d\d-\d+", text)


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is not installed: no peer to compare with")
def test_dpkg_deb_lists_the_same_members(real_archive: Any, tmp_path: Path) -> None:
    archive = real_archive("bookworm", "bookworm-security")
    deb = archive.fetch(archive.packages("amd64").newest("libssl3"))
    path = tmp_path / "x.deb"
    path.write_bytes(b"".join(deb.blobs.chunks(deb.digest)))
    listed = subprocess.run(["dpkg-deb", "--contents", path], check=True, capture_output=True, text=True).stdout
    theirs = sorted(
        re.split(r"\s+", line, maxsplit=5)[5].partition(" -> ")[0].strip("/").removeprefix("./").strip(".")
        for line in listed.splitlines()
    )
    assert sorted(entry.path for entry, _ in deb.members()) == theirs
