"""The COPY lane: splits the text of PostgreSQL's plain COPY into fields and makes cells of them in bulk.

The server only converts date-times to the export's zone, many times faster than Python. Making the XML on the server as
well was tried, and took twice the total time.
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
from exports.formats.xlsx import cells, dates
from exports.formats.xlsx.cells import EMPTY, NUMBER_END, TEXT, TEXT_END, TRUTHS, Cells, whole
from exports.formats.xlsx.lanes import Bulk, LaneContext, Lines, Take, mixed, spread

if TYPE_CHECKING:
    from exports.datasets.copying import Copying

BATCH = 512
"""Minimum rows per batch: enough to amortize the cost of a batch, few enough to fit in memory if cells are long."""
NULL = b"\\N"
COPIED_TRUTHS = {b"t": TRUTHS[True], b"f": TRUTHS[False]}
ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
ESCAPES = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
"""Characters by the letter that COPY writes after a backslash. Any other character stands for itself."""
UNESCAPED = re.compile(rb"[\b\f\n\r\t\v\\]")
WRITTEN = {character: b"\\" + letter for letter, character in ESCAPES.items()} | {b"\\": b"\\\\"}
OUT_OF_RANGE = b"~"
"""Prefix of a date-time outside the calendar of spreadsheets. It is followed by the full text with the offset."""
CACHED = 50_000
"""Maximum number of cached dates: more than a century."""

Amount = tuple[bytes, bytes]


class CopyLane:
    """Makes cells from the text of COPY."""

    def __init__(self, context: LaneContext) -> None:
        self._context = context
        self._days, self._minutes = _Days(), _Minutes()
        self._bulk: Mapping[ColumnType, Bulk] = {
            ColumnType.TEXT: lambda values: cells.texts(unescaped(values), context.long),
            ColumnType.INTEGER: cells.integers,
            ColumnType.DECIMAL: lambda values: cells.decimals(values, context.long),
            ColumnType.BOOLEAN: lambda values: whole([COPIED_TRUTHS[value] for value in values]),
            ColumnType.DATE: self._dates,
            ColumnType.DATETIME: self._moments,
        }

    def lines(self, copying: Copying, columns: Sequence[Column]) -> Iterator[Lines]:
        kinds = iter(copying.types)
        takes = [self._take(place, column, kinds) for place, column in enumerate(columns)]
        fields = [_sql(*each, self._context.zone) for each in zip(copying.names, copying.types, strict=True)]
        first = self._context.first
        for blocks in _batches(copying.run(", ".join(fields))):
            values = b"".join(blocks).replace(b"\n", b"\t").split(b"\t")
            self._context.links.first = first
            slots = iter([values[place : -1 : len(fields)] for place in range(len(fields))])
            yield cells.lines([take(slots) for take in takes], first), len(blocks)
            first += len(blocks)

    def _take(self, place: int, column: Column, kinds: Iterator[ColumnType]) -> Take:
        """Return a function that makes the column's cells. `kinds` yields the server's types of the remaining slots."""
        bulk = self._bulk[next(kinds)]
        if column.type.linked:
            return lambda slots: self._context.links.cells(place, column.type, _texts(next(slots)))
        if column.type is ColumnType.MONEY:
            next(kinds)
            return lambda slots: self._amounts(next(slots), next(slots), bulk)
        if column.type is ColumnType.CHOICE:
            ready = {_as_copied(value): self._text(words) for value, words in column.words.items()} | {NULL: EMPTY}
            return lambda slots: self._choices(next(slots), ready, bulk)
        return lambda slots: _plain(next(slots), bulk)

    def _text(self, words: str) -> bytes:
        return cells.text(words.encode(), self._context.long)

    def _choices(self, values: Sequence[bytes], ready: Mapping[bytes, bytes], bulk: Bulk) -> Cells:
        try:
            return whole([ready[value] for value in values])
        except KeyError:  # a value that is not a choice
            return whole([ready.get(value) or bulk([value]).whole()[0] for value in values])

    def _amounts(self, values: Sequence[bytes], codes: Sequence[bytes], bulk: Bulk) -> Cells:
        def fallback(amount: Amount) -> bytes:
            return _plain([amount[0]], bulk).whole()[0]

        return mixed(list(zip(values, codes, strict=True)), _usual, self._money, fallback)

    def _money(self, amounts: Sequence[Amount]) -> Cells:
        values, codes = zip(*amounts, strict=True)
        return cells.amounts(values, unescaped(codes), self._context.styles, self._context.long)

    def _dates(self, values: Sequence[bytes]) -> Cells:
        try:
            return Cells(dates.DAY_HEAD, [self._days[value] for value in values], NUMBER_END)
        except ValueError:
            return whole([_fallback_date(value) for value in values])

    def _moments(self, values: Sequence[bytes]) -> Cells:
        days, minutes = self._days, self._minutes
        try:
            each = [
                dates.serial(int(days[value[:10]]), minutes[value[11:17]] + round(float(value[17:23]) * 1_000))
                for value in values
            ]
        except ValueError:
            return whole([self._fallback_moment(value) for value in values])
        return Cells(dates.MOMENT_HEAD, each, NUMBER_END)

    def _fallback_moment(self, value: bytes) -> bytes:
        try:
            if value[:1] == OUT_OF_RANGE:
                return dates.moment(local(datetime.fromisoformat(value[1:].decode()), self._context.zone))
            return dates.moment(datetime.fromisoformat(value.decode()))
        except ValueError:  # before year 1, or infinity
            return TEXT + value.removeprefix(OUT_OF_RANGE) + TEXT_END


class _Days(dict[bytes, bytes]):
    """Day numbers by date, as PostgreSQL writes it. Raises ValueError for a date without a number."""

    def __missing__(self, key: bytes) -> bytes:
        value = date.fromisoformat(key.decode())
        if len(self) >= CACHED:
            self.clear()
        if value < dates.FIRST_DAY:
            raise ValueError(f"{value} is before dates.FIRST_DAY and must be text.")
        return self.setdefault(key, b"%d" % dates.day(value))


class _Minutes(dict[bytes, int]):
    """Milliseconds since midnight, by time such as 14:05."""

    def __missing__(self, key: bytes) -> int:
        return self.setdefault(key, (int(key[:2]) * 60 + int(key[3:5])) * 60_000)


def suits(copying: Copying, columns: Sequence[Column]) -> bool:
    """Return whether the lane supports these columns: each amount must be a number and a text on the server."""
    kinds = iter(copying.types)
    return all(
        next(kinds).numeric and next(kinds) is ColumnType.TEXT if column.type is ColumnType.MONEY else next(kinds)
        for column in columns
    )


def _batches(arriving: Iterable[list[memoryview]]) -> Iterator[list[memoryview]]:
    """Yield the rows in lists of at least BATCH; the last list may be shorter."""
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


def _texts(values: Sequence[bytes]) -> list[bytes | None]:
    """Return the texts without the escapes of COPY, and None for NULL."""
    return [None if value == NULL else text for value, text in zip(values, unescaped(values), strict=True)]


def unescaped(values: Sequence[bytes]) -> Sequence[bytes]:
    """Return the texts without the escapes of COPY."""
    if b"\\" not in b"".join(values):
        return values
    return [ESCAPED.sub(_character, value) if b"\\" in value else value for value in values]


def _character(found: re.Match[bytes]) -> bytes:
    return ESCAPES.get(found[1], found[1])


def _sql(name: str, kind: ColumnType, zone: ZoneInfo) -> str:
    if kind is not ColumnType.DATETIME:
        return name
    usual = f"{name} >= '1900-03-02' AND {name} < '9999-12-30'"
    return f"CASE WHEN {usual} THEN ({local_sql(name, zone)})::text ELSE '{OUT_OF_RANGE.decode()}' || {name}::text END"


def _as_copied(value: object) -> bytes:
    """Return a stored value of a choice, as COPY writes it."""
    if value is None:
        return NULL
    if isinstance(value, bool):
        return b"t" if value else b"f"
    return UNESCAPED.sub(lambda found: WRITTEN[found[0]], str(value).encode())


def _fallback_date(value: bytes) -> bytes:
    try:
        return dates.dates([date.fromisoformat(value.decode())]).whole()[0]
    except ValueError:  # before year 1, or infinity
        return TEXT + value + TEXT_END


def _usual(amount: Amount) -> bool:
    value, code = amount
    return value != NULL and code not in (NULL, b"")
