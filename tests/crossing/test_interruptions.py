"""Killed at any moment, a side is as it was or further; the same command run again completes it."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from sallyport.store import verify_store

PROGRAM = "from sallyport.cli.main import main; main()"


def start(side: Path, *words: str) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-c", PROGRAM, *words, "--config", str(side)]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finish(side: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    with start(side, *words) as process:
        stdout, stderr = process.communicate(timeout=120)
    return subprocess.CompletedProcess(words, process.returncode, stdout, stderr)


def assert_whole(scene: Any, side: str) -> None:
    with scene.site(side) as site:
        assert verify_store(site.store) == ()


@pytest.fixture
def outdated(scene: Any) -> Any:
    scene.publish("web", openssl="3.0.11-1", curl="7.88-1")
    scene.fix("openssl", "3.0.15-1", closes=["CVE-2026-1111"])
    scene.configure()
    for side in ("outside", "inside"):
        # The program goes by the machine's own clock, which is later than the scene's.
        text = (scene.root / side / "sallyport.yaml").read_text()
        (scene.root / side / "sallyport.yaml").write_text(
            text.replace("max-age: 14d", "max-age: 500w").replace("max-age: 30d", "max-age: 500w")
        )
    return scene


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_any_moment_both_sides_complete_when_run_again(outdated: Any, seed: int) -> None:
    chance = random.Random(seed)
    for side, longest in (("outside", 2.0), ("inside", 1.2)):
        for _ in range(3):
            with start(outdated.root / side, "run") as process:
                time.sleep(chance.uniform(0.3, longest))
                process.send_signal(chance.choice([signal.SIGKILL, signal.SIGTERM]))
                process.communicate(timeout=60)
            assert_whole(outdated, side)
        done = finish(outdated.root / side, "run")
        assert done.returncode == 0, done.stderr.decode()
        assert_whole(outdated, side)
    with outdated.site("inside") as inside:
        stable = inside.store.state.tag("library/web", "stable")
        assert stable is not None
        assert inside.store.state.verify_journal() > 0


def test_an_interrupt_is_said_in_two_lines(outdated: Any) -> None:
    with start(outdated.root / "outside", "run", "--schedule") as process:
        time.sleep(3)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stderr.decode().strip().startswith("error: interrupted\nmend: ")


def test_with_json_every_verb_prints_one_value(outdated: Any) -> None:
    outside, inside = outdated.root / "outside", outdated.root / "inside"
    for verb in ("plan", "mirror", "plan", "scan", "patch", "gate", "release", "bundle", "status"):
        done = finish(outside, verb, "--json")
        assert done.returncode == 0, (verb, done.stderr)
        assert json.loads(done.stdout) is not None
        assert done.stderr == b""
    for verb in ("receive", "promote", "gitops", "audit", "status"):
        done = finish(inside, verb, "--json")
        assert done.returncode == 0, (verb, done.stderr)
        json.loads(done.stdout)
    done = finish(inside, "verify", "--store", "--json")
    assert json.loads(done.stdout) == []
    assert finish(outside, "bundle", "--json").returncode == 0
    assert len(outdated.bundles()) == 1


def test_a_medium_that_may_only_be_read_is_received_all_the_same(outdated: Any) -> None:
    assert finish(outdated.root / "outside", "run").returncode == 0
    bundle = outdated.bundles()[0]
    for path in [bundle, *bundle.rglob("*")]:
        path.chmod(path.stat().st_mode & ~0o222)
    try:
        done = finish(outdated.root / "inside", "receive", str(bundle))
        assert done.returncode == 0, done.stderr
    finally:
        for path in [bundle, *bundle.rglob("*")]:
            path.chmod(path.stat().st_mode | 0o200)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
@pytest.mark.parametrize("room", ["200K", "400K"])
def test_a_full_disk_loses_nothing(outdated: Any, room: str) -> None:
    inside = outdated.root / "inside" / "store"
    assert finish(outdated.root / "outside", "run").returncode == 0
    for path in inside.rglob("*"):
        if path.is_file():
            path.unlink()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={room}", "none", inside], check=False).returncode != 0:
        pytest.skip("this machine does not let tests mount a tmpfs")
    try:
        done = finish(outdated.root / "inside", "receive")
        assert done.returncode == 6, (done.stdout, done.stderr)
        assert b"error: " in done.stderr
        assert b"mend: " in done.stderr
        assert b"Traceback" not in done.stderr
    finally:
        subprocess.run(["umount", inside], check=True)
    assert finish(outdated.root / "inside", "receive").returncode == 0
    assert_whole(outdated, "inside")
