"""rustpy-xlsxwriter alone: only the writer is timed, on a list of ready dicts, without the database."""

from __future__ import annotations

from pathlib import Path

from rustpy_xlsxwriter import write_worksheet

from benchmarks import meter
from benchmarks.peers.common import HEADINGS, booked


def write(rows: int, path: Path) -> dict[str, object]:
    ready = [
        dict(zip(HEADINGS, (*row[:1], row[1].replace(tzinfo=None), *row[2:6], float(row[6]), row[7]), strict=True))
        for row in booked(rows)
    ]
    return meter.measured(lambda: write_worksheet(ready, str(path), sheet_name="Bookings"))


if __name__ == "__main__":
    meter.main(write)
