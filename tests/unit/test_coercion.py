"""Conversion of values to their column's type, and refusal of lossy conversions."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.db.models import Model, TextChoices
from django.db.models.query import RawQuerySet
from django.test.utils import isolate_apps
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy
from hypothesis import given
from hypothesis import strategies as st

from exports.datasets import Column, ColumnType
from exports.datasets.coercion import PYTHON, Typed, python_of
from exports.errors import DatasetFailed

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
BIG = 2**53


class Mood(TextChoices):
    GOOD = "good", "Good"


class Level(IntEnum):
    HIGH = 3


class Half(Enum):
    ONE = Decimal("0.5")


class Whole(int):
    """Not exactly int, like the integers of numpy."""


@dataclass
class Point:
    x: int

    def __str__(self) -> str:
        return f"({self.x})"


def column(kind: ColumnType, **more: Any) -> Column:
    return Column("cell", "Cell", kind, **more)


def typed(kind: ColumnType, *values: Any) -> list[Any]:
    return list(Typed(column(kind))(values, range(100, 200)))


@pytest.mark.parametrize("kind", PYTHON)
def test_none_is_kept_in_every_type(kind: ColumnType) -> None:
    assert typed(kind, None, None) == [None, None]


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (ColumnType.TEXT, SafeString("<b>"), "<b>"),
        (ColumnType.TEXT, gettext_lazy("Yes"), "Yes"),
        (ColumnType.TEXT, Mood.GOOD, "good"),
        (ColumnType.TEXT, 5, "5"),
        (ColumnType.TEXT, True, "true"),
        (ColumnType.TEXT, 0.1 + 0.2, "0.30000000000000004"),
        (ColumnType.TEXT, float("-inf"), "-Infinity"),
        (ColumnType.TEXT, Decimal("1E+3"), "1000"),
        (ColumnType.TEXT, Decimal("1.10"), "1.10"),
        (ColumnType.TEXT, NOON, "2026-03-01T12:00:00+00:00"),
        (ColumnType.TEXT, date(2026, 3, 1), "2026-03-01"),
        (ColumnType.TEXT, time(9, 30), "09:30:00"),
        (ColumnType.TEXT, timedelta(minutes=90), "P0DT01H30M00S"),
        (ColumnType.TEXT, uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (ColumnType.TEXT, memoryview(b"\x00\xff"), "00ff"),
        (ColumnType.TEXT, {"ä": [1, Decimal("1.5"), Mood.GOOD]}, '{"ä": [1, "1.5", "good"]}'),
        (ColumnType.TEXT, Point(3), "(3)"),
        (ColumnType.TEXT, User(username="ada"), "ada"),
        (ColumnType.TEXT, "<object at 0x7f>", "<object at 0x7f>"),  # text of the user's own
        (ColumnType.INTEGER, Whole(5), 5),
        (ColumnType.INTEGER, Level.HIGH, 3),
        (ColumnType.INTEGER, True, 1),
        (ColumnType.INTEGER, 2.0, 2),
        (ColumnType.INTEGER, Decimal("5.00"), 5),
        (ColumnType.INTEGER, 2**80, 2**80),
        (ColumnType.DECIMAL, BIG + 1, Decimal(BIG + 1)),
        (ColumnType.DECIMAL, 0.1, Decimal("0.1")),
        (ColumnType.DECIMAL, 1 / 3, Decimal("0.3333333333333333")),
        (ColumnType.DECIMAL, Half.ONE, Decimal("0.5")),
        (ColumnType.DECIMAL, float("inf"), Decimal("Infinity")),
        (ColumnType.FLOAT, 3, 3.0),
        (ColumnType.FLOAT, BIG, float(BIG)),
        (ColumnType.FLOAT, 2**60, float(2**60)),
        (ColumnType.FLOAT, Decimal("22.2217"), 22.2217),
        (ColumnType.FLOAT, Decimal("3.3333333333333333333"), 3.3333333333333335),
        (ColumnType.BOOLEAN, 1, True),
        (ColumnType.BOOLEAN, 0, False),
        (ColumnType.DATE, date(1812, 6, 24), date(1812, 6, 24)),
        (ColumnType.DATETIME, NOON.astimezone(ZoneInfo("Asia/Tokyo")), NOON),
        (ColumnType.TIME, time(1, 2, 3, 4), time(1, 2, 3, 4)),
        (ColumnType.DURATION, timedelta(days=-1, microseconds=1), timedelta(days=-1, microseconds=1)),
    ],
)  # fmt: skip
def test_lossless_values_are_converted(kind: ColumnType, value: Any, expected: Any) -> None:
    found = typed(kind, None, value)[1]
    assert (type(found), found) == (PYTHON[kind], expected)


@pytest.mark.parametrize("kind", [ColumnType.DECIMAL, ColumnType.FLOAT])
def test_nan_stays_nan(kind: ColumnType) -> None:
    for value in (float("nan"), Decimal("NaN")):
        [found] = typed(kind, value)
        assert (type(found), found != found) == (PYTHON[kind], True)


def numbers() -> Iterator[int]:
    yield 1


def refused(kind: ColumnType, value: Any) -> str:
    with pytest.raises(DatasetFailed) as raised:
        typed(kind, None, value)
    message = raised.value.message
    assert "“Cell” is declared as " + kind.name in message
    assert "in the row 101." in message
    assert not raised.value.retryable
    assert " at 0x" not in message
    return message


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        (ColumnType.INTEGER, 1.5, "1.5 (float) .* Declare the column as DECIMAL or FLOAT"),
        (ColumnType.INTEGER, Decimal("0.1"), "round"),
        (ColumnType.INTEGER, float("nan"), "round"),
        (ColumnType.INTEGER, "12", r"12 \(str\) .* Declare the column as TEXT"),
        (ColumnType.DECIMAL, "12.50", "TEXT"),
        (ColumnType.FLOAT, BIG + 1, "INTEGER"),
        (ColumnType.FLOAT, 10**400, "INTEGER"),
        (ColumnType.FLOAT, Decimal("1E+400"), "DECIMAL"),
        (ColumnType.BOOLEAN, 2, "INTEGER"),
        (ColumnType.BOOLEAN, "yes", "TEXT"),
        (ColumnType.DATE, NOON, "DATETIME"),
        (ColumnType.DATE, "2026-03-01", "TEXT"),
        (ColumnType.DATETIME, date(2026, 3, 1), "DATE"),
        (ColumnType.DATETIME, datetime(2026, 3, 1), "make_aware"),
        (ColumnType.TIME, time(1, tzinfo=UTC), "without a zone"),
        (ColumnType.DURATION, 90, "INTEGER"),
    ],
)
def test_lossy_values_are_refused(kind: ColumnType, value: Any, words: str) -> None:
    assert re.search(words.replace("(float)", r"\(float\)"), refused(kind, value))


class Silent:
    """A class without __str__()."""


NO_TEXT: dict[str, tuple[Callable[[], Any], str]] = {
    "a manager": (lambda: User.objects, "Join its items"),
    "a related manager": (lambda: User(pk=1).groups, "Join its items"),
    "a queryset": (lambda: User.objects.all(), "Join its items"),
    "a raw queryset": (lambda: RawQuerySet("SELECT 1"), "Join its items"),
    "a generator": (numbers, "Join its items"),
    "an iterator": (lambda: iter([1]), "Join its items"),
    "a set": (lambda: {1, 2}, "Join its items"),
    "a function": (lambda: numbers, "Call it"),
    "a method": (lambda: User(username="a").get_full_name, "Call it"),
    "a built-in": (lambda: len, "Call it"),
    "a class": (lambda: User, "Call it"),
    "an object": (object, "__str__"),
    "an object of a class without a text": (Silent, "__str__"),
    "a partial": (lambda: partial(numbers), "__str__"),
    "a row of a model without a text": (lambda: textless(), "__str__"),
    "objects in a list": (lambda: [1, Silent()], "__str__"),
    "a queryset in a dictionary": (lambda: {"a": User.objects.all()}, "Join its items"),
}


def textless() -> Any:
    """Return a row of a model without __str__()."""
    with isolate_apps("tests.work"):

        class Row(Model):  # noqa: DJ008
            class Meta:
                app_label = "work"

    return Row(pk=1)


@pytest.mark.parametrize(("make", "hint"), NO_TEXT.values(), ids=NO_TEXT)
def test_values_without_text_are_refused(make: Callable[[], Any], hint: str) -> None:
    assert hint in refused(ColumnType.TEXT, make())


def test_a_failing_str_is_reported_with_row_and_column() -> None:
    class Broken:
        def __str__(self) -> str:
            raise ZeroDivisionError("secret")

    with pytest.raises(DatasetFailed, match="“Cell” could not be computed for the row 101") as raised:
        typed(ColumnType.TEXT, None, Broken())
    assert isinstance(raised.value.__cause__, ZeroDivisionError)
    assert "secret" not in raised.value.message


PLAIN = (
    st.text() | st.integers() | st.floats() | st.decimals() | st.booleans() | st.dates() | st.times() | st.timedeltas()
    | st.datetimes(timezones=st.just(UTC)) | st.datetimes() | st.none()
)  # fmt: skip


@given(st.lists(PLAIN, max_size=6), st.sampled_from([kind for kind in PYTHON if kind is not ColumnType.NULL]))
def test_a_column_is_converted_to_one_type_or_refused(values: list[Any], kind: ColumnType) -> None:
    try:
        found = typed(kind, *values)
    except DatasetFailed:
        return
    assert {type(value) for value in found} <= {PYTHON[kind], type(None)}
    again = typed(kind, *found)
    assert list(map(repr, again)) == list(map(repr, found))


@given(st.floats(allow_nan=False))
def test_a_float_survives_as_decimal_and_as_text(value: float) -> None:
    assert float(typed(ColumnType.DECIMAL, value)[0]) == value
    assert float(typed(ColumnType.TEXT, value)[0]) == value


# --- choices --------------------------------------------------------------------------------------------------------


class Answer(TextChoices):
    YES = "yes", "Yes"
    NO = "no", "No"

    __empty__ = "(Unknown)"


GROUPED = [("Audio", [("vinyl", "Vinyl"), ("cd", "CD")]), ("unknown", "Unknown")]


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        (Answer, {"yes": "Yes", "no": "No"}),
        (Answer.choices, {"yes": "Yes", "no": "No"}),
        (GROUPED, {"vinyl": "Vinyl", "cd": "CD", "unknown": "Unknown"}),
        (dict(GROUPED[:1]), {"vinyl": "Vinyl", "cd": "CD"}),
        ({"Audio": {"vinyl": "Vinyl"}, "x": "Ex"}, {"vinyl": "Vinyl", "x": "Ex"}),
        ({"DE": "Germany", "long key": "Long"}, {"DE": "Germany", "long key": "Long"}),
        (lambda: [("a", "A")], {"a": "A"}),
        (lambda: {"a": "A"}, {"a": "A"}),
        ([(Answer.YES, "Ja")], {"yes": "Ja"}),
        ([(1, "One"), (2, gettext_lazy("Yes"))], {1: "One", 2: "Yes"}),
        ({True: "On", False: "Off", None: "?"}, {True: "On", False: "Off"}),
        ([("", "Nothing yet"), (None, "---")], {"": "Nothing yet"}),
        ([(1, "One"), ("b", "B")], {"1": "One", "b": "B"}),
        (None, {}),
    ],
)
def test_choices_may_have_any_form_that_django_accepts(choices: Any, words: dict[Any, str]) -> None:
    found = column(ColumnType.CHOICE, choices=choices)
    for _ in range(2):
        assert found.words == words
        assert list(map(type, found.words)) == list(map(type, words))


def test_a_generator_of_choices_is_read_once_for_all_files() -> None:
    found = column(ColumnType.CHOICE, choices=((letter, letter.upper()) for letter in "ab"))
    assert found.words == found.words == {"a": "A", "b": "B"}


@pytest.mark.parametrize(
    ("choices", "python"),
    [(Answer, str), ([(1, "One")], int), ([(True, "On")], bool), ([(1, "One"), ("b", "B")], str), (None, str)],
)
def test_a_choice_has_the_type_of_its_stored_values(choices: Any, python: type) -> None:
    assert python_of(column(ColumnType.CHOICE, choices=choices)) is python


def test_stored_values_are_converted_to_the_type_of_the_choices() -> None:
    assert Typed(column(ColumnType.CHOICE, choices={"1": "One"}))([1, "2", None]) == ["1", "2", None]
    assert Typed(column(ColumnType.CHOICE, choices={1: "One"}))([1, 7, True]) == [1, 7, 1]
    with pytest.raises(DatasetFailed, match="CHOICE"):
        Typed(column(ColumnType.CHOICE, choices={1: "One"}))(["one"])
