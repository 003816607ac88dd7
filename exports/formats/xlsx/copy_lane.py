"""The lane of PostgreSQL's text: plain COPY, whose fields are split and put into cells many at a time.

The server formats nothing but date-times (in the export's zone), which it does many times faster than Python; making
the XML there as well was tried, and took twice the time of both.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from exports.datasets import Column, ColumnType
from exports.datasets.moments import local as local_sql
from exports.formats.values import local
from exports.formats.xlsx import cells
from exports.formats.xlsx.cells import EMPTY, NUMBER_END, TEXT, TEXT_END, TRUTHS, Cells, whole
from exports.formats.xlsx.lanes import Bulk, Desk, Lines, Take, mixed, spread

if TYPE_CHECKING:
    from exports.datasets.copying import Copying

BATCH = 512
"""Rows converted at a time, at least: enough to hide the cost of a batch, little to hold when cells are long."""
NULL = b"\\N"
COPIED_TRUTHS = {b"t": TRUTHS[True], b"f": TRUTHS[False]}
ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
ESCAPES = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
"""What COPY writes behind a backslash; any other character stands for itself."""
UNESCAPED = re.compile(rb"[\b\f\n\r\t\v\\]")
WRITTEN = {character: b"\\" + letter for letter, character in ESCAPES.items()} | {b"\\": b"\\\\"}
ODD = b"~"
"""In front of a date-time that is not in years that spreadsheets have: all of it, with its offset."""
CACHED = 50_000
"""Dates whose number is kept: more than a century of them."""

Amount = tuple[bytes, bytes]


class Copied:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._days, self._minutes = _Days(), _Minutes()
        self._bulk: Mapping[ColumnType, Bulk] = {
            ColumnType.TEXT: lambda values: cells.texts(unescaped(values), desk.long),
            ColumnType.INTEGER: cells.integers,
            ColumnType.DECIMAL: lambda values: cells.decimals(values, desk.long),
            ColumnType.BOOLEAN: lambda values: whole([COPIED_TRUTHS[value] for value in values]),
            ColumnType.DATE: self._dates,
            ColumnType.DATETIME: self._moments,
        }

    def lines(self, copying: Copying, columns: Sequence[Column]) -> Iterator[Lines]:
        kinds = iter(copying.types)
        takes = [self._take(column, kinds) for column in columns]
        fields = [_sql(*each, self._desk.zone) for each in zip(copying.names, copying.types, strict=True)]
        first = self._desk.first
        for blocks in _batches(copying.run(", ".join(fields))):
            values = b"".join(blocks).replace(b"\n", b"\t").split(b"\t")
            slots = iter([values[place : -1 : len(fields)] for place in range(len(fields))])
            yield cells.lines([take(slots) for take in takes], first), len(blocks)
            first += len(blocks)

    def _take(self, column: Column, kinds: Iterator[ColumnType]) -> Take:
        """`kinds` are what the server says of the slots; the column's own are taken from it."""
        bulk = self._bulk[next(kinds)]
        if column.type is ColumnType.MONEY:
            next(kinds)
            return lambda slots: self._amounts(next(slots), next(slots), bulk)
        if column.type is ColumnType.CHOICE:
            ready = {_copied(value): self._text(words) for value, words in column.words.items()} | {NULL: EMPTY}
            return lambda slots: self._choices(next(slots), ready, bulk)
        return lambda slots: _plain(next(slots), bulk)

    def _text(self, words: str) -> bytes:
        return cells.text(words.encode(), self._desk.long)

    def _choices(self, values: Sequence[bytes], ready: Mapping[bytes, bytes], bulk: Bulk) -> Cells:
        try:
            return whole([ready[value] for value in values])
        except KeyError:  # one is no choice
            return whole([ready.get(value) or bulk([value]).whole()[0] for value in values])

    def _amounts(self, values: Sequence[bytes], codes: Sequence[bytes], bulk: Bulk) -> Cells:
        def odd(amount: Amount) -> bytes:
            return _plain([amount[0]], bulk).whole()[0]

        return mixed(list(zip(values, codes, strict=True)), _usual, self._money, odd)

    def _money(self, amounts: Sequence[Amount]) -> Cells:
        values, codes = zip(*amounts, strict=True)
        return cells.amounts(values, unescaped(codes), self._desk.styles, self._desk.long)

    def _dates(self, values: Sequence[bytes]) -> Cells:
        try:
            return Cells(cells.DAY_HEAD, [self._days[value] for value in values], NUMBER_END)
        except ValueError:
            return whole([_odd_date(value) for value in values])

    def _moments(self, values: Sequence[bytes]) -> Cells:
        days, minutes = self._days, self._minutes
        try:
            each = [
                cells.serial(int(days[value[:10]]), minutes[value[11:17]] + round(float(value[17:23]) * 1_000))
                for value in values
            ]
        except ValueError:
            return whole([self._odd_moment(value) for value in values])
        return Cells(cells.MOMENT_HEAD, each, NUMBER_END)

    def _odd_moment(self, value: bytes) -> bytes:
        try:
            if value[:1] == ODD:
                return cells.moment(local(datetime.fromisoformat(value[1:].decode()), self._desk.zone))
            return cells.moment(datetime.fromisoformat(value.decode()))
        except ValueError:  # before year 1, or infinity
            return TEXT + value.removeprefix(ODD) + TEXT_END


