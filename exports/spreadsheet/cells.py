"""Cells of a worksheet: a column of values at a time, and in bytes, which is many times faster than one by one.

A number is a cell's number when a double holds it exactly, else text; so is a date that Excel's calendar does not have.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple
from zoneinfo import ZoneInfo

from exports.formats.values import for_xml, local
from exports.spreadsheet.styles import DAY, MOMENT, Styles, decimal_style

CELL_UNITS = 32_767
"""The longest text of a cell, in UTF-16 code units."""
EXACT_DIGITS = 15
"""A double gives back what has no more digits."""
ZERO = date(1899, 12, 30).toordinal()
"""Day 0 of spreadsheets, for days from 1 March 1900 on: their calendar has a 29 February before it."""
FIRST_DAY = date(1900, 3, 1)
DAY_MS = 86_400_000

EMPTY = b"<c/>"
TEXT, TEXT_END = b'<c t="inlineStr"><is><t>', b"</t></is></c>"
SPACED = b'<c t="inlineStr"><is><t xml:space="preserve">'
NUMBER, NUMBER_END = b"<c><v>", b"</v></c>"
TRUTHS = {value: b'<c t="b"><v>%d</v></c>' % value for value in (True, False)}

CONTROLS = bytes(range(32))
SUSPECT = (b" \n", b"\n ", b"_x", b"\xef\xbf")
"""In texts joined by line ends: spaces at an edge, what may be Excel's escape of a character, U+FFFE and U+FFFF."""
LOOKS_ESCAPED = re.compile("_(?=x[0-9A-Fa-f]{4}_)")

Long = Callable[[str], str]
"""Keeps a text that no cell holds, and returns what stands in the cell instead."""


class Cells(NamedTuple):
    """The cells of a column: each is `before`, its own bytes and `after`."""

    before: bytes
    each: Sequence[bytes]
    after: bytes

    def whole(self) -> Sequence[bytes]:
        before, each, after = self
        return [before + cell + after for cell in each] if before else each


def whole(each: Sequence[bytes]) -> Cells:
    return Cells(b"", each, b"")


def lines(columns: Sequence[Cells]) -> bytes:
    """Rows of these columns, each a line."""
    rows, step = len(columns[0].each), len(columns) * 2 + 1
    pieces = [b""] * (rows * step)
    between = b"<row>"
    for place, (before, each, after) in enumerate(columns):
        pieces[place * 2 :: step] = [between + before] * rows
        pieces[place * 2 + 1 :: step] = each
        between = after
    pieces[step - 1 :: step] = [between + b"</row>\n"] * rows
    return b"".join(pieces)


def escaped(text: bytes) -> bytes:
    return text.replace(b"&", b"&amp;").replace(b"<", b"&lt;").replace(b">", b"&gt;")


def texts(values: Sequence[bytes], long: Long) -> Cells:
    """Text in UTF-8: line ends become LF, what XML cannot hold becomes U+FFFD, all else is kept."""
    joined = b"\n".join(values)
    if not _harmless(joined, len(values)) or max(map(len, values)) > CELL_UNITS:
        return whole([text(value, long) for value in values])
    each = escaped(joined).split(b"\n")
    if b"" in each:
        return whole([TEXT + value + TEXT_END if value else EMPTY for value in each])
    return Cells(TEXT, each, TEXT_END)


def _harmless(joined: bytes, count: int) -> bool:
    """Is there nothing in these texts but what XML and Excel take as it is?"""
    controls = len(joined) - len(joined.translate(None, CONTROLS))
    at_edges = joined[:1] == b" " or joined[-1:] == b" "
    return controls == count - 1 and not at_edges and not any(mark in joined for mark in SUSPECT)


def text(value: bytes, long: Long) -> bytes:
    words = for_xml(value.decode().replace("\r\n", "\n").replace("\r", "\n"))
    if not words:
        return EMPTY
    if len(value) > CELL_UNITS and len(words.encode("utf-16-le")) // 2 > CELL_UNITS:
        words = long(words)
    spaced = words != words.strip(" \t\n")
    inner = escaped(LOOKS_ESCAPED.sub("_x005F_", words).encode()).replace(b"\n", b"&#10;")
    return (SPACED if spaced else TEXT) + inner + TEXT_END


