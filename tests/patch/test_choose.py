"""Which packages close the findings, and which findings stay."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from sallyport.advisories import Severity
from sallyport.archives import BinaryPackage, Suite
from sallyport.catalog import Package
from sallyport.match import Finding
from sallyport.oci import Digest
from sallyport.patch.choose import Choice, choose
from sallyport.patch.model import UnsatisfiableError
from sallyport.patch.solve import Member

SUITE = Suite("http://mirror.example/debian", "bookworm")
LAYER = Digest.of(b"layer")


class Pool(dict[str, BinaryPackage]):
    def newest(self, name: str) -> BinaryPackage | None:
        return self.get(name)

    def providers(self, virtual: str) -> tuple[BinaryPackage, ...]:
        return ()


def installed(name: str, version: str = "1", *, source: str = "", kind: str = "deb") -> Package:
    return Package(kind, name, version, "all", source or name, version, LAYER, "var/lib/dpkg/status")


def newer(
    name: str, version: str = "2", *, source: str = "", source_version: str = "", depends: str = ""
) -> BinaryPackage:
    fields = {"Depends": depends} if depends else {}
    return BinaryPackage(
        name, version, "all", source or name, source_version or version, f"{name}.deb", 1, LAYER, SUITE, fields
    )


def finding(number: int, package: Package, fixed: str | None) -> Finding:
    return Finding(f"CVE-2026-{number}", package, fixed, Severity.HIGH, ())


def chosen(
    packages: Iterable[Package],
    findings: Iterable[Finding],
    pool: Iterable[BinaryPackage],
    *,
    everything: bool = False,
    held: frozenset[str] = frozenset(),
    depends: dict[str, str] | None = None,
) -> Choice:
    there = list(packages)
    relations = depends or {}
    members = {p.name: Member(p.name, p.version, {"Depends": relations.get(p.name, "")}) for p in there}
    candidates = Pool({item.name: item for item in pool})
    return choose(there, findings, members, candidates, everything=everything, held=held)


def names(choice: Choice) -> list[str]:
    return [upgrade.new.name for upgrade in choice.upgrades]


def test_the_newer_package_closes_its_findings_and_no_other_moves() -> None:
    ssl, curl = installed("libssl3"), installed("curl")
    choice = chosen([ssl, curl], [finding(2, ssl, "2"), finding(1, ssl, "1.5")], [newer("libssl3"), newer("curl")])
    assert [(u.old, u.new.name, u.closes) for u in choice.upgrades] == [(ssl, "libssl3", ("CVE-2026-1", "CVE-2026-2"))]
    assert choice.unfixable == ()


def test_every_binary_of_a_vulnerable_source_moves() -> None:
    ssl, tool = installed("libssl3", source="openssl"), installed("openssl", source="openssl")
    pool = [newer("libssl3", source="openssl"), newer("openssl", source="openssl")]
    choice = chosen([ssl, tool], [finding(1, ssl, "2")], pool)
    assert names(choice) == ["libssl3", "openssl"]
    assert [upgrade.closes for upgrade in choice.upgrades] == [("CVE-2026-1",), ()]


@pytest.mark.parametrize("fixed", [None, "3"])
def test_what_the_archive_does_not_close_is_told(fixed: str | None) -> None:
    ssl = installed("libssl3")
    choice = chosen([ssl], [finding(1, ssl, fixed)], [newer("libssl3")])
    assert names(choice) == []
    assert choice.unfixable == ("CVE-2026-1",)


def test_the_source_version_decides_not_the_binarys() -> None:
    ssl = installed("libssl3", "1+b1", source="openssl")
    rebuilt = newer("libssl3", "1+b2", source="openssl", source_version="1")
    assert chosen([ssl], [finding(1, ssl, "1+b2")], [rebuilt]).unfixable == ("CVE-2026-1",)


def test_packages_of_other_kinds_are_not_ours_to_close() -> None:
    wheel = installed("requests", kind="pypi")
    assert chosen([wheel], [finding(1, wheel, "2")], [newer("requests")]).unfixable == ("CVE-2026-1",)


def test_everything_moves_on_request_and_what_does_not_fit_stays_back() -> None:
    packages = [installed("a"), installed("b"), installed("c")]
    pool = [newer("a"), newer("b", depends="missing"), newer("c")]
    choice = chosen(packages, [], pool, everything=True)
    assert names(choice) == ["a", "c"]
    assert choice.notes == ("b stays back: b needs missing, and nothing in the archive makes it fit",)


def test_a_fix_that_does_not_fit_is_an_error_also_with_everything() -> None:
    b = installed("b")
    with pytest.raises(UnsatisfiableError, match="b needs missing"):
        chosen([b], [finding(1, b, "2")], [newer("b", depends="missing")], everything=True)


def test_a_held_package_stays_and_its_finding_too() -> None:
    ssl = installed("libssl3")
    choice = chosen([ssl], [finding(1, ssl, "2")], [newer("libssl3")], held=frozenset({"libssl3"}), everything=True)
    assert names(choice) == []
    assert choice.unfixable == ("CVE-2026-1",)
    assert choice.notes == ("libssl3 is on hold",)


def test_an_older_archive_changes_nothing() -> None:
    ssl = installed("libssl3", "3")
    choice = chosen([ssl], [finding(1, ssl, "2")], [newer("libssl3")], everything=True)
    assert names(choice) == []


def test_a_gap_of_the_image_is_noted_for_what_moves() -> None:
    tz, other = installed("tzdata"), installed("other")
    choice = chosen(
        [tz, other],
        [finding(1, tz, "2")],
        [newer("tzdata", depends="debconf")],
        depends={"tzdata": "debconf", "other": "awk"},
    )
    assert choice.notes == ("tzdata needs debconf: missing before and after, as the image leaves it out",)
