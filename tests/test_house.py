"""The house: arrows point up the list only, and every room is entered by its door.

The rooms and their order stand in ARCHITECTURE.md, whose table is compared with what the imports say.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "sallyport"
TABLE = re.compile(r"^\| `([a-z]+)(?:/|\.py)` \|[^|]*\|[^|]*\|([^|]*)\|$", re.MULTILINE)


def rooms_of_the_table() -> dict[str, set[str]]:
    rows = TABLE.findall((ROOT / "ARCHITECTURE.md").read_text())
    return {room: set(re.findall(r"[a-z]+", knows)) for room, knows in rows}


ROOMS = list(rooms_of_the_table())


def files() -> Iterator[tuple[str, Path]]:
    for path in sorted(SOURCE.rglob("*.py")):
        first = path.relative_to(SOURCE).parts[0].removesuffix(".py")
        if first not in {"__init__", "__main__"}:
            yield first, path


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Every module of ours that the file names, wherever the import stands."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names if alias.name.startswith("sallyport"))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sallyport"):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            module = node.module or ""
            if module == "sallyport":
                yield from ((node.lineno, f"sallyport.{alias.name}") for alias in node.names)
            else:
                yield node.lineno, module


def test_every_room_stands_in_the_table() -> None:
    assert {room for room, _ in files()} == set(ROOMS)


@pytest.mark.parametrize(("room", "path"), [pytest.param(r, p, id=str(p.relative_to(SOURCE))) for r, p in files()])
def test_arrows_point_up_and_enter_by_the_door(room: str, path: Path) -> None:
    for line, module in imports(path):
        if module in {"sallyport", "sallyport.__version__"}:
            continue
        target = module.split(".")[1]
        assert target in ROOMS, f"{path}:{line}: {module} is no room"
        if target == room:
            continue
        assert ROOMS.index(target) < ROOMS.index(room), (
            f"{path}:{line}: {room} must not know {target}, which is below it"
        )
        assert module == f"sallyport.{target}", f"{path}:{line}: enter {target} by its door, not by {module}"


def test_the_picture_is_what_the_imports_say() -> None:
    actual: dict[str, set[str]] = {room: set() for room in ROOMS}
    for room, path in files():
        for _, module in imports(path):
            if module not in {"sallyport", "sallyport.__version__"} and module.split(".")[1] != room:
                actual[room].add(module.split(".")[1])
    everywhere = {"errors", "engine", "oci"}
    stated = rooms_of_the_table()
    for room in ROOMS:
        assert stated[room] == actual[room] - everywhere, f"the row of {room} in ARCHITECTURE.md"
