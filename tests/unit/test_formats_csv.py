from __future__ import annotations

import csv
import uuid
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from io import BytesIO, StringIO
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.utils.dateparse import parse_duration
from hypothesis import given
from hypothesis import strategies as st

from exports.datasets import Column, ColumnType
from exports.formats import content_type_of, writer
from exports.formats.csv import Csv
from exports.formats.formulas import guard
from tests.support.formats import ROW, context, kind, read_csv, write, write_parts

TEXT = (Column("text", "Text"), Column("more", "More"))
guarded = guard(",")


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


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@a", "\ta", "\ra", "\na", "  =1", "＝1", " \t1"])
def test_formulas_are_guarded(text: str) -> None:
    assert cell(text) == "'" + text


@pytest.mark.parametrize(
    ("delimiter", "text", "found"),
    [
        ("comma", "a;=1+1", "a;'=1+1"),
        ("comma", "a;=1;＝2;b", "a;'=1;'＝2;b"),
        ("comma", "a,=1+1", "a,=1+1"),
        ("semicolon", "a,=1+1", "a,'=1+1"),
        ("tab", "a;=1,=2", "a;'=1,'=2"),
        ("comma", "a\t=1", "a\t'=1"),
        ("comma", "a\n=1\r=2\r\n=3", "a\n'=1\r'=2\r\n'=3"),
        ("comma", 'a; "=1', "a; \"'=1"),
        ("comma", "\t=1", "'\t'=1"),
        ("comma", "a;-1+HYPERLINK(1)", "a;'-1+HYPERLINK(1)"),
        ("comma", "a;@SUM(1;1)", "a;'@SUM(1;1)"),
        ("comma", "a\n+1|'/c calc'!A1", "a\n'+1|'/c calc'!A1"),
        ("comma", "to do:\n- call @ada\n- +49 30; -5 %", "to do:\n- call @ada\n- +49 30; -5 %"),
    ],
)
def test_formulas_after_other_separators_are_guarded(delimiter: str, text: str, found: str) -> None:
    assert guard({"comma": ",", "semicolon": ";", "tab": "\t"}[delimiter])(text) == found
    where = context(TEXT, options={"delimiter": delimiter})
    data = write("csv", [("", text)], where).decode()
    separator = data[4]
    assert list(csv.reader(StringIO(data, newline=""), delimiter=separator))[1][1] == found


def test_files_for_programs_keep_texts_unchanged() -> None:
    where = context(TEXT, options={"for": "programs"})
    assert write("csv", [("=1+1", "a;=1"), ("", None)], where) == b"Text,More\r\n=1+1,a;=1\r\n,\r\n"


@pytest.mark.parametrize("label", ["ID", "ID;P", "IDENT", "ID,x", 'ID "x"'])
@pytest.mark.parametrize("delimiter", ["comma", "semicolon", "tab"])
@pytest.mark.parametrize("purpose", ["any", "excel", "programs"])
def test_no_file_begins_like_a_sylk_file(label: str, delimiter: str, purpose: str) -> None:
    where = context([Column("id", label), *TEXT], options={"delimiter": delimiter, "for": purpose})
    data = write("csv", [("1", "a", "b")], where)
    assert not data.removeprefix(b"\xef\xbb\xbf").startswith(b"ID")
    mark = {"comma": ",", "semicolon": ";", "tab": "\t"}[delimiter]
    rows = list(csv.reader(StringIO(data.decode("utf-8-sig"), newline=""), delimiter=mark, strict=True))
    assert rows == [[label, "Text", "More"], ["1", "a", "b"]]


def test_a_single_heading_that_looks_like_sylk_is_quoted() -> None:
    assert write("csv", [("ID",)], context([Column("id", "ID")])) == b'"ID"\r\nID\r\n'


@pytest.mark.parametrize("text", ["", " ", "a=1", "1-1", "'=1", " a", "é", "00042"])
def test_other_text_is_unchanged(text: str) -> None:
    assert cell(text) == guarded(text) == text


@pytest.mark.parametrize(
    ("delimiter", "line"),
    [("comma", b'"a,b",c;d,e\tf\r\n'), ("semicolon", b'a,b;"c;d";e\tf\r\n'), ("tab", b'a,b\tc;d\t"e\tf"\r\n')],
)
def test_delimiters(delimiter: str, line: bytes) -> None:
    where = context([*TEXT, Column("last", "Last")], options={"delimiter": delimiter})
    assert write("csv", [("a,b", "c;d", "e\tf")], where).splitlines(keepends=True)[1] == line


def test_files_for_excel_have_one_byte_order_mark() -> None:
    where = context(TEXT, options={"for": "excel"})
    data = write_parts(kind("csv"), [[("ä", "b")], [("c", "d")]], where)
    assert data == b"\xef\xbb\xbfText,More\r\n\xc3\xa4,b\r\nc,d\r\n"


