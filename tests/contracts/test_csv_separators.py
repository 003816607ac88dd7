"""CSV files opened in spreadsheets: no separator turns text into formulas, and numbers and dates are recognized."""

from __future__ import annotations

import csv
import re
import subprocess
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exports.datasets import Column, ColumnType
from tests.support.formats import HARD_TEXTS, NOON, context, write

COLUMNS = (Column("first", "First"), Column("number", "Number", ColumnType.INTEGER), Column("last", "Last"))
SEPARATORS = ",;\t"
TEXTS = [
    "=1+1", " =1+1", "＝1+1", "a;=1+1", "a;=1+1;b", "a\t=1+1\tb", "a,=1+1,b", "a\n=1+1\nb", "a\r\n=1+1\r\nb", "a\r=1",
    'a;"=1+1;b', "a; =1+1;b", 'a;""=1+1', ";=1+1", "\t=1+1", "\n=1+1", '"=1+1', 'a";=1', "a;b,=1;c", "a;\t\n,=1",
    *HARD_TEXTS.values(),
]  # fmt: skip


def cells(data: bytes, separator: str) -> Iterator[str]:
    for row in csv.reader(StringIO(data.decode("utf-8-sig", "surrogatepass"), newline=""), delimiter=separator):
        yield from row


def harmless(text: str) -> bool:
    """Return whether no spreadsheet interprets the text as a formula, even after leading spaces."""
    return not text.lstrip(" ").startswith(("=", "＝"))


@given(
    first=st.text() | st.text(',;\t\n\r" =a', max_size=8),
    last=st.text(',;\t\n\r" =a＝', max_size=8),
    options=st.sampled_from(
        [{}, {"delimiter": "semicolon"}, {"delimiter": "tab"}, {"for": "excel"}, {"for": "excel-europe"}]
    ),
)
@example(first="a;=1+1", last="", options={})
def test_no_other_separator_exposes_a_formula(first: str, last: str, options: dict[str, str]) -> None:
    data = write("csv", [(first, -5, last)], context(COLUMNS, options=options))
    for separator in SEPARATORS:
        assert all(map(harmless, cells(data, separator))), (data, separator)


def converted(folder: Path, names: list[str], separators: str, language: int = 1033) -> list[str]:
    """Return the sheets that LibreOffice makes of the files, as XML.

    `separators` are character codes; `language` is a Windows language identifier.
    """
    subprocess.run(
        [
            "soffice", f"-env:UserInstallation={(folder / 'profile').as_uri()}", "--headless",
            f"--infilter=CSV:{separators},34,76,1,,{language},false,true", "--convert-to", "fods",
            "--outdir", str(folder), *(str(folder / f"{name}.csv") for name in names),
        ],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    return [(folder / f"{name}.fods").read_text() for name in names]


@pytest.mark.parametrize(("purpose", "separator", "language"), [("excel-europe", "59", 1031), ("excel", "44", 1033)])
def test_a_spreadsheet_in_that_locale_finds_numbers_and_dates(
    tmp_path: Path, purpose: str, separator: str, language: int
) -> None:
    kinds = [ColumnType.DECIMAL, ColumnType.FLOAT, ColumnType.DATE, ColumnType.DATETIME, ColumnType.DURATION]
    columns = [Column(kind.value, f"ID {kind.value}", kind) for kind in kinds]
    row = (Decimal("-1234.50"), 0.25, date(2024, 2, 29), NOON, timedelta(hours=26, minutes=30))
    (tmp_path / "a.csv").write_bytes(write("csv", [row], context(columns, options={"for": purpose})))
    [sheet] = converted(tmp_path, ["a"], separator, language)
    values = re.findall(r'office:(?:date-|time-)?value="([^"]*)"', sheet)
    assert values == ["-1234.5", "0.25", "2024-02-29", "2024-07-01T14:00:00", "PT26H30M00S"]


@pytest.mark.parametrize("options", [{}, {"delimiter": "tab"}, {"for": "excel-europe"}], ids=str)
def test_libreoffice_finds_no_formulas(tmp_path: Path, options: dict[str, str]) -> None:
    rows = [(text, -place, text) for place, text in enumerate(TEXTS)]
    data = write("csv", rows, context(COLUMNS, options=options))
    raw = write("csv", rows, context(COLUMNS, options={**options, "for": "programs"}))
    ways = {"comma": "44", "semicolon": "59", "tab": "9", "all": "44/59/9"}
    for name, separators in ways.items():
        (tmp_path / f"{name}.csv").write_bytes(data)
        (tmp_path / f"{name}-raw.csv").write_bytes(raw)
        made, unguarded = converted(tmp_path, [name, f"{name}-raw"], separators)
        assert "table:formula=" in unguarded, "LibreOffice should find formulas in the unguarded file"
        assert "table:formula=" not in made
