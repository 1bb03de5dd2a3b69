"""Other programs, as functions that return a value."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sallyport.errors import MissingProgramError, SallyportError


class ProgramError(SallyportError):
    """A program took too long."""

    exit_code = 5


@dataclass(frozen=True, slots=True)
class Ran:
    """What a program did. ``stdout`` and ``stderr`` are raw bytes, at most ``max_output`` each."""

    argv: tuple[str, ...]
    status: int
    stdout: bytes
    stderr: bytes


def run_program(
    argv: Sequence[str],
    *,
    timeout_s: float,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    max_output: int = 16 * 1024 * 1024,
) -> Ran:
    """Run ``argv`` without a shell, in its own process group, and wait.

    Raises:
        MissingProgramError: it is not installed.
        ProgramError: it ran longer than ``timeout_s`` seconds, and was ended.
    """
    if shutil.which(argv[0]) is None:
        raise MissingProgramError(f"{argv[0]} is not installed", f"install {argv[0]} and put it on PATH")
    with subprocess.Popen(  # noqa: S603 - argv, never a shell
        list(argv),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=None if env is None else dict(env),
        cwd=cwd,
        start_new_session=True,
    ) as process:
        try:
            stdout, stderr = process.communicate(stdin, timeout=timeout_s)
        except subprocess.TimeoutExpired as error:
            # Its children too, or the pipes stay open and the wait never ends.
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise ProgramError(
                f"{argv[0]} took longer than {timeout_s:g} s", "run it again, or raise the time limit"
            ) from error
    return Ran(tuple(argv), process.returncode, stdout[:max_output], stderr[:max_output])
