"""The Python lane: converts a column of one type in bulk, and other columns value by value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from types import NoneType
from typing import Any

from exports.datasets import Column, ColumnType, Row
from exports.datasets.coercion import Typed
from exports.datasets.marked import Marked
from exports.formats.values import PYTHON, as_plain, batches, encode
from exports.formats.xlsx import cells, dates
from exports.formats.xlsx.cells import EMPTY, TRUTHS, Cells, whole
from exports.formats.xlsx.lanes import Bulk, LaneContext, Lines, Take, mixed, spread

Amount = tuple[Any, Any]
"""A value and its currency."""


class PythonLane:
    """Makes cells from Python values."""

    def __init__(self, context: LaneContext) -> None:
        self._context = context
        self._bulk: Mapping[type, Bulk] = {
            str: lambda values: cells.texts([encode(value) for value in values], context.long),
            int: lambda values: cells.integers([b"%d" % value for value in values]),
            Decimal: lambda values: cells.decimals([str(value).encode() for value in values], context.long),
            float: cells.floats,
            bool: lambda values: whole([TRUTHS[value] for value in values]),
            date: dates.dates,
            datetime: lambda values: dates.moments(values, context.zone),
            time: dates.times,
            timedelta: dates.durations,
        }

    def lines(self, rows: Iterable[Row], columns: Sequence[Column]) -> Iterator[Lines]:
        takes = [self._take(place, column) for place, column in enumerate(columns)]
        first = self._context.first
        for batch in batches(rows):
            slots = iter(zip(*batch, strict=True))
            self._context.links.first = first
            yield cells.lines([take(slots) for take in takes], first), len(batch)
            first += len(batch)

    def _take(self, place: int, column: Column) -> Take:
        if column.type.linked:
            return self._links(place, column)
        if column.type is ColumnType.MONEY:
            return lambda slots: self._amounts(next(slots), next(slots))
        if column.type is ColumnType.CHOICE:
            ready = {value: self._any(words) for value, words in (*column.words.items(), (None, None))}
            return lambda slots: self._choices(next(slots), ready)
        return lambda slots: self._plain(next(slots), PYTHON[column.type])

    def _links(self, place: int, column: Column) -> Take:
        typed, links = Typed(column), self._context.links

        def take(slots: Iterator[Sequence[Any]]) -> Cells:
            values = (None if value is None else encode(value) for value in typed(next(slots)))
            return links.cells(place, column.type, values)

        return take

    def _plain(self, values: Sequence[Any], expected: type) -> Cells:
        types = set(map(type, values))
        kinds = types - {NoneType}
        bulk = self._bulk_of(kinds.pop()) if len(kinds) == 1 else None
        if bulk is None or (expected is bool and bool not in types):
            return whole([self._any(value, expected) for value in values])
        return spread(values, None, bulk) if NoneType in types else bulk(values)

    def _bulk_of(self, kind: type) -> Bulk | None:
        return self._bulk.get(str if issubclass(kind, Marked) else kind)

    def _any(self, value: Any, expected: type = str) -> bytes:
        if value is None:
            return EMPTY
        truth = expected is bool and type(value) is int and value in (0, 1)  # SQLite returns these for expressions
        plain = bool(value) if truth else as_plain(value)
        return self._bulk[type(plain)]([plain]).whole()[0]

    def _choices(self, values: Sequence[Any], ready: Mapping[Any, bytes]) -> Cells:
        try:
            return whole([ready[value] for value in values])
        except (KeyError, TypeError):  # a value that is not a choice, or not hashable
            return whole([self._choice(value, ready) for value in values])

    def _choice(self, value: Any, ready: Mapping[Any, bytes]) -> bytes:
        try:
            return ready[value]
        except (KeyError, TypeError):
            return self._any(value)

    def _amounts(self, values: Sequence[Any], codes: Sequence[Any]) -> Cells:
        return mixed(list(zip(values, codes, strict=True)), _usual, self._money, self._amount)

    def _money(self, amounts: Sequence[Amount]) -> Cells:
        values = [str(value).encode() for value, _ in amounts]
        return cells.amounts(values, [encode(code) for _, code in amounts], self._context.styles, self._context.long)

    def _amount(self, amount: Amount) -> bytes:
        value, code = amount
        plain = None if value is None else as_plain(value)
        if type(plain) in (int, Decimal) and code not in (None, ""):
            return self._money([(plain, str(code))]).whole()[0]
        return self._any(plain)


def _usual(amount: Amount) -> bool:
    value, code = amount
    return type(value) is Decimal and type(code) is str and code != ""
