"""Hard cases, from the database to the file: every format writes them correctly or refuses them clearly."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from pytest_django import Settings

from exports.datasets import Column, ColumnType
from exports.errors import TooWide
from exports.formats import formats, writers
from exports.intake.choices import ExportRequest
from exports.intake.requests import request_export
from exports.models import Export
from exports.states import State
from tests.support import pdf
from tests.support.exports import registered
from tests.support.formats import HARD_TEXTS, LONG_TEXT, kept
from tests.support.specimens import COMPUTED, DESCRIPTIONS, STORED, Specimens, collect, exported, files_of, tables
from tests.support.tables import READERS
from tests.work.models import Specimen

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifact_dir")]

KEYS = [kind.key for kind in formats]
EVERY = pytest.mark.parametrize("key", KEYS)
TABLES = pytest.mark.parametrize("key", [key for key in KEYS if key != "pdf"])
LANES = pytest.mark.parametrize("columns", [STORED, COMPUTED], ids=["by the database", "by Python"])


NAME = Column("name", "name")


@pytest.fixture(autouse=True)
def _berlin(settings: Settings) -> None:
    """All users are in a zone that skips an hour in spring and repeats one in autumn."""
    settings.CARRYALL = settings.CARRYALL | {"USER_TIME_ZONE": "tests.support.specimens.home_of"}


# --- text -----------------------------------------------------------------------------------------------------------

HARD = Column("text", "text", function=lambda specimen: HARD_TEXTS[specimen.name])


def stored(text: str) -> bool:
    """Return whether databases can store the text: no lone surrogates and, for PostgreSQL, no NUL."""
    return not any("\ud800" <= letter <= "\udfff" or letter == "\0" for letter in text)


def collect_texts() -> dict[str, str]:
    texts = {name: text for name, text in HARD_TEXTS.items() if stored(text)}
    collect({name: {"text": text} for name, text in texts.items()})
    return texts


def as_written(text: str, name: str) -> str:
    """Return what a reader of the file finds for `text`: the text with the losses that the format documents."""
    text = "".join(REPLACED if "\ud800" <= letter <= "\udfff" else letter for letter in text)
    if name.endswith(".csv"):
        text = text.replace("\0", REPLACED)
        text = re.sub("([;\t\r\n] *)=", r"\1'=", text)
        return f"'{text}" if text.lstrip(" ")[:1] in tuple("=+-@\t\r\n") else text
    if name.endswith(".xlsx"):
        return kept(text)
    return text


REPLACED = "\ufffd"


@TABLES
@LANES
def test_hard_texts(ada: User, key: str, columns: tuple[Column, ...]) -> None:
    texts = collect_texts()
    for name, rows in tables(exported(ada, key, columns)).items():
        found = {row["name"]: row["text"] or "" for row in rows}
        found = {each: kept(text) for each, text in found.items()} if name.endswith(".xlsx") else found
        assert found == {each: as_written(text, name) for each, text in texts.items()}


@TABLES
def test_texts_that_databases_cannot_store(ada: User, key: str) -> None:
    collect({name: {} for name in HARD_TEXTS})
    for name, rows in tables(exported(ada, key, (NAME, HARD))).items():
        found = {row["name"]: row["text"] or "" for row in rows}
        found = {each: kept(text) for each, text in found.items()} if name.endswith(".xlsx") else found
        assert found == {each: as_written(text, name) for each, text in HARD_TEXTS.items()}


@pytest.mark.parametrize("text", [STORED[1], HARD], ids=["by the database", "by Python"])
def test_hard_texts_in_pdf(ada: User, text: Column) -> None:
    texts = collect_texts()
    (content,) = files_of(exported(ada, "pdf", (NAME, text))).values()
    found = kept("".join(word.text for page in pdf.pages(content) for word in page.words))
    for each in texts.values():
        if each.isascii():
            assert kept(each) in found
        else:  # a PDF has right-to-left letters, and marks, in drawing order
            assert simple(each) <= simple(found)


def simple(text: str) -> set[str]:
    """Return the letters of scripts in which each letter has a single shape."""
    return {letter for letter in kept(text) if letter.isascii() or letter in ONE_SHAPE}


ONE_SHAPE = {chr(code) for code in (*range(0x370, 0x530), *range(0x4E00, 0xA000), *range(0xAC00, 0xD7A4))}


@EVERY
@LANES
def test_a_very_long_text_is_written_completely(ada: User, key: str, columns: tuple[Column, ...]) -> None:
    """If a format limits the length of cells, the text is in a separate file next to it."""
    collect({"before": {"text": "a"}, "long": {"text": LONG_TEXT}, "after": {"text": "b"}})
    counts = {}
    for name, content in files_of(exported(ada, key, columns[:2])).items():
        if name.endswith(".pdf"):
            counts[name] = "".join(page.text for page in pdf.pages(content)).count("long one")
        elif name.endswith(".parquet"):
            counts[name] = READERS["parquet"](content)[1]["text"].count("long one")
        elif name.endswith((".csv", ".json", ".jsonl", "texts.txt")) and name not in DESCRIPTIONS:
            counts[name] = content.decode().count("long one")
    assert set(counts.values()) == {LONG_TEXT.count("long one")}
    assert len(counts) == (len(writers()) if key == "zip" else 1)


# --- numbers and dates ----------------------------------------------------------------------------------------------

NUMBERS = {
    "minus": Decimal(-5),
    "small": Decimal("-0.0000000001"),
    "huge": Decimal("123456789012345678901234567890.0123456789"),
    "zero": Decimal(0),
    "none": None,
}


@TABLES
@LANES
def test_numbers_are_unchanged(ada: User, key: str, columns: tuple[Column, ...]) -> None:
    collect({name: {"number": value, "whole": value and min(int(value), 2**63 - 1)} for name, value in NUMBERS.items()})
    stored_numbers = dict(Specimen.objects.values_list("name", "number"))  # SQLite keeps the first 15 digits
    for rows in tables(exported(ada, key, columns)).values():
        assert {row["name"]: as_decimal(row["number"]) for row in rows} == stored_numbers
        assert {row["name"]: as_decimal(row["whole"]) for row in rows}["huge"] == 2**63 - 1


def as_decimal(value: object) -> Decimal | None:
    """Return the number that a cell holds, as a number or as text; None if it is empty."""
    return None if value in (None, "") else Decimal(str(value))


NOT_NUMBERS = ("NaN", "Infinity", "-Infinity")


@TABLES
@pytest.mark.parametrize("value", [*map(Decimal, NOT_NUMBERS), float("nan"), float("inf")], ids=str)
def test_nan_and_infinity_are_not_numbers(ada: User, key: str, value: Any) -> None:
    """A reader must not mistake them for numbers, and JSON must not contain NaN."""
    collect({"one": {}})
    column = Column("number", "number", ColumnType.DECIMAL, function=lambda specimen: value)
    for rows in tables(exported(ada, key, (NAME, column))).values():
        (found,) = [row["number"] for row in rows]
        assert found in (None, "", *NOT_NUMBERS)


DAYS = [date(1, 1, 1), date(1582, 10, 15), date(1899, 12, 31), date(1900, 1, 1), date(1900, 2, 28), date(1900, 3, 1)]
DAYS += [date(1969, 12, 31), date(2024, 2, 29), date(2038, 1, 20), date(9999, 12, 31)]


@TABLES
@LANES
def test_dates_of_all_centuries(ada: User, key: str, columns: tuple[Column, ...]) -> None:
    collect({f"day {day}": {"day": day} for day in DAYS})
    for rows in tables(exported(ada, key, columns)).values():
        assert [str(row["day"])[:10] for row in rows] == [str(day) for day in DAYS]


MOMENTS = [
    datetime(2024, 3, 31, 0, 59, 59, tzinfo=UTC),  # before the gap in Berlin
    datetime(2024, 3, 31, 1, 0, tzinfo=UTC),
    datetime(2024, 10, 27, 0, 30, tzinfo=UTC),  # 02:30, which occurs twice
    datetime(2024, 10, 27, 1, 30, tzinfo=UTC),
    datetime(1900, 1, 1, tzinfo=UTC),
    datetime(1880, 6, 1, 12, tzinfo=UTC),  # the local offset had minutes and seconds
    datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    datetime(2024, 7, 1, 12, 0, 0, 120000, tzinfo=UTC),
    datetime(1, 1, 2, tzinfo=UTC),
    datetime(9999, 12, 30, tzinfo=UTC),
]


@TABLES
@LANES
def test_date_times_around_clock_changes(ada: User, key: str, columns: tuple[Column, ...]) -> None:
    collect({f"moment {number}": {"moment": moment} for number, moment in enumerate(MOMENTS)})
    for name, rows in tables(exported(ada, key, columns)).items():
        found = [row["moment"] for row in rows]
        if name.endswith(".xlsx"):  # local time, without an offset
            assert [str(each)[:19] for each in found[:4]] == [
                "2024-03-31 01:59:59",
                "2024-03-31 03:00:00",
                "2024-10-27 02:30:00",
                "2024-10-27 02:30:00",
            ]
        else:
            moments = [each if isinstance(each, datetime) else datetime.fromisoformat(each) for each in found]
            assert moments == MOMENTS


@pytest.mark.parametrize("key", [key for key in KEYS if key != "zip"])
def test_database_and_python_write_the_same_file(ada: User, key: str) -> None:
    """Text formatted by the database equals text formatted by Python."""
    collect_texts()
    collect({f"day {day}": {"day": day, "truth": day.day % 2 == 0} for day in DAYS})
    collect({f"moment {number}": {"moment": moment} for number, moment in enumerate(MOMENTS)})
    collect({name: {"number": value} for name, value in NUMBERS.items()})
    one, other = [exported(ada, key, columns) for columns in (STORED, COMPUTED)]
    if key == "pdf":
        assert pdf_text(one) == pdf_text(other)
    elif key in ("xlsx", "parquet"):
        assert plain(one) == plain(other)
    else:
        assert list(files_of(one).values()) == list(files_of(other).values())


def pdf_text(export: Export) -> str:
    """Return the text after the headings. The text above them contains the time of the request."""
    (content,) = files_of(export).values()
    return " ".join(page.text for page in pdf.pages(content)).partition("moment ")[2]


def plain(export: Export) -> list[dict[str, Any]]:
    """Return the rows. Parquet stores numbers computed by Python as text: their decimal places are not known."""
    (rows,) = tables(export).values()
    return [{**row, "number": as_decimal(row["number"])} for row in rows]


@EVERY
@LANES
@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no such dates")
@pytest.mark.parametrize("day", ["10000-01-01", "infinity", "4714-11-24 BC"])
def test_dates_outside_the_range_of_python(ada: User, key: str, columns: tuple[Column, ...], day: str) -> None:
    """They are written as the database formats them, or the export fails with a clear message."""
    collect({"one": {}})
    with connection.cursor() as cursor:
        cursor.execute("UPDATE work_specimen SET day = %s", [day])
    export = exported(ada, key, columns)
    if export.state == State.FAILED:
        failure_message(export)
    else:
        assert [row["day"] for rows in tables(export).values() for row in rows] == [day] * len(tables(export))


def failure_message(export: Export) -> str:
    """Return the failure message for the owner. Check that it contains no technical details."""
    assert export.state == State.FAILED
    assert export.error_code in ("dataset_failed", "format_failed")
    assert not any(word in export.error_message for word in ("Traceback", "Error(", "0x", "psycopg", 'File "'))
    return export.error_message


# --- shapes ---------------------------------------------------------------------------------------------------------


@EVERY
def test_no_rows(ada: User, key: str) -> None:
    export = exported(ada, key)
    assert export.rows == 0
    for rows in tables(export).values():
        assert rows == []
    for name, content in files_of(export).items():
        if name.endswith(".pdf"):
            assert "No rows" in pdf.pages(content)[0].text


MANY = tuple(Column(f"c{number}", f"Column {number}", source="whole") for number in range(200))


@pytest.mark.parametrize("key", [key for key in KEYS if key not in ("pdf", "zip")])
def test_two_hundred_columns(ada: User, key: str) -> None:
    collect({"one": {"whole": 7}})
    for rows in tables(exported(ada, key, MANY)).values():
        assert [list(map(str, row.values())) for row in rows] == [["7"] * 200]


@pytest.mark.parametrize("key", sorted({"pdf", "zip"} & set(KEYS)))
def test_two_hundred_columns_are_refused_if_a_page_is_too_narrow(ada: User, key: str) -> None:
    wide = registered(type("Specimens", (Specimens,), {"columns": MANY}))
    with wide, pytest.raises(TooWide, match=r"\d") as refused:
        request_export(ada, ExportRequest(dataset="specimens", format=key))
    assert refused.value.field == "fields"
    assert not Export.objects.exists()


def test_all_columns_are_exported_if_none_is_chosen(ada: User) -> None:
    collect({"one": {}})
    for rows in tables(exported(ada, "csv")).values():
        assert [list(row) for row in rows] == [[column.name for column in STORED]]


# --- a row that fails -----------------------------------------------------------------------------------------------


def fragile(specimen: Specimen) -> str:
    if specimen.name == "broken":
        raise ZeroDivisionError("secret of the code")
    return specimen.name


@EVERY
def test_a_failing_row_is_named(ada: User, key: str) -> None:
    collect({name: {} for name in ("fine", "broken", "never reached")})
    export = exported(ada, key, (NAME, Column("shout", "Loud name", function=fragile)))
    message = failure_message(export)
    assert "Loud name" in message
    assert str(Specimen.objects.get(name="broken").pk) in message
    assert "secret" not in message
    assert not export.artifact


# --- markup ---------------------------------------------------------------------------------------------------------

MARKUP = (
    """</script></style></td></table><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7|add:7 }}{% now "Y" %}"""
)


@EVERY
def test_markup_is_written_as_text_everywhere(ada: User, key: str) -> None:
    ada.first_name = MARKUP[:100]
    ada.save()
    collect({"one": {"text": MARKUP}})
    export = exported(ada, key, (NAME, Column("text", MARKUP)), label=MARKUP)
    for name, content in files_of(export).items():
        if name.endswith(".pdf"):
            text = kept("".join(page.text for page in pdf.pages(content)))
            assert text.count(kept(MARKUP)) >= 3, "as a cell, a heading and a title"
        if name.endswith(".html"):
            assert "<script>alert" not in content.decode()
            assert "<img src=x" not in content.decode()
    for rows in tables(export).values():
        assert MARKUP in rows[0].values()
