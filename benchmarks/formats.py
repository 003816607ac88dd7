"""Seconds, rows/s and peak memory of one process that exports the demo's orders, format by format."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import NamedTuple

from benchmarks.site import Site
from deploy.processes import site
from deploy.steps import ROOT

RUNS = 3
ALL = ("--range", "all")
TWO_DAYS = ("--from", f"{date.today().year}-01-01", "--to", f"{date.today().year}-01-02")  # noqa: DTZ011 - the shop's year
CASES = (
    *(
        (kind, user, ALL)
        for kind in ("csv", "jsonl", "xlsx")
        for user in ("small@example.com", "enterprise@example.com")
    ),
    ("pdf", "small@example.com", ALL),
    ("pdf", "enterprise@example.com", TWO_DAYS),
)


@dataclass(frozen=True)
class Figure:
    """Medians of RUNS fresh processes; seconds are of the whole process, Django's start included."""

    format: str
    rows: int
    seconds: float
    rows_per_second: int
    peak_mb: float


def measure(here: Site) -> list[dict[str, object]]:
    return [asdict(_case(here, *case)) for case in CASES]


def _case(here: Site, kind: str, user: str, period: Sequence[str]) -> Figure:
    runs = [_run(here, kind, user, period) for _ in range(RUNS)]
    seconds = statistics.median(run.seconds for run in runs)
    peak = statistics.median(run.peak_mb for run in runs)
    return Figure(kind, runs[0].rows, round(seconds, 2), round(runs[0].rows / seconds), round(peak, 1))


class Run(NamedTuple):
    """One process: its seconds, its peak resident set (wait4(2)), and the rows that it says it wrote."""

    seconds: float
    peak_mb: float
    rows: int


def _run(here: Site, kind: str, user: str, period: Sequence[str]) -> Run:
    command = [sys.executable, "manage.py", "export", "--inline", *period]
    command += ["--user", user, "--dataset", "orders", "--format", kind]
    environment = here.environment(site(here.var_dir, here.port)[0])
    began = time.monotonic()
    child = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert child.stdout is not None
    printed = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{' '.join(command)} failed.")
    return Run(time.monotonic() - began, usage.ru_maxrss / 1024, int(printed.split()[0]))