class _Days(dict[bytes, bytes]):
    """The day's number of a date, as PostgreSQL writes it. Raises ValueError where it has none."""

    def __missing__(self, key: bytes) -> bytes:
        value = date.fromisoformat(key.decode())
        if len(self) >= CACHED:
            self.clear()
        if value < cells.FIRST_DAY:
            raise ValueError(f"{value} is text: see cells.FIRST_DAY.")
        return self.setdefault(key, b"%d" % cells.day(value))


class _Minutes(dict[bytes, int]):
    """Milliseconds from midnight to a time such as 14:05: without its seconds."""

    def __missing__(self, key: bytes) -> int:
        return self.setdefault(key, (int(key[:2]) * 60 + int(key[3:5])) * 60_000)


def suits(copying: Copying, columns: Sequence[Column]) -> bool:
    """Has the server of each amount a number and a text? What else there may be, Python knows better."""
    kinds = iter(copying.types)
    return all(
        next(kinds).numeric and next(kinds) is ColumnType.TEXT if column.type is ColumnType.MONEY else next(kinds)
        for column in columns
    )


def _batches(arriving: Iterable[list[memoryview]]) -> Iterator[list[memoryview]]:
    """The rows in lists that are long enough."""
    batch: list[memoryview] = []
    for blocks in arriving:
        batch += blocks
        if len(batch) >= BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _plain(values: Sequence[bytes], bulk: Bulk) -> Cells:
    return spread(values, NULL, bulk) if NULL in values else bulk(values)


def unescaped(values: Sequence[bytes]) -> Sequence[bytes]:
    """Texts without the backslashes of COPY."""
    if b"\\" not in b"".join(values):
        return values
    return [ESCAPED.sub(_character, value) if b"\\" in value else value for value in values]


def _character(found: re.Match[bytes]) -> bytes:
    return ESCAPES.get(found[1], found[1])


def _sql(name: str, kind: ColumnType, zone: ZoneInfo) -> str:
    if kind is not ColumnType.DATETIME:
        return name
    usual = f"{name} >= '1900-03-02' AND {name} < '9999-12-30'"
    return f"CASE WHEN {usual} THEN ({local_sql(name, zone)})::text ELSE '{ODD.decode()}' || {name}::text END"


def _copied(value: object) -> bytes:
    """A stored value of a choice, as COPY writes it."""
    if value is None:
        return NULL
    if isinstance(value, bool):
        return b"t" if value else b"f"
    return UNESCAPED.sub(lambda found: WRITTEN[found[0]], str(value).encode())


def _odd_date(value: bytes) -> bytes:
    try:
        return cells.dates([date.fromisoformat(value.decode())]).whole()[0]
    except ValueError:  # before year 1, or infinity
        return TEXT + value + TEXT_END


def _usual(amount: Amount) -> bool:
    value, code = amount
    return value != NULL and code not in (NULL, b"")
