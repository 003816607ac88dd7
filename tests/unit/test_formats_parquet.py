from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from io import BytesIO
from typing import Any

import pytest
from django.db.models import F
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import Table
from pyarrow import parquet as arrow

from exports.datasets import Column, ColumnType, KeyRange, Row, Source
from exports.errors import FormatFailed
from exports.formats import parquet
from exports.formats.base import OpenPart, RenderContext
from tests.support.formats import ALL_TYPES, NOON, ROW, context, kind, write, write_parts
from tests.work.models import Specimen


def read(data: bytes) -> Table:
    return arrow.read_table(BytesIO(data))


def types(data: bytes) -> list[str]:
    return [str(field.type) for field in read(data).schema]


def rows_of(data: bytes) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in read(data).to_pylist()]


def test_types_and_values() -> None:
    data = write("parquet", [ROW, (None,) * 6])
    assert types(data) == ["string", "int64", "string", "bool", "date32[day]", "timestamp[us, tz=UTC]"]
    assert rows_of(data) == [("text", 42, "12.50", True, date(2024, 7, 1), NOON), (None,) * 6]
    assert read(data).schema.field("text").metadata[b"label"] == b"Text"


def test_no_rows() -> None:
    data = write("parquet", [])
    assert rows_of(data) == []
    assert types(data)[1] == "int64"


@pytest.mark.django_db
def test_decimals_have_the_digits_of_their_fields() -> None:
    """Decimals of expressions, which may have any number of digits, are text."""
    Specimen.objects.create(name="a", whole=5, number=Decimal("-12.5"), made_at=NOON)
    columns = [
        Column("number", "Number", ColumnType.DECIMAL),
        Column("double", "Double", ColumnType.DECIMAL, F("number") * 2),
        Column("whole", "Whole", ColumnType.DECIMAL),
        Column("net", "Net", ColumnType.MONEY, "number", currency="EUR"),
    ]
    pk = Specimen.objects.get().pk
    data = whole(Source(Specimen.objects.order_by("pk"), columns, KeyRange(pk, pk, 1)), context(columns))
    assert types(data) == ["string", "string", "int64", "string", "string"]
    ((number, double, count, *money),) = rows_of(data)
    assert [number, Decimal(double), count, *money] == ["-12.5000000000", Decimal(-25), 5, "-12.5000000000", "EUR"]


def whole(rows: Iterable[Row], where: RenderContext) -> bytes:
    """Return the file of a single part, made without a sample of its rows."""
    body, out = BytesIO(), BytesIO()
    written = kind("parquet").write(rows, body, where)
    body.seek(0)
    kind("parquet").assemble([OpenPart(body, written.rows)], out, where)
    return out.getvalue()


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1])
def test_an_integer_of_more_than_64_bits_is_refused(value: int) -> None:
    row = [*ROW[:1], value, *ROW[2:]]
    with pytest.raises(FormatFailed, match=f"“{ALL_TYPES[1].label}” .* cannot hold the value {str(value)[:10]}"):
        whole([ROW, tuple(row)], context())


def test_row_groups_do_not_depend_on_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "GROUP_ROWS", 500)
    rows = [(f"row {place}",) for place in range(2_000)]
    where = context([Column("text", "Text")])
    data = write_parts(kind("parquet"), [rows[:1], [], rows[1:1_700], rows[1_700:]], where)
    assert rows_of(data) == rows
    assert arrow.ParquetFile(BytesIO(data)).num_row_groups == 4


def test_long_cells_make_smaller_row_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "GROUP_BYTES", 1 << 20)
    data = write("parquet", [("x" * 10_000,)] * 1_000, context([Column("text", "Text")]))
    assert arrow.ParquetFile(BytesIO(data)).num_row_groups == 4


def test_text_is_utf_8_and_choices_are_stored_values() -> None:
    mood = Column("mood", "Mood", ColumnType.CHOICE, choices=[("good", "Yes")])
    data = write("parquet", [("a\ud800\0b", "good"), ({"ä": 1}, 3)], context([Column("text", "Text"), mood]))
    assert rows_of(data) == [("a\ufffd\0b", "good"), ('{"ä": 1}', "3")]


ROWS = st.tuples(
    st.none() | st.text(),
    st.none() | st.integers(-(2**63), 2**63 - 1),
    st.none() | st.decimals(allow_nan=False, allow_infinity=False),
    st.none() | st.booleans(),
    st.none() | st.dates(),
    st.none() | st.datetimes(timezones=st.just(UTC)),
)


@given(st.lists(ROWS, max_size=5))
def test_rows_round_trip(rows: list[tuple[Any, ...]]) -> None:
    found = rows_of(write("parquet", rows))
    assert [(*row[:2], row[2] and Decimal(row[2]), *row[3:]) for row in found] == rows


def test_datetimes_have_microseconds() -> None:
    moment = datetime(1, 1, 1, 0, 0, 0, 1, tzinfo=UTC)
    assert rows_of(write("parquet", [(moment,)], context([Column("a", "A", ColumnType.DATETIME)]))) == [(moment,)]


@pytest.mark.slow
def test_pyarrow_is_not_imported_at_startup() -> None:
    code = "import django, sys; django.setup(); sys.exit('pyarrow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
