"""Both lanes write the same workbook: the COPY lane from PostgreSQL's text, the Python lane from values."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import BytesIO
from typing import Any, TypeVar
from unittest.mock import patch
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.db.models import DateField, DateTimeField, DecimalField, F, Func, TextChoices, TextField, Value
from django.db.models.functions import Cast, Concat, Length, Upper

from exports.datasets import Column, ColumnType, KeyRange, Source
from exports.formats import OpenPart, RenderContext
from exports.formats.xlsx import Xlsx, copy_lane, python_lane
from exports.formats.xlsx.copy_lane import CopyLane
from tests.support.formats import HARD_TEXTS, LONG_TEXT, context
from tests.support.specimens import STORED, collect
from tests.work.models import Specimen

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no COPY lane"),
]


T = TypeVar("T")


class Mood(TextChoices):
    GOOD = "good", "Good & <well>"
    BACKSLASH = r"a\b", "With a backslash"
    EMPTY = "", "Nothing said"


PRECISE = DecimalField(max_digits=40, decimal_places=10)
TRIMMED = Func(F("number"), function="trim_scale", output_field=PRECISE)
COLUMNS = [
    *STORED,
    Column("length", "Length", source=Length("text")),
    Column("trimmed", "Trimmed", ColumnType.DECIMAL, source=TRIMMED),
    Column("fee", "Fee", ColumnType.MONEY, source=TRIMMED, currency="CHF"),
    Column("upper", "Upper", source=Upper("text")),
    Column("mood", "Mood", ColumnType.CHOICE, source="text", choices=Mood),
    Column("nothing", "Nothing", ColumnType.NULL),
    Column("price", "Price", ColumnType.MONEY, source="number", currency="EUR"),
    Column("cost", "Cost", ColumnType.MONEY, source="number", currency=F("text")),
    Column("count", "Count", ColumnType.MONEY, source="whole", currency="JPY"),
    Column("code", "Code", ColumnType.MONEY, source="number", currency=F("whole")),
    Column("truth as a choice", "Truth", ColumnType.CHOICE, source="truth", choices=[(True, "Yes"), (False, "No")]),
]
ZONES = ["Europe/Berlin", "Asia/Kolkata", "America/St_Johns", "Pacific/Kiritimati", "UTC", "Africa/Monrovia"]
TEXTS = [
    *(text for text in HARD_TEXTS.values() if not {"\0", "\ud800"} & set(text)),
    *[
        "good",
        r"a\b",
        r"\N",
        r"\\N",
        r"\n",
        "\\",
        "\t",
        "a\tb",
        "a\x0bb\x0c\x08",
        "EUR",
        "BTC",
        "~",
        None,
        "\ufffd",
        "_x0041_",
    ],
    *["x" * 32_767, "👍" * 16_384, LONG_TEXT, LONG_TEXT, "\r" * 40_000],
]
NUMBERS = [
    *map(Decimal, ["0", "0.0000000001", "-5", "12.5", "99999.9999999999", "99999999999999.9999999999", "1E+20"]),
    *[Decimal(1234567890123456), Decimal(9999999999999999), Decimal("-0.10"), None],
]
WHOLES = [0, -1, 10**15 - 1, 10**15, -(10**15) + 1, -(10**15), 2**63 - 1, -(2**63), None]
DAYS = [
    date(1, 1, 1),
    date(1899, 12, 31),
    date(1900, 1, 1),
    date(1900, 2, 28),
    date(1900, 3, 1),
    date(9999, 12, 31),
    None,
]
SECOND, MS = timedelta(seconds=1), timedelta(milliseconds=1)


def moments() -> Iterator[datetime | None]:
    for year, month in [
        (1, 1),
        (1800, 6),
        (1900, 1),
        (1900, 3),
        (1910, 7),
        (1970, 1),
        (2024, 3),
        (2024, 10),
        (2150, 7),
    ]:
        first = datetime(year, month, 1, tzinfo=UTC)
        yield from (first, first + timedelta(microseconds=999), first + 59 * MS + timedelta(hours=13))
    for changes in (
        datetime(2024, 3, 31, 1, tzinfo=UTC),
        datetime(2024, 10, 27, 1, tzinfo=UTC),
        datetime(1900, 1, 1, tzinfo=UTC),
    ):
        yield from (changes + step for step in (-SECOND, -MS, timedelta(0), MS, timedelta(hours=1) - MS))
    yield from (datetime(9999, 12, 29, tzinfo=UTC), datetime.max.replace(tzinfo=UTC), None)


@pytest.fixture
def specimens() -> None:
    values: dict[str, Sequence[Any]] = {"text": TEXTS, "number": NUMBERS, "whole": WHOLES, "day": DAYS}
    values |= {"moment": list(moments()), "truth": [True, False, None]}
    count = max(map(len, values.values()))
    rows = {
        f"odd {number}": {name: each[number % len(each)] for name, each in values.items()} for number in range(count)
    }
    collect(rows | {f"usual {number}": usual(number) for number in range(60)} | {"odd number": {}})
    Specimen.objects.filter(name="odd number").update(number=Cast(Value("NaN"), PRECISE))


def usual(number: int) -> dict[str, Any]:
    """Return the values of a usual row, which is written in bulk."""
    moment = datetime(2024, 1, 1, tzinfo=UTC) + number * timedelta(
        hours=13, minutes=7, seconds=11, microseconds=123_456
    )
    values = {"text": f"text & <{number}>", "number": Decimal(number) / 8, "whole": number - 9, "truth": number % 3 > 1}
    return values | {"day": moment.date(), "moment": moment.replace(microsecond=0) if number % 2 else moment}


def sheet(where: RenderContext, which: str = "") -> tuple[list[str], str]:
    """Write the specimens whose names begin with `which`. Return the lines of the sheet, and the long texts."""
    rows = Specimen.objects.filter(name__startswith=which).order_by("pk")
    keys = list(rows.values_list("pk", flat=True))
    source = Source(rows, where.columns, KeyRange(keys[0], keys[-1], len(keys)))
    body, out, beside = BytesIO(), BytesIO(), BytesIO()
    written = Xlsx().write(source, body, where)
    assert written.rows == source.read == len(keys)
    body.seek(0)
    whole = replace(where, beside=lambda name: beside, rows=written.rows)
    Xlsx().assemble([OpenPart(body, written.rows, written.meta)], out, whole)
    with zipfile.ZipFile(out) as archive:
        return archive.read("xl/worksheets/sheet1.xml").decode().splitlines(), beside.getvalue().decode()


def by_python(where: RenderContext, which: str = "") -> tuple[list[str], str]:
    with patch.object(Source, "copying", return_value=None):
        return sheet(where, which)


def one_by_one(arriving: Iterable[Sequence[T]]) -> Iterator[list[T]]:
    """Split batches into single rows, so that no row affects the conversion of another."""
    return ([row] for rows in arriving for row in rows)


@pytest.mark.parametrize("which", ["odd", "usual"])
@pytest.mark.parametrize("column", COLUMNS, ids=[column.name for column in COLUMNS])
@pytest.mark.usefixtures("specimens")
def test_each_column(column: Column, which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The result is the same if each row is converted on its own: other rows do not affect a cell."""
    where = context([Column("id", "Id", ColumnType.INTEGER), column])
    expected = by_python(where, which)
    assert sheet(where, which) == expected
    monkeypatch.setattr(copy_lane, "_batches", one_by_one)
    monkeypatch.setattr(python_lane, "batches", lambda rows: one_by_one(rows.batches()))
    assert sheet(where, which) == expected
    assert by_python(where, which) == expected


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.usefixtures("specimens")
def test_moments_in_each_zone(zone: str) -> None:
    where = context([Column("moment", "Moment", ColumnType.DATETIME)], zone=ZoneInfo(zone))
    assert sheet(where) == by_python(where)


