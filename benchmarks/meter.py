"""What one measured process does around its work: Django up, the clock, the file, the peak, one line of JSON."""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

ENOUGH, MOST_TIMES = 0.5, 15
"""Seconds that are enough to trust a clock, and how often short work is done again to come to them."""
Work = Callable[[int, Path], Mapping[str, object] | None]
"""Writes that many of the ledger's rows to that file; what it gives back is reported as well."""


def main(work: Work) -> None:
    """Measure `work` over LEDGER_ROWS rows, after it has done one row: imports, fonts and connections are there then,
    as they are in a worker that lives for many exports.
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
    """Its seconds and the peak so far. Work that is over at once is done again: the median of what fits in ENOUGH."""
    taken: list[float] = []
    more: Mapping[str, object] | None = None
    while not taken or (sum(taken) < ENOUGH and len(taken) < MOST_TIMES):
        began = time.perf_counter()
        more = work()
        taken.append(time.perf_counter() - began)
    return {"seconds": round(statistics.median(taken), 4), "peak_mb": peak_mb(), **(more or {})}


def peak_mb(pid: int | str = "self") -> float:
    """The largest resident set that a process has had, in MB. (getrusage would count what it had before exec.)"""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return round(int(line.split()[1]) / 1024, 1)
    return 0.0


if __name__ == "__main__":
    sys.exit("This module is imported by what is measured.")
