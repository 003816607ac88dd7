"""What `make test` and `make faults` prove, several lanes at a time: whole sites mostly wait, and others use the time.

python -m tests.lanes
python -m tests.lanes faults
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parent.parent
AT_ONCE = (os.cpu_count() or 2) + 1
PAUSE = 0.2
PYTEST = [sys.executable, "-m", "pytest", "-q"]
COVERED = [sys.executable, "-m", "coverage", "run", "-m", "pytest", "-q"]
ON_POSTGRESQL = {"CARRYALL_TEST_DB": "postgresql", "LIVES": "4"}
QUICK = ["tests/unit", "tests/contracts", "tests/integration"]
LAYOUT = ["tests/contracts/test_pdf_layout.py", "tests/contracts/test_pdf_designs.py"]
TWO_WAYS = ["tests/contracts/test_lanes.py", "tests/integration/test_xlsx_lanes.py"]
"""What PostgreSQL writes itself: its coverage counts too."""
TRANSACTIONS = [
    "tests/contracts/test_lanes.py", "tests/contracts/test_key_ranges.py", "tests/integration/test_dispatch.py",
    "tests/integration/test_estimates.py", "tests/integration/test_pipeline.py", "tests/unit/test_durable_life.py",
]  # fmt: skip
"""What holds locks, sets something for a transaction, or copies: each of them must stay within one transaction."""
FAULTS = ["database_faults", "deploys", "kill_points", "poison", "redis_faults", "zombies"]
"""Acceptance tests that break whole sites, each in one way after the other; test_chaos has the short form of them."""


@dataclass
class Lane:
    """A command beside others; its words are kept until it has ended."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    log: IO[bytes] = field(default_factory=tempfile.TemporaryFile)
    process: subprocess.Popen[bytes] | None = None
    began: float = 0.0
    seconds: float = 0.0
    """Of the processors, its children's included."""

    def start(self) -> None:
        self.began = time.monotonic()
        environment = {**os.environ, **self.environment}
        self.process = subprocess.Popen(
            self.command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
            start_new_session=True,
        )  # fmt: skip

    def ended(self) -> bool:
        """Whether it has; the first time, also takes notice of what it took."""
        assert self.process is not None
        if self.process.returncode is None:
            pid, status, usage = os.wait4(self.process.pid, os.WNOHANG)
            if pid:
                self.process.returncode = os.waitstatus_to_exitcode(status)
                self.seconds = usage.ru_utime + usage.ru_stime
        return self.process.returncode is not None

    def tell(self) -> bool:
        """Print what it said, all of it when it failed. True when it passed."""
        assert self.process is not None
        passed = self.process.returncode == 0
        self.log.seek(0)
        lines = self.log.read().decode(errors="replace").strip().splitlines()
        took = f"{time.monotonic() - self.began:.0f} s, {self.seconds:.0f} s of a processor"
        print(f"\n=== {self.name}: {'passed' if passed else 'FAILED'} after {took}")
        print("\n".join(lines[-1:] if passed else lines), flush=True)
        return passed

    def kill(self) -> None:
        assert self.process is not None
        for number, seconds in ((signal.SIGINT, 20), (signal.SIGKILL, 5)):
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)
            end = time.monotonic() + seconds
            while not self.ended() and time.monotonic() < end:
                time.sleep(PAUSE)


def faults() -> list[Lane]:
    """The long fault tests, in two halves."""
    return [
        Lane(f"whole sites under faults, {number}", [*PYTEST, *_files(names)])
        for number, names in enumerate((FAULTS[::2], FAULTS[1::2]), start=1)
    ]


def lanes() -> list[Lane]:
    """All others. The longest first, so that nothing is left to wait for at the end."""
    acceptance = sorted(path.stem.removeprefix("test_") for path in (ROOT / "tests/acceptance").glob("test_*.py"))
    calm = [name for name in acceptance if name not in FAULTS]
    without = [f"--ignore={path}" for path in LAYOUT]
    elsewhere = [*(f"--ignore={path}" for path in TWO_WAYS), "--ignore-glob=*_pdf*", "--ignore-glob=*_storage_*"]
    return [
        Lane("whole sites, and a browser", [*PYTEST, *_files(calm), "tests/browser"]),
        Lane("SQLite, step by step", [*COVERED, "tests/integration"]),
        Lane("SQLite, piece by piece", [*COVERED, *without, "tests/unit", "tests/contracts"]),
        Lane("PostgreSQL", [*PYTEST, *elsewhere, *QUICK], ON_POSTGRESQL),
        Lane("the layout of PDF", [*PYTEST, *LAYOUT]),
        Lane("the two ways of writing, on PostgreSQL", [*COVERED, *TWO_WAYS], ON_POSTGRESQL),
        Lane("PostgreSQL behind PgBouncer", [*PYTEST, *TRANSACTIONS], {"CARRYALL_TEST_DB": "pgbouncer"}),
        Lane("lint, types, layers, migrations", ["make", "--no-print-directory", "check"]),
    ]


def _files(names: Sequence[str]) -> Iterator[str]:
    return (f"tests/acceptance/test_{name}.py" for name in names)


def run(waiting: list[Lane], tell: Callable[[Lane], bool] = Lane.tell) -> bool:
    """Run them all, some at once. True when all of them passed."""
    running: list[Lane] = []
    passed = True
    try:
        while waiting or running:
            while waiting and len(running) < AT_ONCE:
                running.append(waiting.pop(0))
                running[-1].start()
            for lane in [lane for lane in running if lane.ended()]:
                running.remove(lane)
                passed &= tell(lane)
            time.sleep(PAUSE)
    finally:
        for lane in running:
            lane.kill()
    return passed


if __name__ == "__main__":
    begin = time.monotonic()
    good = run(faults() if sys.argv[1:] == ["faults"] else lanes())
    print(f"\n{'All lanes passed' if good else 'Not all lanes passed'} in {time.monotonic() - begin:.0f} s.")
    sys.exit(not good)
