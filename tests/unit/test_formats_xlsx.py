from __future__ import annotations

import errno
import tracemalloc
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from io import BytesIO
from typing import Any, BinaryIO

import pytest
from django.db.models import F, IntegerChoices
from django.utils import translation
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import load_workbook
from openpyxl.cell.cell import Cell

from exports.datasets import Column, ColumnType, Row
from exports.errors import FormatFailed, TooWide
from exports.formats import OpenPart, RenderContext
from exports.formats.xlsx import Xlsx, grid, part_file, workbook
from tests.support.formats import ALL_TYPES, HARD_TEXTS, LONG_TEXT, ROW, context, kind, read_xlsx, write, write_parts

NUMBERS = [Column("a", "A", ColumnType.INTEGER)]
MONEY = [Column("a", "A", ColumnType.MONEY, currency=F("currency"))]


def cell(value: Any, kind: ColumnType = ColumnType.TEXT) -> Cell:
    data = write("xlsx", [(value,)], context([Column("a", "A", kind)]))
    found = load_workbook(BytesIO(data)).worksheets[0]["A2"]
    assert isinstance(found, Cell)
    return found


def test_native_types() -> None:
    (rows,) = read_xlsx(write("xlsx", [ROW, (None,) * 6, ROW]))
    assert rows[0] == ("Text", "Integer", "Decimal", "Boolean", "Date", "Datetime")
    assert rows[1] == rows[3] == ("text", 42, 12.5, True, datetime(2024, 7, 1), datetime(2024, 7, 1, 14))
    assert rows[2] == (None,) * 6


def test_headings_are_bold_and_frozen() -> None:
    sheet = load_workbook(BytesIO(write("xlsx", [ROW]))).worksheets[0]
    assert sheet["A1"].font.bold
    assert sheet.freeze_panes == "A2"
    assert sheet.auto_filter.ref == "A1:F2"


def test_no_rows() -> None:
    assert read_xlsx(write("xlsx", [])) == [[tuple(column.label for column in ALL_TYPES)]]


@pytest.mark.parametrize(
    ("value", "found", "looks"),
    [
        (Decimal("12.50"), 12.5, "0.00"),
        (Decimal(-3), -3, "General"),
        (Decimal("1E+3"), 1000, "General"),
        (Decimal("0E-8"), 0, "0.00000000"),
        (Decimal("0.000000000000001"), 1e-15, "0.000000000000000"),
        (Decimal("999999999999.999"), 999999999999.999, "0.000"),
        (Decimal("1234567890123456.7"), "1234567890123456.7", "General"),
        (Decimal("1234567890.1234567890"), 1234567890.1234567890, "0.0000000000"),
        (Decimal("5.5566666666666667"), 5.5566666666666667, "General"),
        (Decimal(100000000000000000000), 1e20, "General"),
        (Decimal("1E+400"), "1" + "0" * 400, "General"),
        (Decimal("NaN"), "NaN", "General"),
        (0.1, 0.1, "General"),
        (1e22, 1e22, "General"),
        (-1.5e-7, -1.5e-7, "General"),
        (0.1 + 0.2, 0.1 + 0.2, "General"),
        (float("inf"), "Infinity", "General"),
        (Decimal("-Infinity"), "-Infinity", "General"),
        (10**15 - 1, 999_999_999_999_999, "0"),
        (-(10**15), "-1000000000000000", "General"),
        ("00042", "00042", "General"),
        (True, True, "General"),
        (date(1900, 1, 1), "1900-01-01", "General"),
        (date(1900, 2, 28), "1900-02-28", "General"),
        (time(23, 59, 59, 250_000), time(23, 59, 59, 250_000), "hh:mm:ss"),
        (timedelta(hours=49, minutes=5), timedelta(hours=49, minutes=5), "[h]:mm:ss"),
        (timedelta(seconds=-90), "-P0DT00H01M30S", "General"),
        (date(1900, 3, 1), datetime(1900, 3, 1), "yyyy-mm-dd"),
        (date(1899, 12, 31), "1899-12-31", "General"),
        (datetime(1812, 6, 24, 12, tzinfo=UTC), "1812-06-24T12:53:28+00:53:28", "General"),
        (datetime(2024, 1, 1, 23, 59, 59, 999_999, tzinfo=UTC), datetime(2024, 1, 2, 0, 59, 59, 999_000), None),
    ],
)
@pytest.mark.parametrize("declared", [ColumnType.TEXT, ColumnType.DECIMAL, ColumnType.BOOLEAN])
def test_cells(value: Any, found: Any, looks: str | None, declared: ColumnType) -> None:
    """The cell depends on the value, not on the declared type of its column."""
    written = cell(value, declared)
    assert written.value == found
    assert looks in (None, written.number_format)


