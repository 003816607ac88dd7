"""Checks of the declared column types against the model fields of their values, before anything is exported."""

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
"""An easily converted value of each type of field; the first match applies. All other fields hold text."""
FLOAT_DIGITS = 15
"""Decimal digits that a float always preserves."""
TEXT_DOUBT = "they are written as text, which programs cannot sort or add up as numbers or dates"
DOUBTS: Mapping[tuple[type, type], str] = {
    (int, bool): "values other than 0 and 1 fail",
    (Decimal, int): "values with a fraction fail",
    (float, int): "values with a fraction fail",
    (float, Decimal): "they are written with the shortest digits that give back the same float",
    (Decimal, float): f"values with more than {FLOAT_DIGITS} digits are rounded",
}
"""What happens to values of the first type in a column of the second type."""


def faults(rows: QuerySet[Any], columns: Sequence[Column]) -> list[str]:
    """Return one sentence, with a fix, for each column that cannot hold the values of its field. Runs no query."""
    return list(_faults_of_choices(columns)) or [
        f"The column {slot.name!r} is {slot.type.name}, but its values come from a {_name(field)}: "
        f"declare it as {KINDS[type(value)].name}, or convert it in its source."
        for slot, field, value in _compared(rows, columns)
        if not _converts(slot, value)
    ]


def doubts(rows: QuerySet[Any], columns: Sequence[Column]) -> list[str]:
    """Return one sentence for each column whose values are changed when written, or may fail later. Runs no query."""
    return [
        f"The column {slot.name!r} is {slot.type.name}, but its values come from a {_name(field)}{reason}"
        for slot, field, value in _compared(rows, columns)
        if _converts(slot, value)
        and (reason := _doubt_of_choices(slot, field) or _doubt(python_of(slot), field, value))
    ]


def clash(columns: Sequence[Column]) -> tuple[Column, Column] | None:
    """Return two columns that would have the same name in a file, or None. A MONEY column also names its currency."""
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
            yield f"The choices of {column.name!r} are not pairs of a value and a label: give them as in a model field."


def _compared(rows: QuerySet[Any], columns: Sequence[Column]) -> Iterator[tuple[Column, Field[Any, Any], Any]]:
    """Yield each slot that is read from the database, its field, and an example value of that field."""
    slots = [slot for slot in flat(columns) if slot.function is None and slot.type is not ColumnType.NULL]
    expressions = values_of(rows, slots).query.annotations
    for place, slot in enumerate(slots):
        field = _field_of(expressions[name_of(place)])
        if field is not None:
            yield slot, field, next((value for kind, value in VALUES if isinstance(field, kind)), "text")


def _field_of(expression: Any) -> Field[Any, Any] | None:
    """Return the output field of an expression; None if its values may have any type, such as JSON."""
    try:
        field: Any = expression.output_field
    except FieldError:  # mixed types without an output_field
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
        return (
            f" with choices, and the column has none. Give it choices=<model>._meta.get_field({field.name!r}).choices."
        )
    return ""


def _doubt(slot: type, field: Field[Any, Any], value: Any) -> str:
    """Return why a slot of this type may change the values of a field; empty if it does not."""
    given = type(value)
    if field.primary_key and slot is str:  # a key is a name, not a quantity
        return ""
    if given is slot or (slot is int and getattr(field, "decimal_places", None) == 0):
        return ""
    if (given, slot) == (Decimal, float) and (getattr(field, "max_digits", None) or 0) <= FLOAT_DIGITS:
        return ""
    reason = DOUBTS.get((given, slot), TEXT_DOUBT if slot is str else "")
    return reason and f": {reason}. Declare it as {KINDS[given].name}."


def _name(field: Field[Any, Any]) -> str:
    return type(field).__name__
