from __future__ import annotations

from typing import Any

import pytest

from sallyport.archives import PackageIndex
from sallyport.compose import closure
from sallyport.errors import ConflictError, NotFoundError


def index(archive_builder: Any, *packages: dict[str, str]) -> PackageIndex:
    debs = [archive_builder.deb(options.pop("name"), options.pop("version", "1"), **options) for options in packages]
    archive_builder.publish("bookworm", debs)
    found: PackageIndex = archive_builder.open("bookworm").packages("amd64")
    return found


def names(packages: Any) -> list[str]:
    return [package.name for package in packages]


def test_a_wish_brings_its_dependencies(archive_builder: Any) -> None:
    found = index(
        archive_builder,
        {"name": "web", "depends": "lib (>= 1), tool:any", "pre_depends": "base", "recommends": "extra"},
        {"name": "lib", "depends": "base"},
        {"name": "tool"},
        {"name": "base"},
        {"name": "extra"},
    )
    assert names(closure(found, ["web"])) == ["base", "lib", "tool", "web"]
    assert names(closure(found, ["web"], dependencies=False)) == ["web"]
    installed = closure(found, ["lib"])
    assert names(closure(found, ["web"], installed=installed)) == ["tool", "web"]


def test_essential_packages_are_added_on_request(archive_builder: Any) -> None:
    found = index(
        archive_builder, {"name": "bash", "essential": "yes", "depends": "lib"}, {"name": "lib"}, {"name": "x"}
    )
    assert names(closure(found, [], essential=True)) == ["bash", "lib"]


def test_an_alternative_that_is_there_anyway_is_taken(archive_builder: Any) -> None:
    found = index(
        archive_builder,
        {"name": "aaa", "depends": "first | second"},
        {"name": "first"},
        {"name": "second"},
        {"name": "zzz", "depends": "second"},
    )
    assert names(closure(found, ["aaa"])) == ["aaa", "first"]
    assert names(closure(found, ["aaa", "zzz"])) == ["aaa", "second", "zzz"]


def test_of_providers_the_one_with_the_highest_priority_is_taken(archive_builder: Any) -> None:
    found = index(
        archive_builder,
        {"name": "base", "depends": "awk"},
        {"name": "gawk", "provides": "awk"},
        {"name": "mawk", "provides": "awk", "priority": "required"},
    )
    assert names(closure(found, ["base"])) == ["base", "mawk"]


def test_a_version_that_does_not_do_is_not_taken(archive_builder: Any) -> None:
    found = index(
        archive_builder,
        {"name": "new", "depends": "lib (>= 2)"},
        {"name": "lib", "version": "1"},
        {"name": "either", "depends": "lib (>= 2) | other"},
        {"name": "other"},
        {"name": "virtual", "depends": "thing (>= 3)"},
        {"name": "provider", "provides": "thing"},
        {"name": "exact", "depends": "stuff (>= 3)"},
        {"name": "stuff-provider", "provides": "stuff (= 4)"},
    )
    assert names(closure(found, ["either"])) == ["either", "other"]
    assert names(closure(found, ["exact"])) == ["exact", "stuff-provider"]
    with pytest.raises(NotFoundError, match="new depends on lib"):
        closure(found, ["new"])
    with pytest.raises(NotFoundError, match="thing"):
        closure(found, ["virtual"])
    with pytest.raises(NotFoundError, match="nothing"):
        closure(found, ["nothing"])


def test_packages_that_conflict_are_named(archive_builder: Any) -> None:
    found = index(
        archive_builder,
        {"name": "a", "conflicts": "b (<< 2)"},
        {"name": "b"},
        {"name": "c", "breaks": "b (>> 1)"},
        {"name": "mta1", "provides": "mta", "conflicts": "mta"},
        {"name": "mta2", "provides": "mta", "conflicts": "mta"},
    )
    with pytest.raises(ConflictError, match="a and b"):
        closure(found, ["a", "b"])
    assert names(closure(found, ["b", "c"])) == ["b", "c"]
    assert names(closure(found, ["mta1"])) == ["mta1"]
    with pytest.raises(ConflictError):
        closure(found, ["mta1", "mta2"])


def test_a_wish_may_name_alternatives(archive_builder: Any) -> None:
    found = index(archive_builder, {"name": "libssl3t64"}, {"name": "x", "depends": "libssl3t64"})
    assert names(closure(found, ["libssl3 | libssl3t64"])) == ["libssl3t64"]
    assert names(closure(found, ["libssl3 | libssl3t64"], installed=closure(found, ["x"]))) == []
    with pytest.raises(NotFoundError, match=r"a \| b"):
        closure(found, ["a | b"])


def test_what_only_scripts_ask_for_can_be_done_without(archive_builder: Any) -> None:
    found = index(
        archive_builder,
        {"name": "tzdata", "depends": "debconf (>= 0.5) | debconf-2.0, libc6"},
        {"name": "debconf"},
        {"name": "libc6"},
    )
    assert names(closure(found, ["tzdata"])) == ["debconf", "libc6", "tzdata"]
    assert names(closure(found, ["tzdata"], without=["debconf"])) == ["libc6", "tzdata"]
