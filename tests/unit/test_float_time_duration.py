"""Columns of floats, times and durations in every format that holds rows."""

from __future__ import annotations

from datetime import time, timedelta
from io import BytesIO
from typing import Any

import pytest

from exports.datasets import Column, ColumnType
from exports.formats import Row
from tests.support.formats import context, read_csv, read_jsonl, read_pdf, write

COLUMNS = (
    Column("ratio", "Ratio", ColumnType.FLOAT),
    Column("opens", "Opens", ColumnType.TIME),
    Column("length", "Length", ColumnType.DURATION),
)
ROWS: list[Row] = [(0.1 + 0.2, time(9, 30), timedelta(minutes=90)), (None, None, None)]
WORDS = {"ratio": 0.30000000000000004, "opens": "09:30:00", "length": "P0DT01H30M00S"}
EMPTY: dict[str, Any] = dict.fromkeys(WORDS)


def test_csv() -> None:
    found = read_csv(write("csv", ROWS, context(COLUMNS)))
    assert found[1:] == [["0.30000000000000004", "09:30:00", "P0DT01H30M00S"], ["", "", ""]]


def test_json_lines() -> None:
    found = read_jsonl(write("jsonl", ROWS, context(COLUMNS)))
    assert [row | {"ratio": row["ratio"] and float(row["ratio"])} for row in found] == [WORDS, EMPTY]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_json_has_no_nan(value: float) -> None:
    [row] = read_jsonl(write("jsonl", [(value, None, None)], context(COLUMNS)))
    assert row["ratio"] in ("NaN", "Infinity", "-Infinity")


def test_parquet_floats_are_doubles() -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(BytesIO(write("parquet", ROWS, context(COLUMNS))))
    assert str(table.schema.field("ratio").type) == "double"
    assert table.column("ratio").to_pylist() == [0.1 + 0.2, None]


def test_pdf() -> None:
    assert "9:30" in read_pdf(write("pdf", ROWS, context(COLUMNS)))[0]
