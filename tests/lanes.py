"""Test lanes of `make test` and `make faults`. They run in parallel, because tests of whole sites mostly wait.

python -m tests.lanes
python -m tests.lanes faults
"""

from __future__ import annotations

import os
import re
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

from tests.support import mariadb

ROOT = Path(__file__).parent.parent
AT_ONCE = (os.cpu_count() or 2) + 1
PAUSE = 0.2
SLOWEST = 20
"""Number of tests in the list that a run ends with."""
OPTIONS = ["-q", f"--durations={SLOWEST}", "--durations-min=1"]
PYTEST = [sys.executable, "-m", "pytest", *OPTIONS]
COVERED = [sys.executable, "-m", "coverage", "run", "-m", "pytest", *OPTIONS]
DURATION = re.compile(r"^(\d+\.\d+)s (?:call|setup|teardown) +(\S.*)$")
FEW_LIVES = {"LIVES": "4"}
ON_POSTGRESQL = {"CARRYALL_TEST_DB": "postgresql"} | FEW_LIVES
ON_MARIADB = {"CARRYALL_TEST_DB": "mariadb", "CARRYALL_TEST_SITE": "split"}
LAYOUT = ["tests/contracts/test_pdf_layout.py", "tests/contracts/test_pdf_designs.py"]
CUT_PDF = "tests/contracts/test_same_file.py::test_the_file_does_not_depend_on_parts[pdf]"
"""A slow test that runs once, without coverage."""
TWO_WAYS = ["tests/contracts/test_lanes.py", "tests/integration/test_xlsx_lanes.py"]
"""Tests of files that PostgreSQL writes itself. They run on PostgreSQL with coverage."""
TRANSACTIONS = [
    "tests/contracts/test_lanes.py", "tests/contracts/test_key_ranges.py", "tests/integration/test_window.py",
    "tests/integration/test_estimates.py", "tests/integration/test_pipeline.py", "tests/unit/test_durable_life.py",
    "tests/integration/test_atomic_requests.py", "tests/integration/test_jobs.py",
]  # fmt: skip
"""Tests of code with locks, transaction-local settings or COPY, each of which must stay within one transaction."""
ANY_SITE = [
    "tests/unit/test_durable_lease.py", "tests/unit/test_durable_sweep.py", "tests/unit/test_jobs.py",
    "tests/contracts/test_dates.py", "tests/integration/test_requests.py", "tests/integration/test_pipeline.py",
    "tests/integration/test_purge.py", "tests/integration/test_notifications_delivery.py",
]  # fmt: skip
"""Tests of leases, clocks and transactions, which also run in the other sites of CARRYALL_TEST_SITE."""
NAIVE = [*ANY_SITE, "tests/integration/test_naive_site.py"]
SPLIT = [
    *ANY_SITE, "tests/integration/test_second_database.py", "tests/integration/test_quota.py",
    "tests/integration/test_admin.py", "tests/integration/test_schedules.py", "tests/integration/test_doctor.py",
    "tests/integration/test_atomic_requests.py", "tests/unit/test_notifications.py",
    "--deselect=tests/integration/test_purge.py::test_results_are_deleted_in_batches",  # counts queries of one database
]  # fmt: skip
FAULTS = ["database_faults", "deploys", "kill_points", "poison", "redis_faults", "zombies"]
"""Acceptance tests that inject faults into whole sites. test_chaos has the short form of them."""
KILLS = [
    "tests/integration/test_faults.py", "tests/integration/test_bundle_faults.py", "tests/unit/test_fan_in_life.py",
    "tests/unit/test_durable_life.py",
]  # fmt: skip
"""Tests that kill a worker at some moments of a step; `make faults` kills it at each of them."""
MARIADB = [
    "tests/integration/test_second_database.py", "tests/integration/test_atomic_requests.py",
    "tests/integration/test_admin.py", "tests/contracts/test_dates.py", "tests/contracts/test_types.py",
    "tests/contracts/test_key_ranges.py",
    "--deselect=tests/contracts/test_types.py::test_averages_declared_float_are_floats",  # AVG() has four decimals
    "--deselect=tests/contracts/test_key_ranges.py::test_zero_is_a_valid_key",  # an AUTO_INCREMENT key is never 0
]  # fmt: skip
"""Tests of a site in MariaDB, with our own tables in SQLite. They need mariadb-server and mysqlclient."""