def integers(values: Sequence[bytes]) -> Cells:
    if max(map(len, values)) <= EXACT_DIGITS:
        return Cells(NUMBER, values, NUMBER_END)
    return whole(
        [
            NUMBER + value + NUMBER_END if len(value.lstrip(b"-")) <= EXACT_DIGITS else TEXT + value + TEXT_END
            for value in values
        ]
    )


class Digits(NamedTuple):
    """Decimals as they are written, and how many places each has: one number where all have the same.

    None: no double holds it exactly.
    """

    each: Sequence[bytes]
    places: int | Sequence[int | None]


def digits(values: Sequence[bytes]) -> Digits:
    """Of decimals in any notation."""
    joined = b"\n".join(values)
    if max(map(len, values)) > EXACT_DIGITS or joined.translate(None, b"0123456789.-\n"):
        each, places = zip(*map(_digits, values), strict=True)
        return Digits(each, places)
    points = joined.count(b".")
    if not points:
        return Digits(values, 0)
    ends = {len(value) - value.find(b".") - 1 for value in values}
    if points == len(values) and len(ends) == 1:
        return Digits(values, ends.pop())
    return Digits(values, [len(value) - value.find(b".") - 1 if b"." in value else 0 for value in values])


def _digits(value: bytes) -> tuple[bytes, int | None]:
    number = Decimal(value.decode())
    if not number.is_finite():
        return str(number).encode(), None
    plain = f"{number:f}"
    exact = len(number.normalize().as_tuple().digits) <= EXACT_DIGITS and Decimal(repr(float(number))) == number
    return plain.encode(), len(plain.partition(".")[2]) if exact else None


def decimals(values: Sequence[bytes], long: Long) -> Cells:
    """Numbers with as many places as the decimals have."""
    each, places = digits(values)
    if isinstance(places, int):
        return Cells(_head(decimal_style(places)), each, NUMBER_END)
    heads = {place: _head(decimal_style(place)) for place in set(places) if place is not None}
    return whole(
        [
            text(value, long) if place is None else heads[place] + value + NUMBER_END
            for value, place in zip(each, places, strict=True)
        ]
    )


def amounts(values: Sequence[bytes], codes: Sequence[bytes], styles: Styles, long: Long) -> Cells:
    """Numbers with their currency, in whose number format it stands; text where there is no format for it."""
    each, places = digits(values)
    rows = [places] * len(each) if isinstance(places, int) else places
    pairs = list(zip(rows, codes, strict=True))
    heads = {pair: _money_head(styles.money(*pair)) for pair in set(pairs)}
    if all(heads.values()):
        return whole([heads[pair] + value + NUMBER_END for pair, value in zip(pairs, each, strict=True)])
    return whole(
        [
            heads[pair] + value + NUMBER_END if heads[pair] else text(value + b" " + pair[1], long)
            for pair, value in zip(pairs, each, strict=True)
        ]
    )


def _money_head(style: int | None) -> bytes:
    return b"" if style is None else _head(style)


def _head(style: int) -> bytes:
    return b'<c s="%d"><v>' % style if style else NUMBER


def dates(values: Sequence[date]) -> Cells:
    """Days, as spreadsheets count them."""
    if min(values) >= FIRST_DAY:
        return Cells(DAY_HEAD, [b"%d" % (value.toordinal() - ZERO) for value in values], NUMBER_END)
    return whole([_date(value) for value in values])


def _date(value: date) -> bytes:
    if value.year < 1900:
        return TEXT + value.isoformat().encode() + TEXT_END
    return DAY_HEAD + b"%d" % day(value) + NUMBER_END


def day(value: date) -> int:
    days = value.toordinal() - ZERO
    return days if days > 60 else days - 1


def moments(values: Sequence[datetime], zone: ZoneInfo) -> Cells:
    """Date-times in `zone`, to the millisecond."""
    return whole([moment(local(value, zone)) for value in values])


def moment(value: datetime) -> bytes:
    if value.year < 1900:
        return TEXT + value.isoformat().encode() + TEXT_END
    ms = ((value.hour * 60 + value.minute) * 60 + value.second) * 1000 + value.microsecond // 1000
    return MOMENT_HEAD + b"%d" % day(value) + fraction(ms) + NUMBER_END


def fraction(ms: int) -> bytes:
    """The part of a day that `ms` is. Ten places, which with the day are the fifteen digits that Excel compares."""
    return b".%010d" % ((ms * 10**10 + DAY_MS // 2) // DAY_MS)


DAY_HEAD, MOMENT_HEAD = _head(DAY), _head(MOMENT)
