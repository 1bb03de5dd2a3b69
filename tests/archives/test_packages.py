from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sallyport.archives import PackageIndex, Suite, debian_architecture
from sallyport.archives.packages import Index
from sallyport.errors import MalformedError, SallyportError, UsageError
from sallyport.oci import Platform

SUITE = Suite("http://m.example/debian", "bookworm")
DIGEST = "a" * 64


def stanza(name: str, version: str = "1", **fields: str) -> str:
    base = {
        "Package": name,
        "Version": version,
        "Architecture": "amd64",
        "Filename": f"pool/{name}.deb",
        "Size": "10",
        "SHA256": DIGEST,
    }
    return "".join(f"{key}: {value}\n" for key, value in (base | fields).items() if value)


def index(*stanzas: str) -> PackageIndex:
    return PackageIndex("amd64", [Index(SUITE, "\n".join(stanzas).encode())])


def test_source_and_its_version_are_told_apart() -> None:
    found = index(
        stanza("plain", "1-1"), stanza("rebuilt", "1-1+b1", Source="rebuilt (1-1)"), stanza("lib", "2", Source="other")
    )
    assert [(p.source, p.source_version) for name in ("plain", "rebuilt", "lib") for p in found.versions(name)] == [
        ("plain", "1-1"),
        ("rebuilt", "1-1"),
        ("other", "2"),
    ]


def test_only_this_architecture_and_all_are_given() -> None:
    found = index(stanza("a", Architecture="arm64"), stanza("b", Architecture="all"), stanza("c"))
    assert [name for name in found.names() if found.newest(name)] == ["b", "c"]


def test_providers_are_found_by_the_virtual_name() -> None:
    found = index(stanza("mawk", Provides="awk"), stanza("gawk", Provides="awk (= 5), posix-awk"), stanza("awkward"))
    assert [package.name for package in found.providers("awk")] == ["gawk", "mawk"]
    assert found.providers("nothing") == ()


@pytest.mark.parametrize(
    "text",
    [
        stanza("a", Filename="../../etc/passwd.deb"),
        stanza("a", Filename="/etc/passwd.deb"),
        stanza("a", Filename="http://evil.example/x.deb"),
        stanza("a", Filename="pool/./a.deb"),
        stanza("a", Size="-1"),
        stanza("a", Size="9" * 30),
        stanza("a", SHA256=""),
        stanza("a", SHA256="md5"),
        stanza("a", Version="not a version"),
        stanza("a", Source="x y z"),
        stanza("a") + "Version: 2\n",
    ],
)
def test_a_stanza_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        index(text).newest("a")


def test_a_stanza_without_a_package_is_refused() -> None:
    with pytest.raises(MalformedError):
        index("Version: 1\n")


def test_a_package_may_stand_later_in_its_stanza() -> None:
    assert index("Version: 1\n" + stanza("late").replace("Version: 1\n", "")).newest("late") is not None


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.sampled_from(["Package: a", "Package:", "Version: 1", "", " x", "Provides: b, ,c (", "\x00", "Size: 1"]),
        max_size=12,
    )
)
def test_no_text_breaks_the_index(lines: list[str]) -> None:
    try:
        found = PackageIndex("amd64", [Index(SUITE, "\n".join(lines).encode())])
        found.providers("b")
        for name in found.names():
            found.versions(name)
    except SallyportError:
        pass


def test_platforms_have_debian_names() -> None:
    names = {
        "linux/amd64": "amd64",
        "linux/arm64": "arm64",
        "linux/arm64/v8": "arm64",
        "linux/arm/v7": "armhf",
        "linux/386": "i386",
    }
    assert {text: debian_architecture(Platform.parse(text)) for text in names} == names
    with pytest.raises(UsageError):
        debian_architecture(Platform("windows", "amd64"))


def test_the_same_package_of_two_suites_is_given_once(archive_builder: Any) -> None:
    same = archive_builder.deb("a", "1")
    archive_builder.publish("bookworm", [same])
    archive_builder.publish("bookworm-security", [same])
    versions = archive_builder.open("bookworm", "bookworm-security").packages("amd64").versions("a")
    assert [package.suite.name for package in versions] == ["bookworm"]
