"""Contract tests for every registered format."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from io import BytesIO

import pytest

from exports.datasets import Column, ColumnType
from exports.errors import ExportError
from exports.formats import Format, Row, writers
from tests.support.formats import (
    ALL_TYPES,
    ROW,
    context,
    read_pdf,
    write_parts,
)
from tests.support.tables import READERS

TEXT = (Column("text", "Text"),)
EVERY = pytest.mark.parametrize("kind", writers(), ids=lambda kind: kind.key)
UNUSUAL_ROWS: list[Row] = [
    (None, None, None, None, None, None),
    ("", 0, Decimal(0), False, date(1, 1, 1), datetime(1, 1, 1, tzinfo=UTC)),
    ("x", 2**63 - 1, Decimal("1E+40"), True, date(9999, 12, 31), datetime(9999, 12, 31, 23, 59, tzinfo=UTC)),
    ("x", -5, Decimal("-0.00"), True, date(1899, 12, 31), datetime(1899, 12, 31, tzinfo=UTC)),
    (5, 2.0, 5, 1, None, None),
    (1.5, Decimal(7), 1.5, 0, None, None),
    ({"a": 1}, True, None, None, None, None),
]


def write(kind: Format, rows: list[Row], columns: tuple[Column, ...] = ALL_TYPES) -> bytes:
    return write_parts(kind, [rows], context(columns))


def texts(kind: Format, data: bytes) -> list[str]:
    """Return the data cells of a file with one column of text, as a reader finds them; "" for an empty cell."""
    if kind.key == "pdf":
        return ["\n".join(read_pdf(data))]
    return [text or "" for row in READERS[kind.extension](data) for text in row.values()]


def test_the_main_formats_are_registered() -> None:
    assert {"csv", "jsonl", "xlsx", "pdf"} <= {kind.key for kind in writers()}


@EVERY
def test_attributes_of_a_format(kind: Format) -> None:
    assert re.fullmatch(r"[a-z0-9]+", kind.key)
    assert re.fullmatch(r"[a-z0-9.]+", kind.extension)
    assert re.match(r"[a-z]+/[a-z0-9.+-]+", kind.content_type)
    assert str(kind.label)
    assert str(kind.hint)
    assert kind.rows_per_second > 0
    assert kind.bytes_per_row > 0


@EVERY
def test_no_rows_make_a_valid_file(kind: Format) -> None:
    data = write(kind, [], TEXT)
    assert texts(kind, data) == [] or "No rows" in texts(kind, data)[0]


@EVERY
def test_unusual_values_of_every_type(kind: Format) -> None:
    assert write(kind, UNUSUAL_ROWS)


@EVERY
def test_errors_of_the_rows_propagate(kind: Format) -> None:
    """An error raised while a format reads the rows is raised unchanged."""

    def rows() -> Iterator[Row]:
        yield ROW
        raise ExportError("from the dataset")

    with pytest.raises(ExportError, match="from the dataset"):
        kind.write(rows(), BytesIO(), context())


@EVERY
def test_the_same_rows_make_the_same_table(kind: Format) -> None:
    columns = (Column("text", "Text", ColumnType.TEXT),)
    rows: list[Row] = [(f"row {i}",) for i in range(30)]
    assert texts(kind, write(kind, rows, columns)) == texts(kind, write(kind, rows, columns))


@EVERY
def test_joined_parts_equal_the_whole(kind: Format) -> None:
    rows: list[Row] = [(f"row {i}",) for i in range(1_000)]
    cuts = [[], rows[:1], rows[1:300], [], rows[300:]]
    assert texts(kind, write_parts(kind, cuts, context(TEXT))) == texts(kind, write(kind, rows, TEXT))
