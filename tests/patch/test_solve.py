"""The solver, pure: packages in, changes out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sallyport.archives import BinaryPackage, Suite, compare_debian, parse_relations, satisfied
from sallyport.oci import Digest
from sallyport.patch.model import UnsatisfiableError
from sallyport.patch.solve import Member, solve

SUITE = Suite("http://mirror.example/debian", "bookworm")


def package(name: str, version: str, **fields: str) -> BinaryPackage:
    stanza = {key.replace("_", "-").title(): value for key, value in fields.items()}
    return BinaryPackage(name, version, "all", name, version, f"{name}.deb", 1, Digest.of(name.encode()), SUITE, stanza)


class Pool:
    def __init__(self, packages: Iterable[BinaryPackage]) -> None:
        self.packages = {item.name: item for item in packages}

    def newest(self, name: str) -> BinaryPackage | None:
        return self.packages.get(name)

    def providers(self, virtual: str) -> tuple[BinaryPackage, ...]:
        return tuple(
            item
            for _, item in sorted(self.packages.items())
            if any(r.name == virtual for group in parse_relations(item.fields.get("Provides", "")) for r in group)
        )


def member(name: str, version: str = "1", **fields: str) -> Member:
    return Member(name, version, {key.replace("_", "-").title(): value for key, value in fields.items()})


def changed(installed: Iterable[Member], pool: Iterable[BinaryPackage], *wanted: str) -> dict[str, str]:
    packages = Pool(pool)
    solved = solve({m.name: m for m in installed}, {name: packages.packages[name] for name in wanted}, packages)
    return {name: item.version for name, item in solved.changes.items()}


def test_only_what_is_wanted_moves_when_all_holds() -> None:
    installed = [member("app", depends="lib (>= 1)"), member("lib"), member("other")]
    pool = [package("lib", "2"), package("app", "2", depends="lib (>= 1)"), package("other", "2")]
    assert changed(installed, pool, "lib") == {"lib": "2"}


def test_binaries_that_depend_on_each_other_by_version_move_together() -> None:
    installed = [member("nginx", depends="nginx-common (= 1)"), member("nginx-common")]
    pool = [package("nginx", "2", depends="nginx-common (= 2)"), package("nginx-common", "2")]
    assert changed(installed, pool, "nginx-common") == {"nginx-common": "2", "nginx": "2"}
    assert changed(installed, pool, "nginx") == {"nginx-common": "2", "nginx": "2"}


def test_a_dependency_is_raised_before_another_package_is_added() -> None:
    installed = [member("app"), member("old-lib")]
    pool = [package("app", "2", depends="new-lib | old-lib (>= 2)"), package("old-lib", "2"), package("new-lib", "1")]
    assert changed(installed, pool, "app") == {"app": "2", "old-lib": "2"}


def test_a_new_dependency_brings_its_own() -> None:
    pool = [package("app", "2", depends="a"), package("a", "1", pre_depends="b"), package("b", "1")]
    assert changed([member("app")], pool, "app") == {"app": "2", "a": "1", "b": "1"}


def test_a_provided_name_counts_and_a_version_only_where_it_is_provided() -> None:
    installed = [member("app"), member("mawk", provides="awk")]
    assert changed(installed, [package("app", "2", depends="awk")], "app") == {"app": "2"}
    with pytest.raises(UnsatisfiableError, match=r"app needs awk \(>= 1\)"):
        changed(installed, [package("app", "2", depends="awk (>= 1)")], "app")
    versioned = [member("app"), member("t64", provides="lib (= 3)")]
    assert changed(versioned, [package("app", "2", depends="lib (>= 2)")], "app") == {"app": "2"}


def test_a_provider_is_added_where_nothing_of_the_name_exists() -> None:
    pool = [package("app", "2", depends="mta"), package("exim", "1", provides="mta")]
    assert changed([member("app")], pool, "app") == {"app": "2", "exim": "1"}


def test_what_breaks_another_package_moves_it_too() -> None:
    installed = [member("lib"), member("tool")]
    pool = [package("lib", "2", breaks="tool (<< 2)"), package("tool", "2")]
    assert changed(installed, pool, "lib") == {"lib": "2", "tool": "2"}


def test_a_conflict_that_nothing_mends_is_named() -> None:
    with pytest.raises(UnsatisfiableError, match=r"lib and tool exclude each other \(tool\)"):
        changed([member("lib"), member("tool")], [package("lib", "2", conflicts="tool")], "lib")


def test_a_package_may_refuse_the_name_that_it_provides() -> None:
    pool = [package("exim", "2", provides="mta", conflicts="mta")]
    assert changed([member("exim", provides="mta", conflicts="mta")], pool, "exim") == {"exim": "2"}


def test_a_dead_end_is_left_and_another_way_taken() -> None:
    installed = [member("app"), member("tool")]
    pool = [
        package("app", "2", depends="one | two"),
        package("one", "1", conflicts="tool"),
        package("two", "1"),
    ]
    assert changed(installed, pool, "app") == {"app": "2", "two": "1"}


def test_what_was_missing_before_stays_missing_and_is_told() -> None:
    installed = {m.name: m for m in [member("tzdata", depends="debconf (>= 0.5) | debconf-2.0"), member("libc6")]}
    pool = Pool([package("tzdata", "2", depends="debconf (>= 0.5) | debconf-2.0"), package("debconf", "1")])
    solved = solve(installed, {"tzdata": pool.packages["tzdata"]}, pool)
    assert set(solved.changes) == {"tzdata"}
    assert solved.gaps == ("tzdata needs debconf (>= 0.5) | debconf-2.0",)


def test_a_package_that_is_too_old_is_no_gap() -> None:
    installed = [member("app", depends="debconf, lib"), member("lib")]
    pool = [package("app", "2", depends="debconf, lib (>= 2)")]
    with pytest.raises(UnsatisfiableError, match=r"app needs lib \(>= 2\)"):
        changed(installed, pool, "app")


def test_a_package_on_hold_does_not_move() -> None:
    pool = Pool([package("app", "2", depends="lib (>= 2)"), package("lib", "2")])
    installed = {m.name: m for m in [member("app"), member("lib")]}
    with pytest.raises(UnsatisfiableError, match="app needs lib"):
        solve(installed, {"app": pool.packages["app"]}, pool, held=frozenset({"lib"}))


NAMES = "abcdef"
RELATIONS = st.builds(
    "{} ({} {})".format, st.sampled_from(NAMES), st.sampled_from([">=", "=", "<<"]), st.sampled_from("123")
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "Depends": st.lists(RELATIONS, max_size=2).map(", ".join),
        "Breaks": st.lists(RELATIONS, max_size=1).map(", ".join),
    },
)


def broken(members: Mapping[str, Member]) -> set[str]:
    found = set()
    for item in members.values():
        for group in item.depends:
            if not any(r.name in members and satisfied(r, members[r.name].version) for r in group):
                found.add(f"{item.name} {group}")
        for relation in item.refuses:
            other = members.get(relation.name)
            if other is not None and other.name != item.name and satisfied(relation, other.version):
                found.add(f"{item.name} {relation}")
    return found


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), FIELDS), st.dictionaries(st.sampled_from(NAMES), FIELDS, min_size=1))
def test_whatever_is_solved_holds(old: dict[str, dict[str, str]], new: dict[str, dict[str, str]]) -> None:
    installed = {name: Member(name, "1", fields) for name, fields in old.items()}
    if broken(installed):
        installed = {name: Member(name, "1", {}) for name in old}
    pool = Pool(BinaryPackage(n, "2", "all", n, "2", "x.deb", 1, Digest.of(b""), SUITE, f) for n, f in new.items())
    wanted = {name: item for name, item in pool.packages.items() if name in installed}
    try:
        solved = solve(installed, wanted, pool)
    except UnsatisfiableError:
        return
    after = {**installed, **{n: Member(n, p.version, p.fields) for n, p in solved.changes.items()}}
    assert broken(after) == set()
    assert wanted.keys() <= solved.changes.keys()
    assert all(compare_debian(after[name].version, item.version) >= 0 for name, item in installed.items())
