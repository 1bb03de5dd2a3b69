"""Run one thing in a process of its own, so that its peak memory and its time are its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TextIO


@dataclass(frozen=True, slots=True)
class Measured:
    """One run. ``answer`` is what was computed, to be checked before the time is believed."""

    answer: str
    seconds: float
    peak: int  # bytes of resident memory, the most there were at once


def measure(task: str, *arguments: str, cores: int = 0) -> Measured:
    """Call ``module:function`` with ``arguments`` in a new interpreter; its imports are not in the time."""
    argv = [sys.executable, "-m", "bench.child", task, *arguments]
    said, _, peak = _run(argv, cores)
    reply = json.loads(said)
    return Measured(reply["answer"], reply["seconds"], peak)


def measure_program(script: str, *arguments: str, cores: int = 0) -> Measured:
    """Run a peer: ``script`` is for sh, and finds ``arguments`` as $1, $2, ..."""
    said, seconds, peak = _run(["sh", "-c", script, "sh", *arguments], cores)
    return Measured(said.strip(), seconds, peak)


def best(runs: Sequence[Measured]) -> Measured:
    """The fastest, with the largest peak of all: others on the machine only ever add time."""
    fastest = min(runs, key=lambda run: run.seconds)
    return Measured(fastest.answer, fastest.seconds, max(run.peak for run in runs))


def _run(argv: Sequence[str], cores: int) -> tuple[str, float, int]:
    os.sync()  # or this run waits for what the one before it wrote
    started = time.perf_counter()
    with (
        _limited_to(cores),
        subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]) as process,
    ):
        said = process.stdout.read() if process.stdout is not None else ""
        # wait4 tells the peak of this one child; resource.getrusage only that of the largest child ever.
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - started
    if process.returncode:
        raise SystemExit(f"{' '.join(argv[:6])} ended with {process.returncode}")
    return said, seconds, usage.ru_maxrss * 1024


@contextmanager
def _limited_to(cores: int) -> Iterator[None]:
    """Children started inside inherit this many processors; 0 is all."""
    before = os.sched_getaffinity(0)
    try:
        if cores:
            os.sched_setaffinity(0, sorted(before)[:cores])
        yield
    finally:
        os.sched_setaffinity(0, before)


def main(task: str, arguments: Sequence[str], out: TextIO) -> None:
    module, _, name = task.partition(":")
    function: Callable[..., str] = getattr(import_module(module), name)
    started = time.perf_counter()
    answer = function(*arguments)
    json.dump({"answer": answer, "seconds": time.perf_counter() - started}, out)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:], sys.stdout)
