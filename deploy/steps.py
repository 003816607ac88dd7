"""What every step of set-up and start has in common: how it is said, timed, run quietly, and how it fails."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The checkout: where manage.py and requirements/ stand."""

TETHERED = [sys.executable, "-I", "-S", str(ROOT / "deploy" / "tether.py")]
"""What stands before a command that must not outlive this process, however this one ends."""


class Fault(Exception):
    """Why it cannot go on: one sentence for the person at the terminal, with the mend in it."""


def say(text: str, *, end: str = "\n") -> None:
    """Write to the terminal at once; a terminal that has gone away is no reason to fail."""
    try:
        print(text, end=end, flush=True)
    except OSError:
        sys.stdout = Path("/dev/null").open("w")  # noqa: SIM115  it stays open until the end


def first_line(error: BaseException) -> str:
    """What an error says, short enough to stand inside a sentence."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".")


@contextmanager
def step(what: str) -> Iterator[None]:
    """Say what is being done, and how many seconds it took."""
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
    """Run a command without its output, if `tethered` not outliving this process.

    Raises Failed with that output when it fails, Fault when it takes too long.
    """
    try:
        done = subprocess.run(
            [*TETHERED, *command] if tethered else command, check=False, env=env, cwd=ROOT, timeout=seconds,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace",
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise Fault(f"`{_short(command)}` took longer than {seconds:.0f} s and was stopped; try again.") from error
    if done.returncode:
        raise Failed(command, done.returncode, done.stdout)


def _short(command: Sequence[str]) -> str:
    return " ".join([Path(command[0]).name, *command[1:4]]) + (" ..." if len(command) > 4 else "")


class Failed(Fault):
    """A command that ended with an error. `output` is all that it printed."""

    def __init__(self, command: Sequence[str], code: int, output: str) -> None:
        self.output = output
        end = "\n".join("    " + line for line in output.strip().splitlines()[-15:])
        super().__init__(f"`{_short(command)}` failed with exit code {code}:\n{end}")
