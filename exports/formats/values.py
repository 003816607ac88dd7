"""Conversion of database values to a format's cells, one column of a batch at a time: one call per usual cell.

A format declares in a `Writers` table how it writes each of nine Python types and, if it treats them in its own way,
marked texts such as JSON (`exports.datasets.marked`). A column's values have the type of the column's declaration. Rows
that do not come from a dataset are first converted to these types, as a dataset's rows are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum
from itertools import islice
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from exports.datasets import Column, ColumnType, Row, RowStream
from exports.datasets.coercion import CONVERTERS, PLAIN, Typed
from exports.datasets.coercion import PYTHON as PYTHON  # noqa: PLC0414 - formats import it from here
from exports.datasets.copying import Copying
from exports.datasets.texts import float_text as float_text  # noqa: PLC0414

T = TypeVar("T")
Writers = Mapping[type, Callable[[Any], T]]
"""Functions that write str, int, Decimal, float, bool, date, datetime, time and timedelta, by type.

Marked texts have the writer of str unless the table has one for them."""
Convert = Callable[[Sequence[Any]], Sequence[T]]
"""Converts one batch of a column's values to their written form."""

BATCH = 256
"""Rows converted at a time: enough to amortize the cost of a batch, few enough to fit in memory if cells are long."""

REPLACED = "�"
NOT_IN_UTF8 = re.compile("[\ud800-\udfff]")
NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Yield `rows` in lists of up to BATCH. The lists of a RowStream are passed through."""
    if isinstance(rows, RowStream):
        yield from rows.batches()
        return
    source = iter(rows)
    while batch := list(islice(source, BATCH)):
        yield batch


def copying_of(rows: Iterable[Row]) -> Copying | None:
    """Return the COPY of `rows` if they come from PostgreSQL and its text equals that of Python, else None."""
    return rows.copying() if isinstance(rows, RowStream) else None


def converters(slots: Sequence[Column], writers: Writers[T], none: T, *, words: bool = False) -> list[Convert[T]]:
    """Return, for each slot, the fastest function that writes its values with `writers`, and None as `none`.

    `words` writes the label of a CHOICE, if it has one, instead of the stored value.
    """
    return [
        (_worded if words and slot.type is ColumnType.CHOICE else _converter)(slot, writers, none) for slot in slots
    ]


def convert(batch: Sequence[Row], converts: Sequence[Convert[T]]) -> Iterator[tuple[T, ...]]:
    """Yield the converted rows of `batch`. The conversion works on columns, which are then turned back into rows."""
    return zip(*[apply(values) for apply, values in zip(converts, zip(*batch, strict=True), strict=True)], strict=True)


def _converter(slot: Column, writers: Writers[T], none: T) -> Convert[T]:
    typed = Typed(slot)
    write = _writer(writers, typed.python)
    usual = {typed.python}

    def column(values: Sequence[Any]) -> Sequence[T]:
        if set(map(type, values)) == usual:
            return list(map(write, values))
        return [none if value is None else write(value) for value in typed(values)]

    return column


def _writer(writers: Writers[T], python: type) -> Callable[[Any], T]:
    """Return the function that writes this type. A marked text that the format does not know is written as text."""
    return next(writers[kind] for kind in python.__mro__ if kind in writers)


def _worded(slot: Column, writers: Writers[T], none: T) -> Convert[T]:
    typed = Typed(slot)
    write = writers[typed.python]

    class Written(dict[Any, T]):
        """The written form of each stored value: its label, or the value itself if it has no label."""

        def __missing__(self, value: Any) -> T:
            [stored] = typed([value])
            return self[stored] if stored in self else write(stored)

    written = Written({value: writers[str](text) for value, text in slot.words.items()} | {None: none})

    def column(values: Sequence[Any]) -> Sequence[T]:
        try:
            return list(map(written.__getitem__, values))
        except TypeError:  # rows that do not come from a dataset may have unhashable values, such as lists
            return list(map(written.__getitem__, typed(values)))

    return column


def as_plain(value: Any) -> Any:
    """Return `value` as exactly one of the nine types that formats write; as text if no other type fits."""
    if type(value) in PLAIN:
        return value
    if isinstance(value, Enum):
        return as_plain(value.value)
    kind = next((kind for kind in PLAIN if isinstance(value, kind)), str)
    return CONVERTERS[kind](value)


def moment(zone: ZoneInfo) -> Callable[[datetime], str]:
    """Return a function that writes date-times in `zone` as ISO 8601 with the offset.

    Naive date-times stay naive. UTC is written if the local time has an offset that ISO 8601 cannot express (with
    seconds, as in the 19th century), or a year outside 1 to 9999.
    """

    def write(value: datetime) -> str:
        text = local(value, zone).isoformat()
        if text[-6] == ":":  # as in +00:53:28
            return value.isoformat()
        return text

    return write


def local(value: datetime, zone: ZoneInfo) -> datetime:
    """Return `value` in `zone`; unchanged if it is naive, or if its local time is outside Python's calendar."""
    if value.tzinfo is None:
        return value
    try:
        return value.astimezone(zone)
    except OverflowError:
        return value


def duration(value: timedelta) -> str:
    """Return hours, minutes and seconds with a sign: "-30:00:00", not "-2 days, 18:00:00"."""
    left = abs(value)
    hours, rest = divmod(left, timedelta(hours=1))
    minutes, rest = divmod(rest, timedelta(minutes=1))
    fraction = f".{rest.microseconds:06}" if rest.microseconds else ""
    return f"{'-' if value < timedelta() else ''}{hours}:{minutes:02}:{rest.seconds:02}{fraction}"


def encode(text: str) -> bytes:
    """Encode `text` as UTF-8, with U+FFFD for each lone surrogate."""
    try:
        return text.encode()
    except UnicodeEncodeError:  # Python's own "replace" would write question marks
        return NOT_IN_UTF8.sub(REPLACED, text).encode()


def for_xml(text: str) -> str:
    """Return `text` with U+FFFD for each character that XML forbids: most control characters and lone surrogates."""
    if text.isprintable():  # true of most cells, and much faster than the search
        return text
    return NOT_IN_XML.sub(REPLACED, text)
