"""Checks of the declared column types against the model fields of their values, before anything is exported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.core.exceptions import FieldError
from django.db.models import Field, QuerySet

from exports.datasets.coercion import CONVERTERS, KINDS, PYTHON, python_of
from exports.datasets.columns import Column, ColumnType, flat, name_of, values_of
from exports.datasets.grouped import expressions_of, is_grouped
from exports.datasets.inferred import plain, type_of
from exports.datasets.mappings import name_in_rows
from exports.datasets.texts import Unfit

EXAMPLES: Mapping[ColumnType, Any] = {
    ColumnType.BOOLEAN: True,
    ColumnType.INTEGER: 1,
    ColumnType.DECIMAL: Decimal(1),
    ColumnType.FLOAT: 1.0,
    ColumnType.DATETIME: datetime(2000, 1, 1, tzinfo=UTC),
    ColumnType.DATE: date(2000, 1, 1),
    ColumnType.TIME: time(),
    ColumnType.DURATION: timedelta(),
    ColumnType.UUID: UUID(int=0),
    ColumnType.IP: "127.0.0.1",
    ColumnType.BINARY: b"",
    ColumnType.JSON: {},
    ColumnType.LIST: [],
}
"""An easily converted value of the fields of each type. All other fields hold text."""
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
    return list(faults_of_choices(columns)) or [
        f"The column {slot.name!r} is {slot.type.name}, but its values come from a {_name(field)}: "
        f"declare it as {kind.name}, or convert it in its source."
        for slot, field, kind in _compared(rows, columns)
        if not _converts(slot, kind)
    ]


def doubts(rows: QuerySet[Any], columns: Sequence[Column]) -> list[str]:
    """Return one sentence for each column whose values are changed when written, or may fail later. Runs no query."""
    return [
        f"The column {slot.name!r} is {slot.type.name}, but its values come from a {_name(field)}{reason}"
        for slot, field, kind in _compared(rows, columns)
        if _converts(slot, kind)
        and (reason := _doubt_of_choices(slot, field) or _doubt(python_of(slot), field, PYTHON[kind]))
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


def faults_of_choices(columns: Sequence[Column]) -> Iterator[str]:
    for column in columns:
        try:
            _ = column.words
        except (TypeError, ValueError, Unfit):
            yield f"The choices of {column.name!r} are not pairs of a value and a label: give them as in a model field."


def _compared(rows: QuerySet[Any], columns: Sequence[Column]) -> Iterator[tuple[Column, Field[Any, Any], ColumnType]]:
    """Yield each slot that is read from the database, its field, and the type of the field's values."""
    slots = [slot for slot in flat(columns) if slot.function is None and slot.type is not ColumnType.NULL]
    for slot, expression in zip(slots, _expressions(rows, slots), strict=True):
        field = _field_of(expression)
        if field is not None:
            yield slot, field, type_of(field) or ColumnType.TEXT


def _expressions(rows: QuerySet[Any], slots: Sequence[Column]) -> list[Any]:
    """Return what each slot reads: an object with an output_field, or None."""
    if is_grouped(rows):
        found = expressions_of(rows)
        return [found.get(str(name_in_rows(slot))) for slot in slots]
    annotations = values_of(rows, slots).query.annotations
    return [annotations[name_of(place)] for place in range(len(slots))]


def _field_of(expression: Any) -> Field[Any, Any] | None:
    """Return the output field of an expression; None if its values may have any type, such as JSON."""
    if expression is None:
        return None
    try:
        field: Any = expression.output_field
    except FieldError:  # mixed types without an output_field
        return None
    field = plain(field)
    return None if hasattr(field, "from_db_value") else field


def _converts(slot: Column, kind: ColumnType) -> bool:
    if slot.type in (ColumnType.UUID, ColumnType.IP) and issubclass(PYTHON[kind], str):  # known of each value only
        return True
    try:
        CONVERTERS[python_of(slot)](EXAMPLES.get(kind, "text"))
    except Unfit:
        return False
    return True


def _doubt_of_choices(slot: Column, field: Field[Any, Any]) -> str:
    if slot.type is ColumnType.CHOICE and field.choices and not slot.words:
        return (
            f" with choices, and the column has none. Give it choices=<model>._meta.get_field({field.name!r}).choices."
        )
    return ""


def _doubt(slot: type, field: Field[Any, Any], given: type) -> str:
    """Return why a slot of this type may change the values of a field, of the type `given`; empty if it does not."""
    if issubclass(slot, str) and (field.primary_key or issubclass(given, str)):  # a key is a name, not a quantity
        return ""
    if given is slot or (slot is int and getattr(field, "decimal_places", None) == 0):
        return ""
    if (given, slot) == (Decimal, float) and (getattr(field, "max_digits", None) or 0) <= FLOAT_DIGITS:
        return ""
    reason = DOUBTS.get((given, slot), TEXT_DOUBT if issubclass(slot, str) else "")
    return reason and f": {reason}. Declare it as {KINDS[given].name}."


def _name(field: Field[Any, Any]) -> str:
    return type(field).__name__