@pytest.mark.parametrize(
    "values", [["1.5", "7"], ["7", "1.5", "12.25"], ["1.25", "0.10"], ["1", "-2"], ["1.5", "1E-9"]]
)
def test_each_decimal_shows_its_own_places(values: list[str]) -> None:
    columns = [Column("a", "A", ColumnType.DECIMAL)]
    data = write("xlsx", [(Decimal(value),) for value in values], context(columns))
    (found,) = load_workbook(BytesIO(data)).worksheets[0].iter_cols(min_row=2)
    assert [each.number_format for each in found] == [cell(Decimal(value)).number_format for value in values]


def test_row_heights_fit_texts_of_several_lines() -> None:
    rows: list[Row] = [("one\ntwo", "a\nb\nc"), ("one", "&#10;"), ("x" * 200 + "\ny", None), ("\n" * 200, None)]
    sheet = load_workbook(BytesIO(write("xlsx", rows, context([Column("a", "A"), Column("b", "B")])))).worksheets[0]
    assert [sheet.row_dimensions[number].height for number in range(2, 6)] == [45, None, 75, 409]
    assert [sheet.cell(number, 1).alignment.wrapText for number in (2, 3)] == [True, None]


@pytest.mark.parametrize("text", ["=1+1", "https://example.com", "12", "<r><t>raw</t></r>", "<r>&</r>", "<b>a</b>"])
def test_text_stays_text(text: str) -> None:
    written = cell(text)
    assert (written.value, written.hyperlink) == (text, None)
    assert written.data_type in ("s", "inlineStr"), "no formula, number or error"


@pytest.mark.parametrize(
    ("text", "found"), [("a\0b\x1b\ud800\ufffe", "a\ufffdb\ufffd\ufffd\ufffd"), ("a\r\nb\rc", "a\nb\nc"), ("", None)]
)
def test_characters_that_a_cell_cannot_hold_are_replaced(text: str, found: str | None) -> None:
    assert cell(text).value == found


@pytest.mark.parametrize("text", ["x" * 32_767, "👍" * 16_383])
def test_the_longest_text(text: str) -> None:
    assert cell(text).value == text


@pytest.mark.parametrize("text", ["x" * 32_768, "👍" * 16_384, LONG_TEXT, "<&>\n" * 10_000])
def test_a_longer_text_goes_into_a_side_file(text: str) -> None:
    columns = [Column("text", "Text"), Column("more", "More")]
    parts: list[list[Row]] = [[("short", "short")] * 700, [("short", text), (text, "short")]]
    data, beside = write_beside(parts, context(columns, name="orders"))
    (rows,) = read_xlsx(data)
    note = f"{len(text):,} characters: text {{}}-1 in orders-long-texts.txt"
    assert rows[-2:] == [("short", note.format(701)), (note.format(702), "short")]
    assert list(beside) == ["orders-long-texts.txt"]
    found = beside["orders-long-texts.txt"].getvalue().decode()
    heading = f"=== Text {{}}-1: {len(text):,} characters ===\n"
    assert found == "".join(f"{heading.format(number)}{text}\n\n" for number in (701, 702))


