"""dpkg's databases, as dpkg and the distroless builders write them, and as an attacker would."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sallyport.catalog import Package
from sallyport.catalog.control import paragraphs
from sallyport.catalog.dpkg import parse_status
from sallyport.errors import MalformedError, OversizeError, SallyportError
from sallyport.oci import Digest

LAYER = Digest.of(b"layer")
EXAMPLE = Path(__file__).parents[2].parent / "shared" / "advisories" / "example"


def read(text: str) -> tuple[Package, ...]:
    return parse_status(text.encode(), layer=LAYER, location="var/lib/dpkg/status")


def stanza(
    name: str = "libssl3", *lines: str, version: str = "3.0.20-1", status: str | None = "install ok installed"
) -> str:
    head = [f"Package: {name}", *([] if status is None else [f"Status: {status}"])]
    return "\n".join((*head, "Architecture: amd64", f"Version: {version}", *lines, "", ""))


def test_a_package_is_read_with_its_source_and_the_source_s_own_version() -> None:
    (package,) = read(stanza("libbrotli1", "Source: brotli (1.0.9-2)", version="1.0.9-2+b6"))
    assert package == Package(
        "deb", "libbrotli1", "1.0.9-2+b6", "amd64", "brotli", "1.0.9-2", LAYER, "var/lib/dpkg/status"
    )
    assert package.key == ("deb", "libbrotli1", "amd64")


def test_a_source_without_brackets_has_the_binary_s_version_and_none_is_the_package_itself() -> None:
    with_source, without = read(stanza("libssl3", "Source: openssl") + stanza("openssl"))
    assert (with_source.source, with_source.source_version) == ("openssl", "3.0.20-1")
    assert (without.source, without.source_version) == ("openssl", "3.0.20-1")


@pytest.mark.parametrize(
    ("status", "there"),
    [
        ("install ok installed", True),
        ("hold ok installed", True),
        ("deinstall ok installed", True),
        ("install ok unpacked", True),
        ("install ok half-configured", True),
        ("install reinstreq half-installed", True),
        ("install ok triggers-pending", True),
        ("install ok triggers-awaited", True),
        ("deinstall ok config-files", False),
        ("purge ok not-installed", False),
        (None, True),
    ],
)
def test_what_has_files_on_the_disk_is_installed(status: str | None, *, there: bool) -> None:
    assert len(read(stanza(status=status))) == there


def test_folded_values_case_and_carriage_returns_do_not_matter() -> None:
    text = "PACKAGE: a1\r\nstatus: install ok installed\r\nArchitecture: all\r\nVersion: 1\r\nDescription: x\r\n y\r\n .\r\n"
    (package,) = read(text)
    assert (package.name, package.version, package.architecture) == ("a1", "1", "all")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Status: install ok installed\nVersion: 1\n", "not a package's name"),
        (stanza("../../etc/passwd"), "not a package's name"),
        (stanza("a\x1b[31m"), "not a package's name"),
        (stanza(version="not a version"), "libssl3: .*not a Debian version"),
        (stanza(version=""), "libssl3: "),
        (stanza("x", "Source: brotli ()"), "x has the source"),
        (stanza("x", "Source: brotli (1 2)"), "x has the source"),
        (stanza(status="install ok exploded"), "unknown status"),
        (stanza(status="installed"), "unknown status"),
        ("Package: x\nStatus: install ok installed\nVersion: 1\n", "architecture"),
        (" leading: continuation\n", "line 1: goes on"),
        ("Package: x\nno colon here\n", "line 2: .* is not a field"),
        ("Package: x\npackage: y\n", "line 2: the field 'package' stands twice"),
    ],
)
def test_a_broken_database_is_refused_by_name(text: str, told: str) -> None:
    with pytest.raises(MalformedError, match=told):
        read(text)


def test_a_paragraph_with_too_many_fields_is_refused() -> None:
    with pytest.raises(OversizeError, match="fields"):
        read("".join(f"F{number}: x\n" for number in range(600)))


def test_a_giant_folded_value_costs_no_more_than_its_length() -> None:
    raw = b"Package: x\nDescription: y\n" + b" z\n" * 300_000
    assert [dict(item)["package"] for item in paragraphs(raw, what="status")] == ["x"]


def test_the_real_example_has_every_package() -> None:
    if not EXAMPLE.is_dir():
        pytest.skip(f"the example data is not at {EXAMPLE}")
    for name in ("main", "security"):
        raw = gzip.decompress((EXAMPLE / f"dpkg-status-{name}.gz").read_bytes())
        found = parse_status(raw, layer=LAYER, location="status")
        assert len(found) == 127
        assert next(p for p in found if p.name == "libperl5.36").source == "perl"


ALPHABET = st.sampled_from("Package: Version Status install ok installed\n .~+-():0a\x00\xff\t#")


@settings(max_examples=100, deadline=None)
@given(st.text(ALPHABET, max_size=400))
def test_anything_gives_packages_or_a_typed_error(text: str) -> None:
    try:
        found = parse_status(text.encode("utf-8", "surrogateescape"), layer=LAYER, location="status")
    except SallyportError:
        return
    assert all(package.name and package.version for package in found)


def test_mutations_of_a_real_status_give_packages_or_a_typed_error() -> None:
    raw = (stanza("libssl3", "Source: openssl (1:3.0-1)", "Description: x", " y") + stanza("a")).encode() * 2
    dice = random.Random(4)
    for _ in range(1500):
        broken = bytearray(raw)
        for _ in range(dice.randint(1, 4)):
            at = dice.randrange(len(broken))
            match dice.randrange(3):
                case 0:
                    broken[at] = dice.randrange(256)
                case 1:
                    del broken[at : at + dice.randint(1, 30)]
                case _:
                    broken[at:at] = broken[: dice.randint(1, 40)]
        try:
            parse_status(bytes(broken), layer=LAYER, location="status")
        except SallyportError:
            continue
