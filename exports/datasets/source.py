"""Source: streams the rows of a queryset, by ranges of its keys, with the objects of nested columns."""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import connections
from django.db.models import Field, QuerySet
from django.db.models.expressions import Col

from exports.datasets.coercion import Typed
from exports.datasets.columns import Column, flat, name_of, values_of
from exports.datasets.key_ranges import KeyRange
from exports.datasets.nested import Nested, Relation
from exports.datasets.streams import CHUNK, Row, RowStream, computed
from exports.errors import DatasetFailed, errors_as

if TYPE_CHECKING:
    from exports.datasets.copying import Copying

OBJECTS = 20_000
"""Objects of one nested column that are held in memory together; pages with more are split."""
MOST_OBJECTS = 100_000
"""Maximum number of objects of one nested column in a single row."""
ORDERED_KEYS = (int, Decimal, date, timedelta)
"""Types of keys that Python and all databases sort in the same order. `date` includes datetime."""


@dataclass(frozen=True)
class KeyedColumn(Column, ABC):
    """A column whose value is computed from the value of its source and the row's primary key."""

    @abstractmethod
    def value_of(self, key: Any, value: Any) -> Any:
        """Return the value to export."""


class Source(RowStream):
    """The rows of one range of keys of a queryset (None: no rows), ordered by key.

    Each CHUNK is a separate query that ends before its first row is yielded. A cursor left open over the whole range
    would hold SQLite's snapshot: after a write by another connection, this connection's own next write (a part's
    progress) would fail with "database is locked", at once and whatever the timeout.
    """

    def __init__(self, rows: QuerySet[Any], columns: Sequence[Column], keys: KeyRange | None) -> None:
        super().__init__(columns)
        self._nested = [(place, slot) for place, slot in enumerate(flat(columns)) if isinstance(slot, Nested)]
        self._keyed = [(place, slot) for place, slot in enumerate(self._slots) if isinstance(slot, KeyedColumn)]
        self._keys = keys
        self._rows = rows
        self._copying: Copying | None = None

    def fields(self) -> list[Field[Any, Any] | None]:
        compiler = values_of(self._rows, self._slots).query.get_compiler(using=self._rows.db)
        compiler.setup_query()
        shown = [expression.target if isinstance(expression, Col) else None for expression, _, _ in compiler.select]
        computed = [slot.function is not None or isinstance(slot, KeyedColumn) for slot in self._slots]
        return [None if other else field for other, field in zip(computed, shown[:-1], strict=True)]

    def copying(self) -> Copying | None:
        in_python = self._nested or self._keyed
        if self._keys is None or in_python or connections[self._rows.db].vendor != "postgresql":
            return None
        from exports.datasets.copying import Copying

        with errors_as(DatasetFailed):
            self._copying = Copying.of(self._rows, self._slots, self._keys, self._count)
        return self._copying

    def close(self) -> None:
        if self._copying is not None:
            self._copying.close()

    def _ranged(self) -> QuerySet[Any]:
        if self._keys is None:
            return self._rows.none()
        return self._rows.filter(pk__gte=self._keys.first, pk__lte=self._keys.last)

    def _pages(self, size: int | None = None) -> Iterator[list[Row]]:
        size = size or CHUNK
        functions = [(place, slot) for place, slot in enumerate(self._slots) if slot.function is not None]
        for rows, keys in self._computed_pages(functions, size) if functions else self._plain_pages(size):
            typed = self._in_types(rows, keys)
            yield from self._with_objects(typed, keys) if self._nested else [typed]

    def _plain_pages(self, size: int) -> Iterator[tuple[list[Row], list[Any]]]:
        """Yield pages of rows, each with the keys of its rows."""
        for page in _by_key(values_of(self._ranged(), self._slots), lambda row: row[-1], size):
            yield [row[:-1] for row in page], [row[-1] for row in page]

    def _computed_pages(
        self, functions: Sequence[tuple[int, Column]], size: int
    ) -> Iterator[tuple[list[Row], list[Any]]]:
        """Yield pages of rows with Python functions. Slower, because it loads model instances."""
        names = list(map(name_of, range(len(self._slots))))
        plain = {name: slot.expression for name, slot in zip(names, self._slots, strict=True) if slot.function is None}
        for page in _by_key(self._ranged().annotate(**plain), lambda instance: instance.pk, size):
            rows = [[getattr(instance, name, None) for name in names] for instance in page]
            for place, slot in functions:
                for row, instance in zip(rows, page, strict=True):
                    row[place] = computed(slot, instance, instance.pk)
            yield [tuple(row) for row in rows], [instance.pk for instance in page]

    def _in_types(self, rows: list[Row], keys: Sequence[Any]) -> list[Row]:
        if self._keyed:
            columns: list[Sequence[Any]] = list(zip(*rows, strict=True))
            for place, slot in self._keyed:
                columns[place] = list(map(slot.value_of, keys, columns[place]))
            rows = list(zip(*columns, strict=True))
        return super()._in_types(rows, keys)

    def _with_objects(self, rows: list[Row], keys: Sequence[Any]) -> Iterator[list[Row]]:
        """Yield the rows with the objects of their nested columns, in smaller pages where the objects are many."""
        found = [self._objects(slot, keys) for _, slot in self._nested]
        if None in found:
            half = len(rows) // 2
            yield from self._with_objects(rows[:half], keys[:half])
            yield from self._with_objects(rows[half:], keys[half:])
            return
        lists = list(map(list, rows))
        for (place, slot), objects in zip(self._nested, found, strict=True):
            for row, key in zip(lists, Typed(slot.bound_relation.key)(keys), strict=True):
                row[place] = objects[key] if objects else []
        yield list(map(tuple, lists))

    def _objects(self, slot: Nested, keys: Sequence[Any]) -> dict[Any, list[Row]] | None:
        """Return the objects of the rows with these keys, by the key's value in the objects' rows, in order.

        Return None if there are more than OBJECTS. Raises DatasetFailed if a single row has more than MOST_OBJECTS.
        """
        relation, most = slot.bound_relation, OBJECTS if len(keys) > 1 else MOST_OBJECTS
        rows = _Objects(relation, keys, self._rows.db).head(most + 1)
        if len(rows) <= most:
            found: dict[Any, list[Row]] = defaultdict(list)
            for key, *values in rows:
                found[key].append(tuple(values))
            return found
        if len(keys) == 1:
            raise DatasetFailed.crowded(slot.label, keys[0], most)
        return None


