from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exports.datasets import Column, ColumnType
from tests.support.formats import ALL_TYPES, BERLIN, ROW, context, read_jsonl, write


def value_of(value: Any, kind: ColumnType = ColumnType.TEXT) -> str:
    """Return the JSON text of `value`."""
    line = write("jsonl", [(value,)], context([Column("a", "A", kind)])).decode()
    assert line.startswith('{"a":')
    assert line.endswith("}\n")
    return line[5:-2]


def test_bytes() -> None:
    assert write("jsonl", [ROW, (None,) * 6]).decode() == (
        '{"text":"text","integer":42,"decimal":12.50,"boolean":true,"date":"2024-07-01",'
        '"datetime":"2024-07-01T14:00:00+02:00"}\n'
        '{"text":null,"integer":null,"decimal":null,"boolean":null,"date":null,"datetime":null}\n'
    )


def test_no_rows() -> None:
    assert write("jsonl", []) == b""


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (Decimal("12.50"), ColumnType.DECIMAL, "12.50"),
        (Decimal("-0E-3"), ColumnType.DECIMAL, "-0.000"),
        (Decimal("1E+3"), ColumnType.TEXT, '"1000"'),
        (Decimal("NaN"), ColumnType.DECIMAL, '"NaN"'),
        (Decimal("sNaN"), ColumnType.DECIMAL, '"NaN"'),
        (Decimal("-Infinity"), ColumnType.DECIMAL, '"-Infinity"'),
        (float("inf"), ColumnType.DECIMAL, '"Infinity"'),
        (2**80, ColumnType.INTEGER, str(2**80)),
        (5, ColumnType.TEXT, '"5"'),
        (True, ColumnType.TEXT, '"true"'),
        (1, ColumnType.BOOLEAN, "true"),
        (date(1812, 6, 24), ColumnType.DATE, '"1812-06-24"'),
        ("東京 👩‍👧", ColumnType.TEXT, '"東京 👩‍👧"'),
        ("=1+1", ColumnType.TEXT, '"=1+1"'),
        ("a\0b", ColumnType.TEXT, '"a\\u0000b"'),
        ("a\ud800", ColumnType.TEXT, '"a\ufffd"'),
    ],
)
def test_values(value: Any, kind: ColumnType, text: str) -> None:
    assert value_of(value, kind) == text


def test_choices_are_stored_values_and_money_has_two_keys() -> None:
    mood = Column("mood", "Mood", ColumnType.CHOICE, choices=[("good", "Yes")])
    net = Column("net", "Net", ColumnType.MONEY, currency="EUR")
    line = write("jsonl", [("good", Decimal("1.50"), "EUR")], context([mood, net]))
    assert line == b'{"mood":"good","net":1.50,"net_currency":"EUR"}\n'


def test_keys_are_names() -> None:
    columns = [Column('100% "ä"', "A"), Column("%s", "B")]
    assert write("jsonl", [("x", "y")], context(columns)).decode() == '{"100% \\"ä\\"":"x","%s":"y"}\n'


ROWS = st.tuples(
    st.none() | st.text(),
    st.none() | st.integers(),
    st.none() | st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20),
    st.none() | st.booleans(),
    st.none() | st.dates(),
    st.none() | st.datetimes(min_value=datetime(1900, 1, 1), timezones=st.just(UTC)),
)


@given(st.lists(ROWS, max_size=5))
def test_rows_round_trip(rows: list[tuple[Any, ...]]) -> None:
    assert [_restored(found) for found in read_jsonl(write("jsonl", rows))] == rows


def _restored(found: dict[str, Any]) -> tuple[Any, ...]:
    assert list(found) == [column.name for column in ALL_TYPES]
    text, integer, number, truth, day, moment = found.values()
    return (
        text,
        integer,
        None if number is None else Decimal(number),
        truth,
        day and date.fromisoformat(day),
        moment and datetime.fromisoformat(moment).astimezone(UTC),
    )


@given(st.text(st.characters()))
def test_a_row_is_one_line(text: str) -> None:
    lines = write("jsonl", [(text,)], context([Column("a", "A")], zone=BERLIN)).split(b"\n")
    assert len(lines) == 2
    json.loads(lines[0])
