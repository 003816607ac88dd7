"""What the attributes of a model's instances hold: a field, an annotation, or what a property or a method returns."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints
from uuid import UUID

from django.core.exceptions import FieldDoesNotExist, FieldError
from django.db.models import Prefetch, QuerySet

from exports.datasets import Column, ColumnType, inferred
from exports.datasets.columns import Text, heading_of
from exports.datasets.paths import UnknownName, follow, names_of, suggested

RETURNED: dict[Any, ColumnType] = {
    bool: ColumnType.BOOLEAN,
    int: ColumnType.INTEGER,
    Decimal: ColumnType.DECIMAL,
    float: ColumnType.FLOAT,
    datetime: ColumnType.DATETIME,
    date: ColumnType.DATE,
    time: ColumnType.TIME,
    timedelta: ColumnType.DURATION,
    UUID: ColumnType.UUID,
    bytes: ColumnType.BINARY,
    dict: ColumnType.JSON,
    list: ColumnType.LIST,
    tuple: ColumnType.LIST,
}
"""The column type for the annotation of what a function returns."""


def column_of(rows: QuerySet[Any], name: str, label: Text, path: str) -> Column | None:
    """Return a column that the database reads: a field at the end of `path`, or an annotation. None if it is neither.

    Its type is that of the field. Runs no query.
    """
    if path in rows.query.annotations:
        kind = type_of_annotation(rows, path)
        return None if kind is None else Column(name, label or heading_of(name), kind, source=path)
    try:
        step = follow(rows.model, path)
    except UnknownName:
        return None
    last = path.rpartition("__")[2]
    is_object = step.field.is_relation and last not in ("pk", getattr(step.field, "attname", ""))
    if step.rest or step.many or is_object:
        return None
    [column], faults = inferred.resolve([Column(name, source=path)], rows.model, (), None)
    return None if faults else replace(column, label=label or column.label)


def type_of_annotation(rows: QuerySet[Any], name: str) -> ColumnType | None:
    """Return the column type of an annotation; None if it has none."""
    try:
        return inferred.type_of(rows.query.annotations[name].output_field)
    except FieldError:
        return None


def attribute_of(rows: QuerySet[Any], names: Sequence[str]) -> Any:
    """Return the property or method that `names` lead to, through relations, from the model of the rows.

    Return None where classes do not tell, such as for the keys of a JSON field. Raises UnknownName, with a suggestion,
    if a model has no such attribute.
    """
    here: Any = rows.model
    for place, name in enumerate(names):
        if place == 0 and name in _added(rows):
            return None
        try:
            field = here._meta.get_field(name)
        except FieldDoesNotExist:
            if not hasattr(here, name):
                known = suggested(name, names_of(here))
                raise UnknownName(f"{here.__name__} has no attribute {name!r}.{known}") from None
            return inspect.getattr_static(here, name) if place == len(names) - 1 else None
        here = field.related_model
        if here is None or field.one_to_many or field.many_to_many:
            return None
    return None


def _added(rows: QuerySet[Any]) -> set[str]:
    """Return the attributes that the queryset itself adds to the instances."""
    return {*rows.query.annotations, *(lookup.to_attr for lookup in prefetches(rows) if lookup.to_attr)}


def prefetches(rows: QuerySet[Any]) -> list[Any]:
    """Return the Prefetch objects of a queryset."""
    lookups: Sequence[Any] = rows._prefetch_related_lookups  # type: ignore[attr-defined]
    return [lookup for lookup in lookups if isinstance(lookup, Prefetch)]


def returned(function: Any) -> ColumnType | None:
    """Return the column type of what a method or property returns, from its annotation; None if that says nothing."""
    function = getattr(function, "fget", None) or getattr(function, "func", None) or function
    try:
        hint = get_type_hints(function).get("return")
    except (TypeError, NameError, AttributeError):  # not a function, or an annotation for type checkers alone
        return None
    if get_origin(hint) in (Union, UnionType):
        hints = [each for each in get_args(hint) if each is not NoneType]
        hint = hints[0] if len(hints) == 1 else None
    return RETURNED.get(get_origin(hint) or hint)
