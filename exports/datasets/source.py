"""Source: streams the rows of one part from the database to a format, and counts them."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from uuid import UUID

from celery.exceptions import SoftTimeLimitExceeded
from django.db import connections
from django.db.models import Field, QuerySet
from django.db.models.expressions import Col

from exports.datasets.coercion import Typed
from exports.datasets.columns import Column, flat, name_of, values_of
from exports.datasets.key_ranges import KeyRange
from exports.errors import DatasetFailed, ExportError, errors_as, of_cell

if TYPE_CHECKING:
    from exports.datasets.copying import Copying

Row = tuple[Any, ...]
"""One value per slot, of the type that its column declares (`coercion.PYTHON`), or None. Date-times are aware."""

CHUNK = 2_000
"""Rows of one query, which are held in memory."""
ORDERED_KEYS = (int, Decimal, date, timedelta, UUID)
"""Types of keys that Python and the databases sort in the same order. `date` includes datetime."""


class Source:
    """The values of `columns` for the rows of one range of keys (None: no rows), ordered by key.

    `read` is the number of rows returned so far; `each` is called with it after every batch. Exceptions of the
    dataset's own code and of the database are raised as ExportError.
    """

    def __init__(self, rows: QuerySet[Any], columns: Sequence[Column], keys: KeyRange | None) -> None:
        self.columns = columns
        self.read = 0
        self.each: Callable[[int], None] = _ignore_progress
        self._slots = flat(columns)
        self._typed = [Typed(slot) for slot in self._slots]
        self._keys = keys
        self._rows = rows
        self._copying: Copying | None = None

    def __iter__(self) -> Iterator[Row]:
        for batch in self.batches():
            yield from batch

    def batches(self) -> Iterator[list[Row]]:
        """Yield the rows, in lists of up to CHUNK.

        Each CHUNK is a separate query that ends before its first row is yielded. A cursor left open over the whole
        range would hold SQLite's snapshot: after a write by another connection, this connection's own next write (a
        part's progress) would fail with "database is locked", at once and whatever the timeout.
        """
        pages = self._pages()
        while True:
            with errors_as(DatasetFailed):
                page = next(pages, None)
            if page is None:
                return
            self._count(len(page))
            yield page

    def head(self, count: int) -> list[Row]:
        """Return the first rows, up to `count` (1 to CHUNK). They are not counted, and `batches` yields them again."""
        with errors_as(DatasetFailed):
            return next(self._pages(count), [])

    def fields(self) -> list[Field[Any, Any] | None]:
        """Return for each slot the model field that it shows unchanged; None for functions and other expressions."""
        compiler = values_of(self._rows, self._slots).query.get_compiler(using=self._rows.db)
        compiler.setup_query()
        shown = [expression.target if isinstance(expression, Col) else None for expression, _, _ in compiler.select]
        return [None if slot.function else field for slot, field in zip(self._slots, shown[:-1], strict=True)]

    def copying(self) -> Copying | None:
        """Return a COPY of the same rows, formatted by PostgreSQL; None if Python has to process them."""
        if self._keys is None or connections[self._rows.db].vendor != "postgresql":
            return None
        from exports.datasets.copying import Copying

        with errors_as(DatasetFailed):
            self._copying = Copying.of(self._rows, self._slots, self._keys, self._count)
        return self._copying

    def close(self) -> None:
        """Stop reading, so that the connection is free for other queries."""
        if self._copying is not None:
            self._copying.close()

    def _count(self, rows: int) -> None:
        self.read += rows
        self.each(self.read)

    def _ranged(self) -> QuerySet[Any]:
        if self._keys is None:
            return self._rows.none()
        return self._rows.filter(pk__gte=self._keys.first, pk__lte=self._keys.last)

    def _pages(self, size: int | None = None) -> Iterator[list[Row]]:
        size = size or CHUNK
        functions = [(place, slot) for place, slot in enumerate(self._slots) if slot.function is not None]
        return self._computed_pages(functions, size) if functions else self._plain_pages(size)

    def _plain_pages(self, size: int) -> Iterator[list[Row]]:
        for page in _by_key(values_of(self._ranged(), self._slots), lambda row: row[-1], size):
            yield self._in_types([row[:-1] for row in page], [row[-1] for row in page])

    def _computed_pages(self, functions: Sequence[tuple[int, Column]], size: int) -> Iterator[list[Row]]:
        """Yield pages of rows with Python functions. Slower, because it loads model instances."""
        names = list(map(name_of, range(len(self._slots))))
        plain = {name: slot.expression for name, slot in zip(names, self._slots, strict=True) if slot.function is None}
        for page in _by_key(self._ranged().annotate(**plain), lambda instance: instance.pk, size):
            rows = [[getattr(instance, name, None) for name in names] for instance in page]
            for place, slot in functions:
                for row, instance in zip(rows, page, strict=True):
                    row[place] = _computed(slot, instance)
            yield self._in_types([tuple(row) for row in rows], [instance.pk for instance in page])

    def _in_types(self, rows: list[Row], keys: Sequence[Any]) -> list[Row]:
        """Return the rows with each value of its column's type. `keys` are for errors. Raises DatasetFailed."""
        columns = list(zip(*rows, strict=True))
        typed = [convert(values, keys) for convert, values in zip(self._typed, columns, strict=True)]
        if all(map(operator.is_, typed, columns)):  # the usual case: nothing converted
            return rows
        return list(zip(*typed, strict=True))


def _by_key(rows: QuerySet[Any], key_of: Callable[[Any], Any], size: int) -> Iterator[list[Any]]:
    """Yield pages of `size` rows, each from a query that starts after the last key of the previous page.

    Each query reads one row more than its page holds, so that a repeated key is also found at the end of a page.
    Raises DatasetFailed for a repeated key, and for rows out of order: rows would be lost or duplicated.
    """
    page = list(rows[: size + 1])
    while page:
        _require_order(list(map(key_of, page)))
        more = len(page) > size
        page = page[:size]
        yield page
        page = list(rows.filter(pk__gt=key_of(page[-1]))[: size + 1]) if more else []


def _require_order(keys: Sequence[Any]) -> None:
    """Raise DatasetFailed unless the keys increase. Text keys only have to differ: the database defines their order."""
    compare = operator.lt if isinstance(keys[0], ORDERED_KEYS) else operator.ne
    if all(map(compare, keys, keys[1:])):
        return
    one, next_one = next(pair for pair in pairwise(keys) if not compare(*pair))
    if one == next_one:
        raise DatasetFailed from ValueError(f"The primary key {one!r} occurs more than once.")
    raise DatasetFailed from ValueError(f"The primary key {next_one!r} comes after {one!r}: rows are not in order.")


def _computed(column: Column, instance: Any) -> Any:
    """Return the value of a function for one row. Raises DatasetFailed, which names the row and the column."""
    assert column.function is not None
    try:
        return column.function(instance)
    except (ExportError, SoftTimeLimitExceeded):
        raise
    except Exception as error:
        raise of_cell(error, instance.pk, column.label) from error


def _ignore_progress(count: int) -> None:
    """No-op progress callback."""
