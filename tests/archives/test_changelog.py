from __future__ import annotations

import gzip
from typing import Any

import pytest

from sallyport.archives import changelog_of
from sallyport.errors import SallyportError
from sallyport.oci import Entry, Kind

TEXT = "tool (1.0-2) bookworm-security; urgency=high\n\n  * CVE-2026-0001\n\n -- N <n@debian.example>  Sat, 11 Jul 2026 10:00:00 +0000\n"


def of(archive_builder: Any, name: str = "tool", version: str = "1.0-2", **options: Any) -> str | None:
    archive_builder.publish("bookworm", [archive_builder.deb(name, version, **options)])
    archive = archive_builder.open("bookworm")
    return changelog_of(archive.fetch(archive.packages("amd64").newest(name)))


def test_the_packages_own_changelog_is_read(archive_builder: Any) -> None:
    upstream = {"usr/share/doc/tool/changelog.gz": gzip.compress(b"upstream's")}
    assert of(archive_builder, changelog=TEXT, files=upstream) == TEXT


def test_a_native_package_has_its_only_one(archive_builder: Any) -> None:
    files = {"usr/share/doc/tool/changelog.gz": gzip.compress(TEXT.encode())}
    assert of(archive_builder, version="12.4", files=files) == TEXT


def test_a_rebuilds_entry_stands_before_the_sources(archive_builder: Any) -> None:
    files = {"usr/share/doc/tool/changelog.Debian.amd64.gz": gzip.compress(b"tool (1.0-2+b1) sid\n")}
    assert (
        of(archive_builder, version="1.0-2+b1", architecture="amd64", changelog=TEXT, files=files)
        == f"tool (1.0-2+b1) sid\n\n{TEXT}"
    )


def test_a_package_that_shares_anothers_folder_has_none(archive_builder: Any) -> None:
    link = Entry("usr/share/doc/tool", Kind.SYMLINK, 0o777, link="libtool")
    assert of(archive_builder, files={"usr/share/doc/tool": link}) is None
    link = Entry("usr/share/doc/tool2/changelog.Debian.gz", Kind.SYMLINK, 0o777, link="../tool/changelog.Debian.gz")
    assert of(archive_builder, "tool2", files={"usr/share/doc/tool2/changelog.Debian.gz": link}) is None


def test_no_documentation_is_no_changelog(archive_builder: Any) -> None:
    assert of(archive_builder, files={"usr/bin/tool": b"x"}) is None


def test_old_encodings_are_read_and_noise_is_not(archive_builder: Any) -> None:
    files = {"usr/share/doc/tool/changelog.Debian.gz": gzip.compress(b"tool (1) sid\n\n -- J\xf6rg\n")}
    assert "Jörg" in str(of(archive_builder, files=files))
    with pytest.raises(SallyportError):
        of(archive_builder, "tool3", files={"usr/share/doc/tool3/changelog.Debian.gz": b"no gzip"})
