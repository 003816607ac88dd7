from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import BytesIO
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exports.datasets import Column, ColumnType
from exports.formats.csv import guarded
from tests.support.formats import ROW, context, kind, read_csv, write, write_parts

TEXT = (Column("text", "Text"), Column("more", "More"))


def cell(value: Any, kind: ColumnType = ColumnType.TEXT, zone: str = "Europe/Berlin") -> str:
    where = context([Column("a", "A", kind)], zone=ZoneInfo(zone))
    return read_csv(write("csv", [(value,)], where))[1][0]


def test_bytes() -> None:
    assert write("csv", [ROW, (None,) * 6]) == (
        b"Text,Integer,Decimal,Boolean,Date,Datetime\r\n"
        b"text,42,12.50,true,2024-07-01,2024-07-01T14:00:00+02:00\r\n"
        b",,,,,\r\n"
    )


def test_no_rows() -> None:
    assert write("csv", []) == b"Text,Integer,Decimal,Boolean,Date,Datetime\r\n"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@a", "\ta", "\ra", "\na", "  =1", "＝1", " \t=1"])
def test_formulas_are_guarded(text: str) -> None:
    assert cell(text) == "'" + text


@pytest.mark.parametrize("text", ["", " ", "a=1", "1-1", "'=1", " a", "é", "00042"])
def test_other_text_is_left_alone(text: str) -> None:
    assert cell(text) == guarded(text) == text


@pytest.mark.parametrize(
    ("delimiter", "line"),
    [("comma", b'"a,b",c;d,e\tf\r\n'), ("semicolon", b'a,b;"c;d";e\tf\r\n'), ("tab", b'a,b\tc;d\t"e\tf"\r\n')],
)
def test_delimiters(delimiter: str, line: bytes) -> None:
    where = context([*TEXT, Column("last", "Last")], options={"delimiter": delimiter})
    assert write("csv", [("a,b", "c;d", "e\tf")], where).splitlines(keepends=True)[1] == line


def test_excel_is_told_that_it_is_utf_8_once() -> None:
    where = context(TEXT, options={"excel": "yes"})
    data = write_parts(kind("csv"), [[("ä", "b")], [("c", "d")]], where)
    assert data == b"\xef\xbb\xbfText,More\r\n\xc3\xa4,b\r\nc,d\r\n"


def test_choices_stand_in_words() -> None:
    mood = Column("mood", "Mood", ColumnType.CHOICE, choices=[("good", "Yes"), ("bad", "=No"), (3, "Three")])
    rows = [("good",), ("bad",), (3,), ("=new",), (None,), (4,)]
    assert [row[0] for row in read_csv(write("csv", rows, context([mood])))[1:]] == [
        "Yes",
        "'=No",
        "Three",
        "'=new",
        "",
        "4",
    ]


def test_money_has_two_columns() -> None:
    net = Column("net", "Net", ColumnType.MONEY, currency="EUR")
    rows = [(Decimal("-1.50"), "EUR"), (None, None)]
    assert write("csv", rows, context([net])) == b"Net,Net (currency)\r\n-1.50,EUR\r\n,\r\n"


def test_headings_are_guarded() -> None:
    assert write("csv", [], context([Column("a", "=A")])) == b"'=A\r\n"


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (-5, ColumnType.INTEGER, "-5"),
        (Decimal("-0.10"), ColumnType.DECIMAL, "-0.10"),
        (Decimal("0.10"), ColumnType.TEXT, "0.10"),
        (Decimal("1E+3"), ColumnType.DECIMAL, "1000"),
        (Decimal("0E-8"), ColumnType.DECIMAL, "0.00000000"),
        (Decimal("1234567890123456789.0123456789"), ColumnType.DECIMAL, "1234567890123456789.0123456789"),
        (1e-7, ColumnType.DECIMAL, "0.0000001"),
        (-5, ColumnType.DECIMAL, "-5"),
        (-5, ColumnType.TEXT, "'-5"),
        (1, ColumnType.BOOLEAN, "true"),
        (0, ColumnType.BOOLEAN, "false"),
        (False, ColumnType.TEXT, "false"),
        (date(1812, 6, 24), ColumnType.DATE, "1812-06-24"),
        (timedelta(hours=-1), ColumnType.DURATION, "-P0DT01H00M00S"),
        (timedelta(hours=1), ColumnType.TEXT, "P0DT01H00M00S"),
        ({"ä": [1, None]}, ColumnType.TEXT, '{"ä": [1, null]}'),
        (b"\x00\xff", ColumnType.TEXT, "00ff"),
        (uuid.UUID(int=1), ColumnType.TEXT, "00000000-0000-0000-0000-000000000001"),
        (ColumnType.TEXT, ColumnType.TEXT, "text"),
    ],
)
def test_values_of_any_type(value: Any, kind: ColumnType, text: str) -> None:
    assert cell(value, kind) == text


@pytest.mark.parametrize(
    ("value", "zone", "text"),
    [
        (datetime(2024, 1, 1, 23, 30, tzinfo=UTC), "Asia/Kathmandu", "2024-01-02T05:15:00+05:45"),
        (datetime(2024, 1, 1, 0, 0, 0, 120, tzinfo=UTC), "UTC", "2024-01-01T00:00:00.000120+00:00"),
        (datetime(2024, 1, 1, 9, 0), "Asia/Tokyo", "2024-01-01T09:00:00"),
        (datetime(1880, 1, 1, tzinfo=UTC), "Europe/Berlin", "1880-01-01T00:00:00+00:00"),
        (datetime(9999, 12, 31, 23, tzinfo=UTC), "Asia/Tokyo", "9999-12-31T23:00:00+00:00"),
        (datetime(1, 1, 1, tzinfo=UTC), "America/New_York", "0001-01-01T00:00:00+00:00"),
    ],
)
def test_date_times(value: datetime, zone: str, text: str) -> None:
    assert cell(value, ColumnType.DATETIME, zone) == text


def test_what_no_reader_takes_is_replaced() -> None:
    assert cell("a\0b\ud800c") == "a\ufffdb\ufffdc"


@given(st.lists(st.tuples(st.none() | st.text(), st.none() | st.text()), max_size=5))
def test_text_comes_back(rows: list[tuple[str | None, str | None]]) -> None:
    expected = [[guarded((value or "").replace("\0", "\ufffd")) for value in row] for row in rows]
    assert read_csv(write("csv", rows, context(TEXT)))[1:] == expected


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_decimals_come_back(value: Decimal) -> None:
    text = cell(value, ColumnType.DECIMAL)
    assert "E" not in text.upper()
    assert Decimal(text) == value


@given(st.datetimes(timezones=st.just(UTC)), st.timezones())
def test_date_times_come_back(value: datetime, zone: ZoneInfo) -> None:
    assert datetime.fromisoformat(cell(value, ColumnType.DATETIME, zone.key)) == value


@given(st.integers(0, 700), st.integers(0, 700))
def test_parts_joined_are_the_whole(many: int, cut: int) -> None:
    rows = [(str(i), i, None, i % 2 == 0, None, None) for i in range(many)]
    assert write_parts(kind("csv"), [rows[:cut], [], rows[cut:]], context()) == write("csv", rows)


def test_rows_are_counted() -> None:
    assert kind("csv").write((ROW for _ in range(1_000)), BytesIO(), context()).rows == 1_000
