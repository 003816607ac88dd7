"""Localized numbers, dates and totals in PDFs are the same as Django's."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.utils import translation
from django.utils.formats import date_format, number_format
from hypothesis import given
from hypothesis import strategies as st

from exports.datasets import Column, ColumnType, Row
from exports.formats.pdf.localize import Totals, Words, decimals

LANGUAGES = ("en", "en-gb", "de", "de-ch", "fr", "pl", "pt-br", "ru", "ar", "fa", "hi", "en-in", "ja", "sv")
BERLIN = ZoneInfo("Europe/Berlin")


def texts(kind: ColumnType, *values: Any, **more: Any) -> list[str]:
    column = Column("c", "C", kind, **more)
    rows: list[Row] = [value if isinstance(value, tuple) else (value,) for value in values]
    (found,) = Words([column], BERLIN)(rows)
    return list(found)


@given(st.sampled_from(LANGUAGES), st.decimals() | st.decimals(places=2, allow_nan=False, allow_infinity=False))
def test_decimals(language: str, value: Decimal) -> None:
    with translation.override(language):
        wanted = number_format(value, force_grouping=True) if value.is_finite() else str(value)
        assert decimals()(value) == wanted


@given(st.sampled_from(LANGUAGES), st.dates())
def test_dates(language: str, value: date) -> None:
    with translation.override(language):
        assert texts(ColumnType.DATE, value) == [date_format(value, "SHORT_DATE_FORMAT")]


@given(st.sampled_from(LANGUAGES), st.datetimes(timezones=st.just(UTC), min_value=datetime(1, 1, 3)))
def test_datetimes(language: str, value: datetime) -> None:
    with translation.override(language):
        try:
            local = value.astimezone(BERLIN)
        except OverflowError:
            local = value
        day = date_format(local, "SHORT_DATE_FORMAT")
        assert texts(ColumnType.DATETIME, value) == [f"{day} {local.hour:02}:{local.minute:02}"]


def test_integers_are_not_grouped() -> None:
    assert texts(ColumnType.INTEGER, 1234567, None, -5) == ["1234567", "", "-5"]


def test_money_is_one_text() -> None:
    with translation.override("de"):
        found = texts(ColumnType.MONEY, (Decimal("1234.50"), "EUR"), (None, "EUR"), (Decimal(7), None), currency="EUR")
    assert found == ["1.234,50\u00a0EUR", "", "7"]


def test_choices_are_written_as_labels() -> None:
    choices = [("p", "Paid"), (1, "One")]
    assert texts(ColumnType.CHOICE, "p", 1, None, "gone", ["p"], choices=choices) == [
        "Paid",
        "One",
        "",
        "gone",
        '["p"]',
    ]


def test_booleans_are_localized() -> None:
    with translation.override("de"):
        assert texts(ColumnType.BOOLEAN, True, False, None) == ["Ja", "Nein", ""]


def test_undrawable_characters_are_replaced() -> None:
    assert texts(ColumnType.TEXT, "a\0b\ud800c\x7fd\x85e\u2028f") == ["a\ufffdb\ufffdc\ufffdd\ne\nf"]


def test_totals_per_currency() -> None:
    columns = [
        Column("n", "N", ColumnType.INTEGER, total=True),
        Column("m", "Money", ColumnType.MONEY, currency="EUR", total=True),
        Column("t", "T"),
    ]
    rows: list[Row] = [(1, Decimal("0.10"), "EUR", "x"), (None, Decimal("NaN"), "EUR", ""), (2, Decimal(5), "USD", "")]
    one, other = Totals(columns), Totals(columns)
    one.add(rows)
    other.add([(3, Decimal("0.20"), "EUR", "")] * 2)
    both = Totals(columns)
    both.merge([one.meta, other.meta])
    with translation.override("en"):
        assert both.words(columns) == [("N", "9"), ("Money", "0.50\u00a0EUR"), ("Money", "5\u00a0USD")]


def test_totals_are_exact() -> None:
    totals = Totals([Column("d", "D", ColumnType.DECIMAL, total=True)])
    totals.add([(Decimal("1E+40"),), (Decimal("0.01"),)])
    assert totals.sums["d"][""] == Decimal("1" + "0" * 40 + ".01")
