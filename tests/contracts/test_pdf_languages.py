"""PDFs in right-to-left languages, and values that must stay on one line."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import User
from django.utils import translation

from exports.datasets import Column, ColumnType, Row, Selection
from exports.errors import DatasetFailed
from exports.formats.pdf import Pdf
from exports.formats.pdf.localize import directed
from exports.formats.values import duration
from exports.models.period import Period
from tests.contracts.test_same_file import Specimens
from tests.support import pdf
from tests.support.formats import context, write_parts
from tests.support.pdf_designs import weasyprint_pdf, written_pdf
from tests.work.models import Specimen

COLUMNS = (
    Column("number", "الرقم"),
    Column("text", "النص"),
    Column("amount", "المبلغ", ColumnType.MONEY, currency="EUR", total=True),
    Column("count", "عدد", ColumnType.INTEGER),
    Column("day", "التاريخ", ColumnType.DATE),
    Column("moment", "الوقت", ColumnType.DATETIME),
    Column("ratio", "Ratio", ColumnType.FLOAT),
    Column("length", "Length", ColumnType.DURATION),
    Column("opens", "Opens", ColumnType.TIME),
)
TEXTS = ("مرحبا بالعالم order 1234 (من) العميل ", "plain (text).", "שלום עולם (Berlin) 12:30", "", "-5 °C, v1.0.\n-6")
SPECIAL = (float("nan"), float("inf"), float("-inf"), 1e-9, 1 / 3, -2.5, 0.0)


def rows(count: int) -> list[Row]:
    noon = datetime(2024, 2, 29, 12, tzinfo=UTC)
    return [
        (
            f"R{place:05}",
            TEXTS[place % 5] * (1 + place % 3),
            Decimal(-1_000 * place) / 8,
            "EUR",
            (-1) ** place * 10 ** (place % 19),
            noon.date() + timedelta(place),
            noon + timedelta(place),
            SPECIAL[place % 7],
            timedelta(hours=7 * place - 30),
            time(place % 24, 30),
        )
        for place in range(count)
    ]


@pytest.mark.parametrize("language", ["ar", "he", "fa"])
def test_right_to_left_pages_match_weasyprint(language: str) -> None:
    where = context(COLUMNS)
    with translation.override(language):
        plain, found = weasyprint_pdf(Pdf(), rows(70), where), written_pdf(Pdf(), rows(70), [30], where)
    assert pdf.differences(plain, found) == []
    assert pdf.qpdf_errors(found) == ""


@pytest.mark.parametrize(
    ("language", "day"), [("ar", "2024/02/29"), ("he", "29/02/2024"), ("fa", "2024/2/29"), ("en", "02/29/2024")]
)
def test_order_of_numbers_and_dates(language: str, day: str) -> None:
    """Arabic dates are read from the right, day first. The Arabic date format contains the marks for that."""
    with translation.override(language):
        [page] = pdf.pages(written_pdf(Pdf(), rows(5), where=context(COLUMNS)), "read")
    words = {word.text: word for word in page.words}
    shown = {letter: words[letter] for letter in ("R00000", "-10", "-1000", "-30:00:00", "-23:00:00", "01:30:00")}
    assert day in words or language == "ar"  # poppler extracts the parts of a date with marks one by one
    assert "(Europe/Berlin)" in words
    from_left = [word.text for word in sorted(shown.values(), key=lambda word: word.left)]
    order = ["R00000", "-1000", "-10", "-30:00:00", "-23:00:00", "01:30:00"]
    mirrored = ["01:30:00", "-30:00:00", "-23:00:00", "-1000", "-10", "R00000"]
    assert from_left == (order if language == "en" else mirrored)


def test_order_within_an_arabic_date() -> None:
    with translation.override("ar"):
        [page] = pdf.pages(
            written_pdf(Pdf(), [(date(2024, 2, 29),)], where=context([Column("d", "D", ColumnType.DATE)]))
        )
    digits = sorted((word.left, word.text) for word in page.words if 100 < word.top < 500)
    assert "".join(text for _, text in digits if text != "D").replace("\u200f", "") == "2024/02/29"


def test_marks_surround_only_left_to_right_text() -> None:
    assert directed("v1.0.\n(a)\0") == "\u200ev1.0.\u200e\n\u200e(a)\ufffd\u200e"
    for same in ("", "12:30", "-5", "שלום (a)", "مرحبا ok."):
        assert directed(same) == same


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (timedelta(), "0:00:00"),
        (timedelta(hours=-30), "-30:00:00"),
        (timedelta(seconds=-90), "-0:01:30"),
        (timedelta(days=400, microseconds=5), "9600:00:00.000005"),
    ],
)
def test_durations_are_hours_minutes_and_seconds(value: timedelta, words: str) -> None:
    assert duration(value) == words


# --- one line -------------------------------------------------------------------------------------------------------

SMALL: Row = (
    "text",
    1,
    Decimal(1),
    "EUR",
    date(2024, 1, 1),
    datetime(2024, 1, 1, tzinfo=UTC),
    0.5,
    timedelta(1),
    time(1),
)
LARGE: Row = (
    "many words on a sheet that is full " * 9,
    -(10**18) - 1,
    Decimal("-123456789012.34"),
    "EUR",
    date(2024, 12, 31),
    datetime(2024, 12, 31, 23, 59, tzinfo=UTC),
    -1 / 3,
    timedelta(-9_999),
    time(23, 59, 59, 123456),
)
WIDE = (
    Column("text", "Text"),
    Column("whole", "Whole", ColumnType.INTEGER),
    Column("paid", "Paid", ColumnType.MONEY, currency="EUR"),
    Column("day", "Day", ColumnType.DATE),
    Column("moment", "Moment", ColumnType.DATETIME),
    Column("ratio", "Ratio", ColumnType.FLOAT),
    Column("length", "Length", ColumnType.DURATION),
    Column("opens", "Opens", ColumnType.TIME),
    Column("more", "More"),
)


@pytest.mark.parametrize("language", ["en", "de", "fr", "ar"])
def test_numbers_and_dates_stay_on_one_line_on_a_full_page(language: str) -> None:
    with translation.override(language):
        data = write_parts(Pdf(), [[(*SMALL, "x" * 99), (*LARGE, "word " * 60)]], context(WIDE))
    words = [word for page in pdf.pages(data, "read") for word in page.words if word.left > 0]
    minus = next(word for word in words if "1000000000000000001" in word.text)
    same_line = " ".join(word.text for word in words if abs(word.top - minus.top) < 1)
    for text in ("-1000000000000000001", "-0.3333333333333333", "-239976:00:00", "23:59:59.123456"):
        assert text in same_line.replace("-0,3", "-0.3")
    digits = "".join(letter for letter in same_line if letter.isdigit())
    assert "12345678901234" in digits


def test_number_wider_than_its_column_keeps_all_digits() -> None:
    wide = Decimal("1" + "234567890" * 9)
    data = write_parts(Pdf(), [[(wide,)]], context([Column("n", "N", ColumnType.DECIMAL)]))
    [page] = pdf.pages(data)
    assert f"{wide:,f}" in page.text.replace(" ", "")


@pytest.mark.django_db
def test_extremes_contain_the_widest_numbers() -> None:
    made_at = datetime(2024, 1, 1, tzinfo=UTC)
    Specimen.objects.bulk_create(
        Specimen(
            name="EUR",
            whole=-(10**18) if place == 777 else place,
            number=Decimal("98765432109.87") if place == 333 else place,
            length=timedelta(days=99_999 if place == 444 else 1),
            made_at=made_at,
        )
        for place in range(1_000)
    )
    least, greatest = Specimens().extremes(Selection(User(), Period()), Specimens().choose([]))
    assert least == (None, -(10**18), Decimal(0), None, None, None, None, timedelta(1), None)
    assert greatest == (None, 999, Decimal("98765432109.87"), None, None, None, None, timedelta(99_999), None)


@pytest.mark.django_db
def test_extremes_omit_columns_without_numbers_in_the_database() -> None:
    """The values of functions, and of text declared as a number, are known only when the rows are read."""
    Specimen.objects.create(name="a", text="no number", made_at=datetime(2024, 1, 1, tzinfo=UTC))
    columns = [
        Column("text", "Text", ColumnType.INTEGER),
        Column("own", "Own", ColumnType.INTEGER, function=lambda specimen: specimen.pk),
    ]
    assert Specimens().extremes(Selection(User(), Period()), columns) == [(None, None)] * 2
    with pytest.raises(DatasetFailed):
        [keys] = Specimens().key_ranges(Selection(User(), Period()), None)
        list(Specimens().source(Selection(User(), Period()), columns, keys))