def test_a_longer_text_without_a_side_file_fails() -> None:
    with pytest.raises(FormatFailed, match=r"32,767 characters"):
        write("xlsx", [(LONG_TEXT,)], context([Column("text", "Text")]))


def test_a_number_that_is_too_long_for_a_cell() -> None:
    data, beside = write_beside([[(Decimal("1E+40000"),)]], context([Column("a", "A", ColumnType.DECIMAL)]))
    assert read_xlsx(data)[0][1] == ("40,001 characters: text 1-1 in export-long-texts.txt",)
    assert "1" + "0" * 40_000 in beside["export-long-texts.txt"].getvalue().decode()


def write_beside(parts: Iterable[Sequence[Row]], where: RenderContext) -> tuple[bytes, dict[str, BytesIO]]:
    """Return the workbook of these parts, and its side files."""
    beside: dict[str, BytesIO] = {}
    return write_parts(
        kind("xlsx"), parts, replace(where, beside=lambda name: beside.setdefault(name, BytesIO()))
    ), beside


# --- sheets ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def short_sheets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grid, "SHEET_ROWS", 4)


def numbers(*values: int) -> list[tuple[int]]:
    return [(value,) for value in values]


@pytest.mark.usefixtures("short_sheets")
def test_a_full_sheet_is_followed_by_a_new_one() -> None:
    sheets = read_xlsx(write("xlsx", numbers(*range(7)), context(NUMBERS)))
    assert sheets == [[("A",), (0,), (1,), (2,)], [("A",), (3,), (4,), (5,)], [("A",), (6,)]]


@pytest.mark.usefixtures("short_sheets")
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 13])
def test_parts_and_sheets_end_independently(size: int) -> None:
    values = list(range(13))
    parts = [numbers(*values[start : start + size]) for start in range(0, 13, size)]
    sheets = read_xlsx(write_parts(kind("xlsx"), [[], *parts, []], context(NUMBERS)))
    assert [len(sheet) for sheet in sheets] == [4, 4, 4, 4, 2]
    assert [value for sheet in sheets for (value,) in sheet[1:]] == values


@pytest.mark.usefixtures("short_sheets")
def test_no_empty_sheet_follows_a_full_one() -> None:
    assert read_xlsx(write("xlsx", numbers(1, 2, 3), context(NUMBERS))) == [[("A",), (1,), (2,), (3,)]]


@pytest.mark.usefixtures("short_sheets")
def test_every_sheet_has_a_filter() -> None:
    sheets = load_workbook(BytesIO(write("xlsx", numbers(*range(4)), context(NUMBERS)))).worksheets
    assert [sheet.title for sheet in sheets] == ["Orders", "Orders 2"]
    assert [sheet.auto_filter.ref for sheet in sheets] == ["A1:A4", "A1:A2"]


