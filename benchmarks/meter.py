"""Main program of a measured process: set up Django, time the work, print the report as one line of JSON."""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

MIN_SECONDS, MAX_RUNS = 0.5, 15
"""Short work is repeated until its runs have taken MIN_SECONDS in total, up to MAX_RUNS times."""
Work = Callable[[int, Path], Mapping[str, object] | None]
"""Writes this number of ledger rows to the file. The mapping that it returns is added to the report."""


def main(work: Work) -> None:
    """Measure `work` over LEDGER_ROWS rows, and print the report.

    First, the work runs with one row and is not measured. Imports, fonts and connections are then ready, as in a worker
    that makes many exports.
    """
    import django

    django.setup()
    from django.conf import settings
    from django.test import override_settings

    rows: int = getattr(settings, "LEDGER_ROWS")  # noqa: B009 - the site's own settings have no such name
    with tempfile.TemporaryDirectory() as folder:
        with override_settings(LEDGER_ROWS=1):
            work(1, Path(folder) / "first")
        path = Path(folder) / "file"
        report = measured(lambda: work(rows, path))
        print(json.dumps({"rows": rows, "bytes": path.stat().st_size, **report}))


def measured(work: Callable[[], Mapping[str, object] | None]) -> dict[str, object]:
    """Return the median seconds of the runs, the peak memory of this process so far, and the result of `work`."""
    seconds: list[float] = []
    extra: Mapping[str, object] | None = None
    while not seconds or (sum(seconds) < MIN_SECONDS and len(seconds) < MAX_RUNS):
        begin = time.perf_counter()
        extra = work()
        seconds.append(time.perf_counter() - begin)
    return {"seconds": round(statistics.median(seconds), 4), "peak_mb": peak_mb(), **(extra or {})}


def peak_mb(pid: int | str = "self") -> float:
    """Return the largest resident set of a process so far, in MB. getrusage would include the time before exec."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return round(int(line.split()[1]) / 1024, 1)
    return 0.0


if __name__ == "__main__":
    sys.exit("This module is not a program. The measured modules import it.")
