"""XlsxWriter with constant_memory, the way that holds one row, its typed methods called directly."""

from __future__ import annotations

from pathlib import Path

from xlsxwriter import Workbook

from benchmarks import meter
from benchmarks.peers.common import HEADINGS, booked


def write(rows: int, path: Path) -> None:
    workbook = Workbook(path, {"constant_memory": True, "remove_timezone": True, "tmpdir": str(path.parent)})
    sheet = workbook.add_worksheet("Bookings")
    moment, money = (workbook.add_format({"num_format": looks}) for looks in ("yyyy-mm-dd hh:mm:ss", "0.00"))
    sheet.write_row(0, 0, HEADINGS)
    number, text, day = sheet.write_number, sheet.write_string, sheet.write_datetime
    for place, row in enumerate(booked(rows), 1):
        number(place, 0, row[0])
        day(place, 1, row[1], moment)
        text(place, 2, row[2])
        text(place, 3, row[3])
        text(place, 4, row[4])
        number(place, 5, row[5])
        number(place, 6, row[6], money)
        text(place, 7, row[7])
    workbook.close()


if __name__ == "__main__":
    meter.main(write)