def test_rows_are_only_compressed_again_if_their_position_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that were deleted since planning move all later rows up."""
    monkeypatch.setattr(grid, "SHEET_ROWS", 5_001)
    monkeypatch.setattr(part_file, "FULL", 5_000)
    unpacked: list[int] = []

    def watched(file: BinaryIO, run: part_file.Run) -> Iterator[bytes]:
        unpacked.append(run.rows)
        return part_file.unpacked(file, run)

    monkeypatch.setattr(workbook, "unpacked", watched)
    sheets = read_xlsx(write("xlsx", numbers(*range(11_000)), context(NUMBERS)))
    assert [len(sheet) for sheet in sheets] == [5_001, 5_001, 1_001]
    assert unpacked == []
    parts = [numbers(*range(6_000)), numbers(*range(6_000, 9_000))]
    same = write_parts(kind("xlsx"), parts, context(NUMBERS))
    assert unpacked == []
    moved = write_parts(kind("xlsx"), parts, context(NUMBERS, before=7))
    assert sum(unpacked) == 9_000
    with zipfile.ZipFile(BytesIO(same)) as one, zipfile.ZipFile(BytesIO(moved)) as other:
        assert [one.read(name) for name in one.namelist()] == [other.read(name) for name in other.namelist()]


@pytest.mark.slow
def test_the_row_limit_of_a_sheet() -> None:
    """A sheet holds 1,048,576 rows including the headings; the next row begins a second sheet."""
    columns = [Column("a", "A", ColumnType.NULL), Column("b", "B", ColumnType.BOOLEAN)]
    out, part, rows = BytesIO(), BytesIO(), 1_048_576
    where = context(columns, rows=rows)
    written = Xlsx().write(((None, True) for _ in range(rows)), part, where)
    Xlsx().assemble([OpenPart(BytesIO(part.getvalue()), rows, written.meta)], out, where)
    with zipfile.ZipFile(out) as archive:
        counts = [archive.read(f"xl/worksheets/sheet{number}.xml").count(b"<row ") for number in (1, 2)]
    assert counts == [1_048_576, 2]


@pytest.mark.parametrize("title", ["'[a]:*?/\\'", "x" * 60, "", "History", "History\0", "𝒳" * 40, "Q1 & <Q2>", '"a"'])
def test_any_title_gives_a_valid_sheet_name(title: str) -> None:
    data = write("xlsx", [ROW], context(title=title))
    assert len(read_xlsx(data)) == 1
    (name,) = load_workbook(BytesIO(data)).sheetnames
    assert 0 < len(name.encode("utf-16-le")) // 2 <= 31
    assert name.casefold() != "history"


def test_workbook_properties() -> None:
    found = load_workbook(BytesIO(write("xlsx", [ROW]))).properties
    assert (found.title, found.creator, found.created) == ("Orders", "Ада & Söhne <GmbH>", datetime(2024, 7, 1, 12))


def test_widths_come_from_a_sample() -> None:
    columns = [Column("a", "A"), Column("b", "B"), Column("c", "A long heading of many words that does not end soon")]
    sheet = load_workbook(BytesIO(write("xlsx", [("東京都渋谷区", "x" * 500, None)], context(columns)))).worksheets[0]
    assert [sheet.column_dimensions[letter].width for letter in "ABC"] == [14, 62, 42]


def test_right_to_left() -> None:
    with translation.override("he"):
        data = write("xlsx", [ROW])
    assert load_workbook(BytesIO(data)).worksheets[0].sheet_view.rightToLeft


def test_more_columns_than_a_sheet_holds_are_refused() -> None:
    with pytest.raises(TooWide, match="16384"):
        Xlsx().refuse([Column(f"c{number}", "C") for number in range(16_385)])
    Xlsx().refuse(ALL_TYPES)


# --- parts ----------------------------------------------------------------------------------------------------------


def test_parts_are_written_independently() -> None:
    rows: list[Row] = [ROW, *((text, *ROW[1:]) for text in HARD_TEXTS.values()), (None,) * 6] * 40
    whole = read_xlsx(write("xlsx", rows))
    assert read_xlsx(write_parts(kind("xlsx"), [rows[:1], [], rows[1:500], rows[500:]], context())) == whole


def test_rewriting_a_part_gives_the_same_bytes() -> None:
    first, again = BytesIO(), BytesIO()
    for out in (first, again):
        Xlsx().write(iter([ROW] * 1_000), out, context(index=3))
    assert first.getvalue() == again.getvalue()


def test_the_file_does_not_depend_on_the_time() -> None:
    assert write("xlsx", [ROW] * 100) == write("xlsx", [ROW] * 100)


@pytest.mark.slow
def test_memory_does_not_grow_with_rows() -> None:
    def peak(count: int) -> int:
        rows = ((f"text {number}", number, Decimal(number), True, NOW.date(), NOW) for number in range(count))
        tracemalloc.start()
        Xlsx().write(rows, Discard(), context())
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(40_000) < peak(8_000) * 1.2


NOW = datetime(2024, 7, 1, 12, 0, tzinfo=UTC)


class Discard(BytesIO):
    def write(self, data: Any) -> int:
        return len(data)


# --- money and choices ----------------------------------------------------------------------------------------------


def money(value: Any, code: Any, *others: Row) -> tuple[Any, str]:
    """Return the value and the number format of an amount's cell."""
    data = write("xlsx", [(value, code), *others], context(MONEY))
    found = load_workbook(BytesIO(data)).worksheets[0]["A2"]
    return found.value, found.number_format


