"""From database values to what a format writes: a column of a batch at a time, so that a usual cell costs one call.

A format says once, in a `Writers` table, how it writes each of nine Python types; everything else a database may give
is turned into one of the nine first.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from itertools import islice
from math import isfinite
from types import NoneType
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from exports.datasets import Column, ColumnType, Row, Source
from exports.datasets.copying import Copying

T = TypeVar("T")
Writers = Mapping[type, Callable[[Any], T]]
"""How a format writes str, int, Decimal, float, bool, date, datetime, time and timedelta."""
Convert = Callable[[Sequence[Any]], Sequence[T]]
"""A column's values of one batch to what is written."""

BATCH = 256
"""Rows converted at a time: enough to hide the cost of a batch, little to hold when cells are long."""

REPLACED = "�"
PYTHON: dict[ColumnType, type] = {
    ColumnType.TEXT: str,
    ColumnType.INTEGER: int,
    ColumnType.DECIMAL: Decimal,
    ColumnType.FLOAT: float,
    ColumnType.BOOLEAN: bool,
    ColumnType.CHOICE: str,
    ColumnType.NULL: str,
    ColumnType.DATE: date,
    ColumnType.DATETIME: datetime,
    ColumnType.TIME: time,
    ColumnType.DURATION: timedelta,
}

EXACT = frozenset(PYTHON.values())
PLAIN: Sequence[tuple[type | tuple[type, ...], Callable[[Any], Any]]] = (
    (Enum, lambda value: as_plain(value.value)),
    (int, int),
    (float, float),
    (Decimal, Decimal),
    (str, str.__str__),
    (datetime, lambda value: datetime.combine(value.date(), value.timetz())),
    (date, lambda value: date.fromordinal(value.toordinal())),
    (time, lambda value: time(value.hour, value.minute, value.second, value.microsecond, value.tzinfo)),
    (timedelta, lambda value: timedelta(value.days, value.seconds, value.microseconds)),
    ((bytes, bytearray, memoryview), lambda value: bytes(value).hex()),
    ((dict, list, tuple), lambda value: json.dumps(value, ensure_ascii=False, default=str)),
    (object, str),
)
"""What a value of another type is turned into; the first line that fits."""

NOT_IN_UTF8 = re.compile("[\ud800-\udfff]")
NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """`rows` in lists of up to BATCH; a Source's own lists as they are."""
    if isinstance(rows, Source):
        yield from rows.batches()
        return
    source = iter(rows)
    while batch := list(islice(source, BATCH)):
        yield batch


def copying_of(rows: Iterable[Row]) -> Copying | None:
    """PostgreSQL's own formatting of `rows`, where they come from it and Python would write the very same."""
    return rows.copying() if isinstance(rows, Source) else None


def converters(slots: Sequence[Column], writers: Writers[T], none: T, *, words: bool = False) -> list[Convert[T]]:
    """For each slot the fastest function that writes its values with `writers`, and None as `none`.

    `words` writes a CHOICE in words, where there are words for it, instead of the stored value.
    """
    return [
        _worded(slot.words, writers, none)
        if words and slot.type is ColumnType.CHOICE
        else _converter(slot.type, writers, none)
        for slot in slots
    ]


def convert(batch: Sequence[Row], converts: Sequence[Convert[T]]) -> Iterator[tuple[T, ...]]:
    """The rows of `batch`, written: columns first, then turned back into rows."""
    return zip(*[apply(values) for apply, values in zip(converts, zip(*batch, strict=True), strict=True)], strict=True)


def _converter(kind: ColumnType, writers: Writers[T], none: T) -> Convert[T]:
    expected = PYTHON[kind]
    write = writers[expected]
    usual, usual_or_none = {expected}, {expected, NoneType}

    def any_type(value: Any) -> T:
        plain = truth(value) if expected is bool else as_plain(value)
        if expected is Decimal and type(plain) is float:
            plain = Decimal(repr(plain))
        return writers[type(plain)](plain)

    def column(values: Sequence[Any]) -> Sequence[T]:
        types = set(map(type, values))
        if types == usual:
            return list(map(write, values))
        if types <= usual_or_none:
            return [none if value is None else write(value) for value in values]
        return [none if value is None else any_type(value) for value in values]

    return column


def _worded(words: Mapping[Any, str], writers: Writers[T], none: T) -> Convert[T]:
    class Written(dict[Any, T]):
        """What stands for each stored value; one without words is written as it is."""

        def __missing__(self, value: Any) -> T:
            return write_any(value, writers, none)

    written = Written({value: writers[str](text) for value, text in words.items() if value is not None})
    return lambda values: list(map(written.__getitem__, values))


def write_any(value: Any, writers: Writers[T], none: T) -> T:
    """One value of any type, written."""
    if value is None:
        return none
    plain = as_plain(value)
    return writers[type(plain)](plain)


def truth(value: Any) -> Any:
    """SQLite gives 0 and 1 for the truth of an expression."""
    return bool(value) if type(value) is int and value in (0, 1) else as_plain(value)


def as_plain(value: Any) -> Any:
    """`value` as exactly one of the nine types that formats write; str when nothing else fits."""
    if type(value) in EXACT:
        return value
    return next(change for kind, change in PLAIN if isinstance(value, kind))(value)


def float_text(value: float) -> str:
    """The shortest digits that give back the same float; NaN, Infinity or -Infinity as Decimal writes them."""
    return repr(value) if isfinite(value) else str(Decimal(value))


def moment(zone: ZoneInfo) -> Callable[[datetime], str]:
    """Writes date-times in `zone` as ISO 8601 with the offset.

    One without a zone stays without. Where local time has an offset that ISO 8601 cannot say (seconds, in the 19th
    century) or a year outside 1 to 9999, UTC is written.
    """

    def write(value: datetime) -> str:
        text = local(value, zone).isoformat()
        if text[-6] == ":":  # as in +00:53:28
            return value.isoformat()
        return text

    return write


def local(value: datetime, zone: ZoneInfo) -> datetime:
    """`value` in `zone`; as it is when it has no zone, or when the calendar ends before the zone's day begins."""
    if value.tzinfo is None:
        return value
    try:
        return value.astimezone(zone)
    except OverflowError:
        return value


def encode(text: str) -> bytes:
    """UTF-8, with U+FFFD for each lone surrogate."""
    try:
        return text.encode()
    except UnicodeEncodeError:  # Python's own "replace" would write question marks
        return NOT_IN_UTF8.sub(REPLACED, text).encode()


def for_xml(text: str) -> str:
    """`text` with U+FFFD for each character that XML cannot hold: most control characters and lone surrogates."""
    if text.isprintable():  # true of most cells, and much faster than the search
        return text
    return NOT_IN_XML.sub(REPLACED, text)
