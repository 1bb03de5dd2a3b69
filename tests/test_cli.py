"""The command line: every verb explains itself, errors are two lines, and nobody sees a traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sallyport import __version__
from sallyport.cli.main import run_app

VERBS = [
    "init",
    "plan",
    "mirror",
    "scan",
    "patch",
    "gate",
    "release",
    "bundle",
    "receive",
    "promote",
    "gitops",
    "audit",
    "serve",
    "status",
    "verify",
    "gc",
    "key",
    "demo",
    "run",
]


def test_the_help_lists_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(["--help"]) == 0
    shown = capsys.readouterr().out
    for verb in VERBS:
        assert f"\n  {verb} " in shown


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_an_example_and_its_exit_codes(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    verbs = [[verb]] if verb != "key" else [["key", sub] for sub in ("create", "new", "root", "trust")]
    for words in verbs:
        assert run_app([*words, "--help"]) == 0
        shown = capsys.readouterr().out
        assert f"Example: sallyport {' '.join(words)}" in shown
        assert "Exit codes: 0 " in " ".join(shown.split())


def test_version_is_said_without_importing_the_world() -> None:
    code = (
        "import sys; sys.argv = ['sallyport', '--version']\n"
        "from sallyport.cli.main import main\nmain()\n"
        "heavy = {'typer', 'sqlalchemy', 'rich', 'starlette', 'cryptography', 'urllib3'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == f"sallyport {__version__}\n", done.stderr


def test_help_imports_no_room() -> None:
    code = (
        "import sys\nfrom sallyport.cli.main import run_app\nassert run_app(['--help']) == 0\n"
        "heavy = {'sqlalchemy', 'starlette', 'cryptography', 'urllib3', 'tuf', 'dulwich'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["nonsense"], 2, "nonsense"),
        (["mirror", "--nonsense"], 2, "nonsense"),
        (["mirror", "--config", "nowhere.yaml"], 2, "sallyport init"),
        (["verify"], 2, "--store"),
        (["promote", "no-colon"], 2, "sallyport init"),
    ],
)
def test_a_mistake_gives_error_and_mend(
    words: list[str],
    code: int,
    says: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_app(words) == code
    shown = capsys.readouterr().err
    assert shown.startswith("error: ")
    assert "\nmend: " in shown
    assert says in shown
    assert "Traceback" not in shown


def test_with_json_an_error_is_json_as_well(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_app(["status", "--json"]) == 2
    value = json.loads(capsys.readouterr().out)
    assert value["error"] == "ConfigError"
    assert value["exit-code"] == 2
    assert value["mend"]


def test_a_fresh_site_is_set_up_verb_by_verb(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_app(["init", "outside", "--folder", "out"]) == 0
    assert run_app(["init", "inside", "--folder", "in"]) == 0
    assert run_app(["init", "inside", "--folder", "in"]) == 7
    assert run_app(["key", "create", "-c", "out"]) == 0
    assert run_app(["key", "create", "-c", "in"]) == 0
    assert run_app(["key", "new", "people/root.key"]) == 0
    assert run_app(["key", "new", "out/keys/targets.key"]) == 0
    capsys.readouterr()
    words = ["key", "root", "-c", "out", "--root-key", "people/root.key", "--approver", "out/keys/targets.pub"]
    assert run_app([*words, "--json"]) == 0
    root = json.loads(capsys.readouterr().out)
    assert run_app(words) == 7

    assert run_app(["key", "trust", root["root"], "--fingerprint", "sha256:" + "0" * 64, "-c", "in"]) == 4
    assert run_app(["key", "trust", root["root"], "--fingerprint", root["fingerprint"], "-c", "in"]) == 0
    assert run_app(["receive", "-c", "in"]) == 0
    assert run_app(["receive", "-c", "out"]) == 2
    assert run_app(["mirror", "-c", "in"]) == 2
    capsys.readouterr()
    for side in ("in", "out"):
        assert run_app(["status", "-c", side, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["destination"] == "ship-7"
        assert run_app(["verify", "--store", "-c", side]) == 0
        assert run_app(["gc", "--dry-run", "-c", side]) == 0
        assert run_app(["audit", "-c", side]) == 0
        assert "wrote" in capsys.readouterr().out


def test_what_others_wrote_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    from sallyport.cli.output import show

    show({}, as_json=False, headers=("tag",), rows=[("\x1b[2Jevil[red]tag",)], note="\x07bell")
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "[red]" in shown