@pytest.mark.parametrize(
    ("value", "code", "found", "looks"),
    [
        (Decimal("12.50"), "EUR", 12.5, "#,##0.00 [$EUR]"),
        (Decimal("-1234567.5"), "USD", -1234567.5, "#,##0.00 [$USD]"),
        (Decimal("1200.00"), "JPY", 1200, "#,##0 [$JPY]"),
        (Decimal("1200.50"), "JPY", 1200.5, "#,##0.00 [$JPY]"),
        (Decimal("1.5"), "KWD", 1.5, "#,##0.000 [$KWD]"),
        (Decimal(100), "JPY", 100, "#,##0 [$JPY]"),
        (Decimal("1E+2"), "JPY", 100, "#,##0 [$JPY]"),
        (100, "JPY", 100, "#,##0 [$JPY]"),
        (Decimal("0.12345678"), "KWD", 0.12345678, "#,##0.00000000 [$KWD]"),
        (Decimal("1.500000000000000000"), "ETH", 1.5, "#,##0.000000000000000 [$ETH]"),
        (Decimal("0.000000000000000001"), "ETH", 1e-18, "#,##0.000000000000000 [$ETH]"),
        (Decimal("2.123456789012345678"), "EUR", 2.123456789012345678, "#,##0.000000000000000 [$EUR]"),
        (Decimal("1234567890123456.78"), "EUR", "1234567890123456.78 EUR", "General"),
        (Decimal("NaN"), "EUR", "NaN EUR", "General"),
        (Decimal("12.50"), "BTC", 12.5, "#,##0.00 [$BTC]"),
        (Decimal("12.50"), "points", 12.5, "#,##0.00 [$points]"),
        (Decimal("12.50"), 'a [strange] "one"', 12.5, """#,##0.00 "a [strange] 'one'\""""),
        (Decimal("12.50"), "a currency with a very long name", "12.50 a currency with a very long name", "General"),
        (Decimal("12.50"), None, 12.5, "0.00"),
        (Decimal("12.50"), "", 12.5, "0.00"),
        (None, "EUR", None, "General"),
        ("no number", "EUR", "no number", "General"),
    ],
)
def test_money(value: Any, code: Any, found: Any, looks: str) -> None:
    assert money(value, code) == (found, looks)
    assert money(value, code, (Decimal("1.5"), "CHF"), (None, None)) == (found, looks)


def test_a_currency_that_first_appears_in_a_later_part() -> None:
    parts: list[list[Row]] = [
        [(Decimal("1.00"), "EUR")] * 300,
        [(Decimal("2.00"), "XPF")],
        [(Decimal("3.000"), "late")],
    ]
    rows = list(load_workbook(BytesIO(write_parts(kind("xlsx"), parts, context(MONEY)))).worksheets[0].iter_rows())
    assert [(row[0].value, row[0].number_format) for row in rows[-3:]] == [
        (1, "#,##0.00 [$EUR]"),
        (2, "#,##0 [$XPF]"),
        (3, "#,##0.000 [$late]"),
    ]


def test_unlisted_currencies_of_independent_parts() -> None:
    """Each part numbers the styles of unlisted currencies in its own order."""
    first: list[Row] = [(Decimal(number), "EUR") for number in range(300)]
    parts: list[list[Row]] = [
        first,
        [(Decimal("1.5"), "USDC"), (Decimal(2), 's="9"')],
        [(Decimal("3.25"), "points"), (Decimal(4), "USDC"), (Decimal(5), "EUR")],
    ]
    rows = list(load_workbook(BytesIO(write_parts(kind("xlsx"), parts, context(MONEY)))).worksheets[0].iter_rows())
    assert [(row[0].value, row[0].number_format) for row in rows[-5:]] == [
        (1.5, "#,##0.0 [$USDC]"),
        (2, "#,##0 \"s='9'\""),
        (3.25, "#,##0.00 [$points]"),
        (4, "#,##0 [$USDC]"),
        (5, "#,##0.00 [$EUR]"),
    ]