@dataclass
class Lane:
    """A command that runs in parallel with others. Its output is kept until it has ended."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    log: IO[bytes] = field(default_factory=tempfile.TemporaryFile)
    process: subprocess.Popen[bytes] | None = None
    began: float = 0.0
    seconds: float = 0.0
    """CPU time, including that of child processes."""
    slowest: list[tuple[float, str]] = field(default_factory=list)
    """The slowest tests: seconds, name."""

    def start(self) -> None:
        self.began = time.monotonic()
        environment = {**os.environ, **self.environment}
        environment.pop("DJANGO_SETTINGS_MODULE", None)  # an import above set it; each test run sets its own
        self.process = subprocess.Popen(
            self.command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
            start_new_session=True,
        )  # fmt: skip

    def ended(self) -> bool:
        """Return whether the command has ended. Record its exit code and CPU time when it has."""
        assert self.process is not None
        if self.process.returncode is None:
            pid, status, usage = os.wait4(self.process.pid, os.WNOHANG)
            if pid:
                self.process.returncode = os.waitstatus_to_exitcode(status)
                self.seconds = usage.ru_utime + usage.ru_stime
        return self.process.returncode is not None

    def tell(self) -> bool:
        """Print the last line of output, or all output if the command failed. Return whether it passed."""
        assert self.process is not None
        passed = self.process.returncode == 0
        self.log.seek(0)
        lines = self.log.read().decode(errors="replace").strip().splitlines()
        self.slowest = [(float(found[1]), found[2]) for found in map(DURATION.match, lines) if found]
        took = f"{time.monotonic() - self.began:.0f} s, {self.seconds:.0f} s of CPU time"
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
    """Return the lanes of the long fault tests."""
    return [
        *(
            Lane(f"fault tests, part {number}", [*PYTEST, *_files(names)])
            for number, names in enumerate((FAULTS[::2], FAULTS[1::2]), start=1)
        ),
        Lane("kills at every moment", [*PYTEST, *KILLS], {"EVERY_MOMENT": "1", "LIVES": "40"}),
    ]


def lanes() -> list[Lane]:
    """Return all other lanes, the longest first so that they end at about the same time."""
    acceptance = sorted(path.stem.removeprefix("test_") for path in (ROOT / "tests/acceptance").glob("test_*.py"))
    calm = [name for name in acceptance if name not in FAULTS]
    without = [*(f"--ignore={path}" for path in LAYOUT), f"--deselect={CUT_PDF}"]
    elsewhere = [*(f"--ignore={path}" for path in TWO_WAYS), "--ignore-glob=*_pdf*", "--ignore-glob=*_storage_*"]
    elsewhere.append(f"--deselect={CUT_PDF}")
    return [
        Lane("acceptance tests", [*PYTEST, *_files(calm)]),
        Lane("integration tests on SQLite", [*COVERED, "tests/integration"]),
        Lane("unit and contract tests on SQLite", [*COVERED, *without, "tests/unit", "tests/contracts"], FEW_LIVES),
        Lane("browser tests", [*PYTEST, "tests/browser"]),
        Lane("PDF layout", [*PYTEST, *LAYOUT, CUT_PDF]),
        Lane("integration tests on PostgreSQL", [*PYTEST, *elsewhere, "tests/integration"], ON_POSTGRESQL),
        Lane(
            "unit and contract tests on PostgreSQL",
            [*PYTEST, *elsewhere, "tests/unit", "tests/contracts"],
            ON_POSTGRESQL,
        ),
        Lane("files written by PostgreSQL", [*COVERED, *TWO_WAYS], ON_POSTGRESQL),
        Lane("tests behind PgBouncer", [*PYTEST, *TRANSACTIONS], {"CARRYALL_TEST_DB": "pgbouncer"}),
        *_sites("naive date-times", "naive", NAIVE),
        *_sites("two databases", "split", SPLIT),
        *([Lane("a site in MariaDB", [*PYTEST, *MARIADB], ON_MARIADB)] if mariadb.installed() else []),
        Lane("lint, types, layers, migrations", ["make", "--no-print-directory", "check"]),
    ]


def _sites(name: str, site: str, tests: Sequence[str]) -> Iterator[Lane]:
    """Yield the lanes of a site of CARRYALL_TEST_SITE, on each database."""
    for database in ("sqlite", "postgresql"):
        environment = {"CARRYALL_TEST_SITE": site, "CARRYALL_TEST_DB": database}
        yield Lane(f"{name} on {database}", [*PYTEST, *tests], environment)


def _files(names: Sequence[str]) -> Iterator[str]:
    return (f"tests/acceptance/test_{name}.py" for name in names)


def run(waiting: list[Lane], tell: Callable[[Lane], bool] = Lane.tell) -> bool:
    """Run all lanes, AT_ONCE in parallel. Return whether all of them passed."""
    running: list[Lane] = []
    done: list[Lane] = []
    passed = True
    try:
        while waiting or running:
            while waiting and len(running) < AT_ONCE:
                running.append(waiting.pop(0))
                running[-1].start()
            for lane in [lane for lane in running if lane.ended()]:
                running.remove(lane)
                done.append(lane)
                passed &= tell(lane)
            time.sleep(PAUSE)
    finally:
        for lane in running:
            lane.kill()
    _print_slowest(done)
    return passed


def _print_slowest(done: Sequence[Lane]) -> None:
    found = sorted(((seconds, test, lane.name) for lane in done for seconds, test in lane.slowest), reverse=True)
    if found:
        print("\nThe slowest tests:")
    for seconds, test, name in found[:SLOWEST]:
        print(f"{seconds:7.1f} s  {test}  ({name})")


if __name__ == "__main__":
    begin = time.monotonic()
    good = run(faults() if sys.argv[1:] == ["faults"] else lanes())
    print(f"\n{'All lanes passed' if good else 'Not all lanes passed'} in {time.monotonic() - begin:.0f} s.")
    sys.exit(not good)
