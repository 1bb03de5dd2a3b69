"""``sallyport robot``, as somebody at a terminal uses it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sallyport.cli.main import run_app


def test_a_robot_is_made_listed_and_revoked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    text = "side: inside\ndestination: lab\nstore: store\n"
    Path("sallyport.yaml").write_text(text)
    assert run_app(["robot", "list"]) == 2
    assert "access.robots" in capsys.readouterr().err
    Path("sallyport.yaml").write_text(f"{text}access:\n  robots: robots.json\n")

    words = ["robot", "create", "ci", "--images", "team/*", "--may", "pull", "--may", "push", "--expires", "90d"]
    assert run_app([*words, "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert (made["login"], made["may"]) == ("robot+ci", ["pull", "push"])
    assert made["secret"] not in Path("robots.json").read_text()
    assert run_app(words) == 7
    assert run_app([*words[:-1], "soon"]) == 2
    capsys.readouterr()

    assert run_app(["robot", "list"]) == 0
    shown = capsys.readouterr().out
    assert "robot+ci" in shown
    assert "team/*" in shown
    assert run_app(["robot", "list", "--json"]) == 0
    listed = capsys.readouterr().out
    assert [one["name"] for one in json.loads(listed)] == ["ci"]
    assert "sha256" not in listed
    assert run_app(["robot", "revoke", "ci"]) == 0
    assert run_app(["robot", "revoke", "ci"]) == 2