class _Objects(Source):
    """The rows behind a nested column for rows of the dataset with these keys, each after the key of its parent."""

    def __init__(self, relation: Relation, keys: Sequence[Any], using: str) -> None:
        super().__init__(relation.of_keys(keys, using), [relation.key, *relation.columns], None)

    def _ranged(self) -> QuerySet[Any]:
        return self._rows


def _by_key(rows: QuerySet[Any], key_of: Callable[[Any], Any], size: int) -> Iterator[list[Any]]:
    """Yield pages of `size` rows, each from a query that starts after the last key of the previous page.

    Each query reads one row more than its page holds, so that a repeated key is also found at the end of a page.
    Raises DatasetFailed for a repeated key, and for rows out of order: rows would be lost or duplicated.
    """
    ordered = _ordered_keys(connections[rows.db].vendor)
    page = list(rows[: size + 1])
    while page:
        _require_order(list(map(key_of, page)), ordered)
        more = len(page) > size
        page = page[:size]
        yield page
        page = list(rows.filter(pk__gt=key_of(page[-1]))[: size + 1]) if more else []


def _ordered_keys(vendor: str) -> tuple[type, ...]:
    """Return the types of keys that Python and this database sort in the same order. MariaDB sorts UUIDs in its own."""
    return (*ORDERED_KEYS, UUID) if vendor != "mysql" else ORDERED_KEYS


def _require_order(keys: Sequence[Any], ordered: tuple[type, ...]) -> None:
    """Raise DatasetFailed unless the keys increase. Other types than `ordered`, such as text, only have to differ."""
    compare = operator.lt if isinstance(keys[0], ordered) else operator.ne
    if all(map(compare, keys, keys[1:])):
        return
    one, next_one = next(pair for pair in pairwise(keys) if not compare(*pair))
    if one == next_one:
        raise DatasetFailed from ValueError(f"The primary key {one!r} occurs more than once.")
    raise DatasetFailed from ValueError(f"The primary key {next_one!r} comes after {one!r}: rows are not in order.")
