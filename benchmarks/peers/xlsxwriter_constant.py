"""XlsxWriter with constant_memory, which holds one row in memory, and direct calls of its typed methods."""

from __future__ import annotations

from pathlib import Path

from xlsxwriter import Workbook

from benchmarks import meter
from benchmarks.peers.common import HEADINGS, booked


def write(rows: int, path: Path) -> None:
    workbook = Workbook(path, {"constant_memory": True, "remove_timezone": True, "tmpdir": str(path.parent)})
    sheet = workbook.add_worksheet("Bookings")
    moment, money = (workbook.add_format({"num_format": pattern}) for pattern in ("yyyy-mm-dd hh:mm:ss", "0.00"))
    sheet.write_row(0, 0, HEADINGS)
    number, text, day = sheet.write_number, sheet.write_string, sheet.write_datetime
    for index, row in enumerate(booked(rows), 1):
        number(index, 0, row[0])
        day(index, 1, row[1], moment)
        text(index, 2, row[2])
        text(index, 3, row[3])
        text(index, 4, row[4])
        number(index, 5, row[5])
        number(index, 6, row[6], money)
        text(index, 7, row[7])
    workbook.close()


if __name__ == "__main__":
    meter.main(write)
