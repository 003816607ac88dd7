"""Helpers for the steps of set-up and start: messages, timing, subprocesses and errors."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The checkout: the folder with manage.py and requirements/."""

TETHERED = [sys.executable, "-I", "-S", str(ROOT / "deploy" / "tether.py")]
"""Prefix of a command that must not outlive this process, even if this process is killed."""


class Fault(Exception):
    """Raised when set-up or start cannot continue. The message is for the terminal and names the fix."""


def say(text: str, *, end: str = "\n") -> None:
    """Print and flush. If the terminal has been closed, discard this text and all later ones."""
    try:
        print(text, end=end, flush=True)
    except OSError:
        sys.stdout = Path("/dev/null").open("w")  # noqa: SIM115  stays open until the process ends


def first_line(error: BaseException) -> str:
    """Return the first line of an error message without its full stop, for use in a sentence."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".")


@contextmanager
def step(what: str) -> Iterator[None]:
    """Print `what` at the start of the block, and its duration in seconds at the end."""
    say(f"{what} ... ", end="")
    begin = time.monotonic()
    try:
        yield
    except BaseException:
        say("")
        raise
    say(f"{time.monotonic() - begin:.1f} s")


def run_quietly(
    command: Sequence[str], *, seconds: float, env: Mapping[str, str] | None = None, tethered: bool = False
) -> None:
    """Run a command and capture its output. If `tethered`, it ends with this process.

    Raise Failed with the output if the command fails, and Fault if it takes longer than `seconds`.
    """
    try:
        done = subprocess.run(
            [*TETHERED, *command] if tethered else command, check=False, env=env, cwd=ROOT, timeout=seconds,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace",
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise Fault(f"`{_short(command)}` took longer than {seconds:.0f} s and was stopped. Try again.") from error
    if done.returncode:
        raise Failed(command, done.returncode, done.stdout)


def _short(command: Sequence[str]) -> str:
    return " ".join([Path(command[0]).name, *command[1:4]]) + (" ..." if len(command) > 4 else "")


class Failed(Fault):
    """Raised when a command fails. `output` is everything that it printed."""

    def __init__(self, command: Sequence[str], code: int, output: str) -> None:
        self.output = output
        end = "\n".join("    " + line for line in output.strip().splitlines()[-15:])
        super().__init__(f"`{_short(command)}` failed with exit code {code}:\n{end}")