EVERY = (
    Column("amount", "Amount", ColumnType.DECIMAL),
    Column("ratio", "Ratio", ColumnType.FLOAT),
    Column("whole", "Whole", ColumnType.INTEGER),
    Column("day", "Day", ColumnType.DATE),
    Column("at", "At", ColumnType.DATETIME),
    Column("time", "Time", ColumnType.TIME),
    Column("took", "Took", ColumnType.DURATION),
    Column("text", "Text"),
)
VALUES = (
    Decimal("-1234.50"), 1.5e-7, -7, date(2024, 7, 1), datetime(2024, 7, 1, 12, 0, 59, 999_999, tzinfo=UTC),
    time(9, 30), timedelta(hours=-26, minutes=-30), "1.5",
)  # fmt: skip


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({}, "-1234.50,1.5e-07,-7,2024-07-01,2024-07-01T14:00:59.999999+02:00,09:30:00,-P1DT02H30M00S,1.5"),
        ({"for": "excel"}, "-1234.50,1.5e-07,-7,2024-07-01,2024-07-01 14:00:59,09:30:00,-26:30:00,1.5"),
        ({"for": "excel-europe"}, "-1234,50;1,5e-07;-7;2024-07-01;2024-07-01 14:00:59;09:30:00;-26:30:00;1.5"),
        (
            {"for": "excel-europe", "delimiter": "tab"},
            "-1234,50\t1,5e-07\t-7\t2024-07-01\t2024-07-01 14:00:59\t09:30:00\t-26:30:00\t1.5",
        ),
    ],
)
def test_purposes(options: dict[str, str], line: str) -> None:
    data = write("csv", [VALUES], context(EVERY, options=options))
    assert data.startswith(b"\xef\xbb\xbf") == ("for" in options)
    assert data.decode("utf-8-sig").splitlines()[1] == line


def test_times_and_durations_for_excel_keep_fractions_of_seconds() -> None:
    where = context(EVERY[5:7], options={"for": "excel-europe"})
    rows = [(time(9, 30, 0, 500_000), timedelta(milliseconds=-500))]
    assert write("csv", rows, where).endswith(b"09:30:00,500000;-0:00:00,500000\r\n")


@pytest.mark.parametrize("options", [{}, {"for": "excel-europe"}])
def test_only_texts_are_guarded(options: dict[str, str]) -> None:
    """Numbers and durations are not guarded."""
    rows = [VALUES, (Decimal("-1E-9"), -1e300, -1, None, None, None, timedelta(seconds=-90), "-1")]
    data = write("csv", rows, context(EVERY, options=options)).decode("utf-8-sig")
    assert data.count("'") == 1
    assert data.endswith("'-1\r\n")


@given(st.timedeltas())
def test_durations_round_trip(value: timedelta) -> None:
    assert parse_duration(cell(value, ColumnType.DURATION)) == value


def test_exports_from_before_the_purpose_option_are_unchanged() -> None:
    where = context(EVERY, options={"excel": "yes", "delimiter": "semicolon"})
    data = write("csv", [VALUES], where)
    assert data.startswith(b"\xef\xbb\xbfAmount;Ratio;")
    assert b"-1234.50;1.5e-07;-7;2024-07-01;2024-07-01T14:00:59.999999+02:00;" in data


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"excel": "yes"}, {"for": "excel"}),
        ({"excel": "no", "delimiter": "tab"}, {"delimiter": "tab"}),
        ({"excel": "yes", "for": "programs"}, {"for": "programs"}),
        ({"excel": "perhaps"}, {"excel": "perhaps"}),
    ],
)
def test_options_of_earlier_versions_are_understood(old: dict[str, str], new: dict[str, str]) -> None:
    assert Csv().current(old) == new


def test_tab_separated_files_have_another_extension_and_content_type() -> None:
    assert [writer("csv").extension_of({"delimiter": name}) for name in ("usual", "comma", "semicolon", "tab")] == [
        "csv", "csv", "csv", "tsv"
    ]  # fmt: skip
    assert content_type_of("orders.tsv") == "text/tab-separated-values; charset=utf-8"
    assert content_type_of("orders.csv") == "text/csv; charset=utf-8"


def test_choices_are_written_as_labels() -> None:
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


def test_characters_that_readers_reject_are_replaced() -> None:
    assert cell("a\0b\ud800c") == "a\ufffdb\ufffdc"


@given(st.lists(st.tuples(st.none() | st.text(), st.none() | st.text()), max_size=5))
def test_text_round_trips(rows: list[tuple[str | None, str | None]]) -> None:
    expected = [[guarded((value or "").replace("\0", "\ufffd")) for value in row] for row in rows]
    assert read_csv(write("csv", rows, context(TEXT)))[1:] == expected


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_decimals_round_trip(value: Decimal) -> None:
    text = cell(value, ColumnType.DECIMAL)
    assert "E" not in text.upper()
    assert Decimal(text) == value


@given(st.datetimes(timezones=st.just(UTC)), st.timezones())
def test_date_times_round_trip(value: datetime, zone: ZoneInfo) -> None:
    assert datetime.fromisoformat(cell(value, ColumnType.DATETIME, zone.key)) == value


@given(st.integers(0, 700), st.integers(0, 700))
def test_joined_parts_equal_the_whole(many: int, cut: int) -> None:
    rows = [(str(i), i, None, i % 2 == 0, None, None) for i in range(many)]
    assert write_parts(kind("csv"), [rows[:cut], [], rows[cut:]], context()) == write("csv", rows)


def test_rows_are_counted() -> None:
    assert kind("csv").write((ROW for _ in range(1_000)), BytesIO(), context()).rows == 1_000
