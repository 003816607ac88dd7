from __future__ import annotations

import errno
import gc
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import load_workbook
from openpyxl.cell.cell import Cell

from exports.datasets import Column, ColumnType
from exports.errors import FormatFailed
from exports.formats import Row, xlsx
from tests.support.formats import ALL_TYPES, ROW, context, kind, read_xlsx, write


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


def test_headings_are_bold_and_stay() -> None:
    sheet = load_workbook(BytesIO(write("xlsx", [ROW]))).worksheets[0]
    assert sheet["A1"].font.bold
    assert sheet.freeze_panes == "A2"
    assert sheet.column_dimensions["A"].width > 10


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
        (Decimal(100000000000000000000), 1e20, "General"),
        (Decimal("1E+400"), "1" + "0" * 400, "General"),
        (Decimal("NaN"), "NaN", "General"),
        (Decimal("-Infinity"), "-Infinity", "General"),
        (10**15 - 1, 999_999_999_999_999, "General"),
        (-(10**15), "-1000000000000000", "General"),
        ("00042", "00042", "General"),
        (True, True, "General"),
        (date(1900, 1, 1), datetime(1900, 1, 1), "yyyy-mm-dd"),
        (date(1900, 2, 28), datetime(1900, 2, 28), "yyyy-mm-dd"),
        (date(1900, 3, 1), datetime(1900, 3, 1), "yyyy-mm-dd"),
        (date(1899, 12, 31), "1899-12-31", "General"),
        (datetime(1812, 6, 24, 12, tzinfo=UTC), "1812-06-24T12:53:28+00:53:28", "General"),
        (datetime(2024, 1, 1, 23, 59, 59, 999_999, tzinfo=UTC), datetime(2024, 1, 2, 0, 59, 59, 999_000), None),
    ],
)
def test_cells(value: Any, found: Any, looks: str | None) -> None:
    written = cell(value)
    assert written.value == found
    assert looks in (None, written.number_format)


@pytest.mark.parametrize("text", ["=1+1", "https://example.com", "12", "<r><t>raw</t></r>", "<r>&</r>", "<b>a</b>"])
def test_text_stays_text(text: str) -> None:
    written = cell(text)
    assert (written.value, written.hyperlink) == (text, None)
    assert written.data_type in ("s", "inlineStr"), "no formula, number or error"


@pytest.mark.parametrize(
    ("text", "found"), [("a\0b\x1b\ud800\ufffe", "a\ufffdb\ufffd\ufffd\ufffd"), ("a\r\nb\rc", "a\nb\nc"), ("", None)]
)
def test_what_a_cell_cannot_hold_is_replaced(text: str, found: str | None) -> None:
    assert cell(text).value == found


@pytest.mark.parametrize("text", ["x" * 32_767, "👍" * 16_383])
def test_the_longest_text(text: str) -> None:
    assert cell(text).value == text


@pytest.mark.parametrize("text", ["x" * 32_768, "👍" * 16_384, "x" * 100_000])
def test_a_longer_text_is_refused_by_row_and_column(text: str) -> None:
    rows: list[Row] = [("short", "short")] * 1_233 + [("short", text)]
    with pytest.raises(FormatFailed, match=r"Row 1,234 .* column “More” .* 32,767 characters"):
        write("xlsx", rows, context([Column("text", "Text"), Column("more", "More")]))


def test_a_new_sheet_when_one_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xlsx, "SHEET_ROWS", 4)
    sheets = read_xlsx(write("xlsx", [(i,) for i in range(7)], context([Column("a", "A", ColumnType.INTEGER)])))
    assert sheets == [[("A",), (0,), (1,), (2,)], [("A",), (3,), (4,), (5,)], [("A",), (6,)]]


@pytest.mark.parametrize("title", ["'[a]:*?/\\'", "x" * 60, "", "History\0"])
def test_any_title_makes_a_sheet(title: str) -> None:
    assert len(read_xlsx(write("xlsx", [ROW], context(title=title)))) == 1


def test_temporary_files_lie_beside_the_output_and_go(tmp_path: Path) -> None:
    seen: list[int] = []

    def rows() -> Iterator[Row]:
        yield ROW
        seen.append(len(list(tmp_path.iterdir())))

    with (tmp_path / "out.xlsx").open("wb") as out:
        kind("xlsx").write(rows(), out, context())
    assert seen == [2]
    assert [file.name for file in tmp_path.iterdir()] == ["out.xlsx"]


def test_a_failure_leaves_no_temporary_file(tmp_path: Path) -> None:
    with (tmp_path / "out.xlsx").open("wb") as out, pytest.raises(FormatFailed):
        kind("xlsx").write([ROW, ("x" * 40_000, *ROW[1:])], out, context())
    assert [file.name for file in tmp_path.iterdir()] == ["out.xlsx"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the broken ZipFile's own complaint
def test_a_full_disk_is_told_as_it_is() -> None:
    class Full(BytesIO):
        full = True

        def write(self, data: Any) -> int:
            if self.full:
                self.full = False  # what tidies up afterwards need not fail too
                raise OSError(errno.ENOSPC, "no room")
            return super().write(data)

    with pytest.raises(OSError, match="no room"):
        kind("xlsx").write([ROW], Full(), context())
    gc.collect()


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
def test_rows_come_back(rows: list[tuple[Any, ...]]) -> None:
    (found,) = read_xlsx(write("xlsx", rows))
    assert [_restored(row) for row in found[1:]] == rows or not any(any(v is not None for v in row) for row in rows)


def _restored(row: tuple[Any, ...]) -> tuple[Any, ...]:
    text, integer, number, truth, day, moment = row
    return (text, integer, None if number is None else Decimal(repr(number)), truth, day and day.date(), moment)
