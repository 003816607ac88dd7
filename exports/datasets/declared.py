"""What columns declare, against what the models say of the same values, before anything is exported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from django.core.exceptions import FieldError
from django.db import models
from django.db.models import Field, QuerySet

from exports.datasets.coercion import CONVERTERS, KINDS, python_of
from exports.datasets.columns import Column, ColumnType, flat, name_of, values_of
from exports.datasets.texts import Unfit

VALUES: Sequence[tuple[type[Field[Any, Any]], Any]] = (
    (models.BooleanField, True),
    (models.IntegerField, 1),
    (models.DecimalField, Decimal(1)),
    (models.FloatField, 1.0),
    (models.DateTimeField, datetime(2000, 1, 1, tzinfo=UTC)),
    (models.DateField, date(2000, 1, 1)),
    (models.TimeField, time()),
    (models.DurationField, timedelta()),
)
"""A value of each kind of field, the easiest to convert; the first line that fits. Any other field holds text."""
FLOAT_DIGITS = 15
"""Decimal digits that a float always keeps."""
TEXT_DOUBT = "they are written as text, which programs do not sort or add up"
DOUBTS: Mapping[tuple[type, type], str] = {
    (int, bool): "any but 0 and 1 fails",
    (Decimal, int): "any with a fraction fails",
    (float, int): "any with a fraction fails",
    (float, Decimal): "they are written with the shortest digits that give back the same float",
    (Decimal, float): f"those of more than {FLOAT_DIGITS} digits are rounded",
}
"""What happens to values of the first type in a column of the second one."""


def faults(rows: QuerySet[Any], columns: Sequence[Column]) -> list[str]:
    """Return a sentence for each column that can hold no value of its field, with how to fix it. Runs no query."""
    return list(_faults_of_choices(columns)) or [
        f"The column {slot.name!r} is {slot.type.name}, but its values are of a {_name(field)}: "
        f"declare it as {KINDS[type(value)].name}, or convert it in its source."
        for slot, field, value in _compared(rows, columns)
        if not _converts(slot, value)
    ]


def doubts(rows: QuerySet[Any], columns: Sequence[Column]) -> list[str]:
    """Return a sentence for each column whose values change on their way, or may fail later. Runs no query."""
    return [
        f"The column {slot.name!r} is {slot.type.name}, but its values are of a {_name(field)}{reason}"
        for slot, field, value in _compared(rows, columns)
        if _converts(slot, value)
        and (reason := _doubt_of_choices(slot, field) or _doubt(python_of(slot), field, value))
    ]


def clash(columns: Sequence[Column]) -> tuple[Column, Column] | None:
    """Return two columns that would have one name in a file; a MONEY column has its own and that of its currency."""
    names: dict[str, Column] = {}
    for column in columns:
        for slot in column.slots:
            other = names.setdefault(slot.name.casefold(), column)
            if other is not column:
                return other, column
    return None


def _faults_of_choices(columns: Sequence[Column]) -> Iterator[str]:
    for column in columns:
        try:
            _ = column.words
        except (TypeError, ValueError, Unfit):
            yield f"The choices of {column.name!r} are no pairs of a value and its words: give them as a model field's."


def _compared(rows: QuerySet[Any], columns: Sequence[Column]) -> Iterator[tuple[Column, Field[Any, Any], Any]]:
    """Each slot that the database gives, its field, and a value of that field."""
    slots = [slot for slot in flat(columns) if slot.function is None and slot.type is not ColumnType.NULL]
    expressions = values_of(rows, slots).query.annotations
    for place, slot in enumerate(slots):
        field = _field_of(expressions[name_of(place)])
        if field is not None:
            yield slot, field, next((value for kind, value in VALUES if isinstance(field, kind)), "text")


def _field_of(expression: Any) -> Field[Any, Any] | None:
    """The field that says what an expression gives; None for one whose values may be of any type, such as JSON."""
    try:
        field: Any = expression.output_field
    except FieldError:  # of mixed types, and none is named
        return None
    if isinstance(field, models.GeneratedField):
        field = field.output_field
    while field.remote_field is not None:
        field = field.target_field
    return None if hasattr(field, "from_db_value") else field


def _converts(slot: Column, value: Any) -> bool:
    try:
        CONVERTERS[python_of(slot)](value)
    except Unfit:
        return False
    return True


def _doubt_of_choices(slot: Column, field: Field[Any, Any]) -> str:
    if slot.type is ColumnType.CHOICE and field.choices and not slot.words:
        return f" with choices, and it has none. Give it choices=<model>._meta.get_field({field.name!r}).choices."
    return ""


def _doubt(slot: type, field: Field[Any, Any], value: Any) -> str:
    """Why values of a field may not come out of a slot of this type as they are; empty when they do."""
    given = type(value)
    if field.primary_key and slot is str:  # a key is a name: nobody adds keys up
        return ""
    if given is slot or (slot is int and getattr(field, "decimal_places", None) == 0):
        return ""
    if (given, slot) == (Decimal, float) and (getattr(field, "max_digits", None) or 0) <= FLOAT_DIGITS:
        return ""
    reason = DOUBTS.get((given, slot), TEXT_DOUBT if slot is str else "")
    return reason and f": {reason}. Declare it as {KINDS[given].name}."


def _name(field: Field[Any, Any]) -> str:
    return type(field).__name__
