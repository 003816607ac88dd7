"""Localized texts of values in the active language, converted one column of a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal, localcontext
from functools import lru_cache
from typing import Any
from unicodedata import bidirectional
from zoneinfo import ZoneInfo

from django.utils.formats import date_format, get_format, number_format
from django.utils.translation import get_language_bidi, gettext

from exports.datasets import Column, ColumnType, Row, flat
from exports.formats.values import REPLACED, Convert, Writers, converters, duration, for_xml, local

DAYS = 8_192
"""Maximum number of cached date texts."""
DIGITS = 1_100
"""Precision of sums in digits. It makes any sum of floats exact, so the order of adding does not matter."""
NO_BREAK = "\u00a0"
LRM, RTL = "\u200e", {"R", "AL", "AN", "RLE", "RLO", "RLI", "FSI"}
"""The left-to-right mark, and the bidirectional classes of right-to-left characters."""

ENDS = dict.fromkeys(range(127, 160), REPLACED) | dict.fromkeys(map(ord, "\x85\u2028\u2029"), "\n")


def clean(text: str) -> str:
    """Replace control characters in `text`, and turn line separators into line feeds: WeasyPrint fails on others."""
    return text if text.isprintable() else for_xml(text).translate(ENDS)


def directed(text: str) -> str:
    """Return the `clean` text for a right-to-left page, with marks around each line if its letters are left-to-right.

    Without the marks, punctuation and digits at the ends would move to the other side: "v1.0." would become ".v1.0".
    """
    text = clean(text)
    kinds = set(map(bidirectional, text))
    return "\n".join(f"{LRM}{line}{LRM}" for line in text.split("\n")) if "L" in kinds and not kinds & RTL else text


class Words:
    """Converter of rows to text. Calling it with rows returns the texts of each column.

    Integers are not grouped, because they may be order numbers or years. The two slots of MONEY become one text.
    """

    def __init__(self, columns: Sequence[Column], zone: ZoneInfo) -> None:
        self._slots = len(flat(columns))
        converts = iter(converters(flat(columns), self._writers(zone), none="", words=True))
        self._writes = [self._write(column, converts) for column in columns]

    def __call__(self, rows: Sequence[Row]) -> list[Sequence[str]]:
        slots = iter(zip(*rows, strict=True) if rows else [()] * self._slots)
        return [write(slots) for write in self._writes]

    def _write(self, column: Column, converts: Iterator[Convert[str]]) -> Callable[[Iterator[Any]], Sequence[str]]:
        """Return a function that takes the slots of `column` from an iterator and returns its texts."""
        first = next(converts)
        if column.type is not ColumnType.MONEY:
            return lambda slots: first(next(slots))
        second = next(converts)
        return lambda slots: _with_currency(first(next(slots)), second(next(slots)))

    def _writers(self, zone: ZoneInfo) -> Writers[str]:
        day = lru_cache(DAYS)(lambda value: str(date_format(value, "SHORT_DATE_FORMAT")))

        def moment(value: datetime) -> str:
            value = local(value, zone)
            return f"{day(value.date())} {value.hour:02}:{value.minute:02}"

        decimal = decimals()
        return {
            str: directed if get_language_bidi() else clean,
            int: str,
            Decimal: decimal,
            float: lambda value: decimal(Decimal(repr(value))),
            bool: {True: gettext("Yes"), False: gettext("No")}.__getitem__,
            date: day,
            datetime: moment,
            time: time.isoformat,
            timedelta: duration,
        }


def _with_currency(amounts: Sequence[str], codes: Sequence[str]) -> list[str]:
    return [
        f"{amount}{NO_BREAK}{code}" if amount and code else amount for amount, code in zip(amounts, codes, strict=True)
    ]


def decimals() -> Callable[[Decimal], str]:
    """Return a faster equivalent of `number_format(value, force_grouping=True)` for the active language."""
    mark, space = str(get_format("DECIMAL_SEPARATOR")), str(get_format("THOUSAND_SEPARATOR"))
    grouping = get_format("NUMBER_GROUPING")
    usual = grouping == 3
    table = {ord(","): space, ord("."): mark}
    same = (mark, space) == (".", ",")

    def write(value: Decimal) -> str:
        if not value.is_finite():
            return str(value)
        if not usual or value.adjusted() > 50 or value.as_tuple()[2] < -50:  # type: ignore[operator]
            return str(number_format(value, force_grouping=True))
        text = f"{value:,f}"
        return text if same else text.translate(table)

    return write


def moment(value: datetime, zone: ZoneInfo) -> str:
    """Return a localized date with a 24-hour time, which is shorter than "a.m." and sorts."""
    value = local(value, zone)
    return f"{date_format(value, 'SHORT_DATE_FORMAT')} {value:%H:%M} ({zone.key})"


class Totals:
    """Sums of the columns with `total`, one per currency for MONEY."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._places: list[tuple[str, int, bool]] = []
        slot = 0
        for column in columns:
            if column.total:
                self._places.append((column.name, slot, column.type is ColumnType.MONEY))
            slot += len(column.slots)
        self.sums: dict[str, dict[str, Decimal]] = {name: {} for name, *_ in self._places}

    def add(self, rows: Sequence[Row]) -> None:
        with localcontext(prec=DIGITS):
            for name, slot, money in self._places:
                sums, values = self.sums[name], [row[slot] for row in rows]
                codes = [row[slot + 1] or "" for row in rows] if money else [""]
                if len(set(codes)) == 1 and set(map(type, values)) == {Decimal}:
                    _add(sums, codes[0], sum(values))  # the common case
                else:
                    for value, code in zip(values, codes if money else codes * len(values), strict=True):
                        _add(sums, code, value)

    @property
    def meta(self) -> dict[str, dict[str, str]]:
        return {name: {code: str(amount) for code, amount in sums.items()} for name, sums in self.sums.items()}

    def merge(self, metas: Iterable[dict[str, dict[str, str]]]) -> None:
        with localcontext(prec=DIGITS):
            for meta in metas:
                for name, sums in meta.items():
                    for code, amount in sums.items():
                        _add(self.sums[name], code, Decimal(amount))

    def words(self, columns: Sequence[Column]) -> list[tuple[str, str]]:
        """Return pairs of column label and formatted sum, one per currency."""
        write = decimals()
        labels = {column.name: clean(str(column.label)) for column in columns}
        return [
            (labels[name], write(amount) + (f"{NO_BREAK}{clean(code)}" if code else ""))
            for name, sums in self.sums.items()
            for code, amount in sorted(sums.items())
        ]


def _add(sums: dict[str, Decimal], code: Any, amount: Any) -> None:
    if isinstance(amount, float):
        amount = Decimal(repr(amount))
    if isinstance(amount, int | Decimal) and Decimal(amount).is_finite():
        sums[str(code)] = sums.get(str(code), Decimal()) + amount
