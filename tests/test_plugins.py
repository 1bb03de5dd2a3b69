"""Plug-ins by entry point: found in any installed package, loaded by name, never guessed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sallyport import plugins
from sallyport.errors import UsageError


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """Installs a package of somebody else, with the given entry points of the group ``test.group``."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(package: str, lines: str) -> None:
        folder = tmp_path / f"{package}-1.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1\n")
        (folder / "entry_points.txt").write_text(f"[test.group]\n{lines}\n")
        (tmp_path / f"{package}_code.py").write_text("VALUE = 42\n")

    yield install
    for name in [name for name in sys.modules if name.endswith("_code")]:
        del sys.modules[name]


def test_a_plug_in_of_somebody_else_is_loaded_by_its_name_and_nothing_else_is_imported(
    installed: Callable[[str, str], None],
) -> None:
    installed("first", "one = first_code:VALUE")
    installed("second", "two = second_code:VALUE")
    assert plugins.names("test.group") == ("one", "two")
    assert plugins.load("test.group", "one") == 42
    assert "second_code" not in sys.modules


def test_an_unknown_name_is_an_error_that_lists_the_known(installed: Callable[[str, str], None]) -> None:
    installed("first", "one = first_code:VALUE")
    with pytest.raises(UsageError, match="'three'") as caught:
        plugins.load("test.group", "three")
    assert caught.value.mend == "use one of: one"
    with pytest.raises(UsageError) as caught:
        plugins.load("no.such.group", "x")
    assert "none" in caught.value.mend


def test_two_packages_that_claim_one_name_are_refused(installed: Callable[[str, str], None]) -> None:
    installed("first", "one = first_code:VALUE")
    installed("second", "one = second_code:VALUE")
    with pytest.raises(UsageError, match="first_code:VALUE, second_code:VALUE"):
        plugins.load("test.group", "one")


@pytest.mark.parametrize("target", ["missing_code:VALUE", "first_code:MISSING"])
def test_a_plug_in_that_cannot_be_imported_says_so(installed: Callable[[str, str], None], target: str) -> None:
    installed("first", f"one = {target}")
    with pytest.raises(UsageError, match="cannot be loaded"):
        plugins.load("test.group", "one")


@pytest.mark.parametrize(
    ("group", "names"),
    [("sallyport.cataloguers", {"dpkg"}), ("sallyport.advisories", {"changelog", "osv"})],
)
def test_the_built_ins_take_the_same_road(group: str, names: set[str]) -> None:
    assert names <= set(plugins.names(group))
    for name in names:
        assert callable(plugins.load(group, name))