@pytest.mark.usefixtures("specimens")
def test_all_columns_together() -> None:
    where = context([column for column in COLUMNS if column.name != "code"])
    with patch.object(CopyLane, "lines", autospec=True, side_effect=CopyLane.lines) as lines:
        found = sheet(where)
    lines.assert_called_once()
    assert found == by_python(where)


@pytest.mark.usefixtures("specimens")
def test_long_texts_are_numbered_by_rows() -> None:
    where = context(
        [Column("text", "Text"), Column("again", "Again", source=Concat("text", Value("!"), output_field=TextField()))]
    )
    rows, texts = sheet(where)
    assert (rows, texts) == by_python(where)
    named = re.findall(r"text (\d+-\d) in", "\n".join(rows))
    assert named == re.findall(r"=== Text (\d+-\d):", texts)
    assert len(named) > 4
    assert named == sorted(named, key=lambda name: [int(number) for number in name.split("-")])


@pytest.mark.parametrize("moment", ["infinity", "20000-01-01 00:00:00+00"])
def test_dates_outside_the_range_of_python(moment: str) -> None:
    collect({"one": {"day": date(2024, 1, 1), "moment": datetime(2024, 1, 1, tzinfo=UTC)}})
    ancient = Cast(Value("0044-03-15 BC"), DateField())
    Specimen.objects.update(day=ancient, moment=Cast(Value(moment), DateTimeField()))
    columns = [Column("day", "Day", ColumnType.DATE), Column("moment", "Moment", ColumnType.DATETIME)]
    row = sheet(context(columns))[0][-2]
    assert row.count("<t>") == 2
    assert "<t>0044-03-15 BC</t>" in row
    assert f"<t>{moment}</t>" in row