class Size(IntegerChoices):
    SMALL = 1, "Small & cheap"
    LARGE = 2, "Large"

    __empty__ = "Not specified"


@pytest.mark.parametrize(
    ("value", "found"), [(1, "Small & cheap"), (Size.LARGE, "Large"), (3, 3), (None, None), ([1], "[1]")]
)
def test_choices_are_written_as_labels(value: Any, found: Any) -> None:
    columns = [Column("a", "A", ColumnType.CHOICE, choices=Size)]
    assert read_xlsx(write("xlsx", [(2,), (value,)], context(columns)))[0][1:] == [("Large",), (found,)]


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("_x0041_", b"<t>_x005F_x0041_</t>"),
        ("_x0041_x0042_", b"<t>_x005F_x0041_x005F_x0042_</t>"),
        ("_x_ _xyz_ a_xA", b"<t>_x_ _xyz_ a_xA</t>"),
        (" a", b'<t xml:space="preserve"> a</t>'),
        ("a\t", b'<t xml:space="preserve">a\t</t>'),
        ("a\r\n", b'<t xml:space="preserve">a&#10;</t>'),
        ("a\x0bb", "<t>a\ufffdb</t>".encode()),
        ("]]>&<", b"<t>]]&gt;&amp;&lt;</t>"),
        ("\ufffd", "<t>\ufffd</t>".encode()),
    ],
)
def test_text_is_escaped_for_excel(text: str, stored: bytes) -> None:
    data = write("xlsx", [(text,), ("plain",)], context([Column("a", "A")]))
    with zipfile.ZipFile(BytesIO(data)) as archive:
        assert stored in archive.read("xl/worksheets/sheet1.xml")


# --- the rest -------------------------------------------------------------------------------------------------------


def test_errors_of_a_full_disk_propagate() -> None:
    class Full(BytesIO):
        def write(self, data: Any) -> int:
            raise OSError(errno.ENOSPC, "no room")

    with pytest.raises(OSError, match="no room"):
        Xlsx().write([ROW], Full(), context())
    with pytest.raises(OSError, match="no room"):
        Xlsx().assemble([], Full(), context())


def test_rows_are_read_as_they_are_written() -> None:
    """Reading is at most one batch ahead of writing."""
    taken: list[int] = []

    def rows() -> Iterator[Row]:
        for number in range(200_000):
            taken.append(number)
            yield ("x" * 100, number, None, None, None, None)

    class Stops(BytesIO):
        def write(self, data: Any) -> int:
            raise OSError("stop")

    with pytest.raises(OSError, match="stop"):
        Xlsx().write(rows(), Stops(), context())
    assert len(taken) < 10_000


ROWS = st.tuples(
    st.none() | st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff_"), min_size=1),
    st.none() | st.integers(1 - 10**15, 10**15 - 1),
    st.none() | st.decimals(-(10**9), 10**9, places=4),
    st.none() | st.booleans(),
    st.none() | st.dates(date(1900, 3, 1), date(9999, 12, 30)),
    st.none(),
)


@settings(max_examples=30)
@given(st.lists(ROWS, min_size=1, max_size=20))
def test_rows_round_trip(rows: list[tuple[Any, ...]]) -> None:
    (found,) = read_xlsx(write("xlsx", rows))
    assert [_restored(row) for row in found[1:]] == rows


def _restored(row: tuple[Any, ...]) -> tuple[Any, ...]:
    text, integer, number, truth, day, moment = row
    return (text, integer, None if number is None else Decimal(repr(number)), truth, day and day.date(), moment)
