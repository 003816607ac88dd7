from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exports.datasets import Column, ColumnType
from tests.support.formats import ROW, context, kind, write, write_parts

COLUMNS = (Column("a", "A"), Column("b", "B", ColumnType.INTEGER))


def test_bytes() -> None:
    assert write("json", [("x", 1), (None, Decimal(12))], context(COLUMNS)) == (
        b'[\n{"a":"x","b":1},\n{"a":null,"b":12}\n]\n'
    )


def test_no_rows() -> None:
    assert write("json", []) == b"[\n]\n"


def test_rows_equal_those_of_json_lines() -> None:
    lines = write("jsonl", [ROW] * 300).decode().splitlines()
    assert write("json", [ROW] * 300).decode() == "[\n" + ",\n".join(lines) + "\n]\n"


@pytest.mark.parametrize("sizes", [[0], [0, 0], [0, 1], [1, 0], [0, 2, 0, 0, 1, 0], [300, 300], [1]])
def test_parts_without_rows_add_no_comma(sizes: list[int]) -> None:
    rows = iter([(f"{place}", place) for place in range(sum(sizes))])
    data = write_parts(kind("json"), [[next(rows) for _ in range(size)] for size in sizes], context(COLUMNS))
    assert [row["b"] for row in json.loads(data)] == list(range(sum(sizes)))
    assert data == write("json", [(f"{place}", place) for place in range(sum(sizes))], context(COLUMNS))


@given(st.lists(st.tuples(st.none() | st.text(), st.none() | st.integers()), max_size=5))
def test_rows_round_trip(rows: list[tuple[Any, ...]]) -> None:
    assert [(row["a"], row["b"]) for row in json.loads(write("json", rows, context(COLUMNS)))] == rows
