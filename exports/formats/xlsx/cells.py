"""Cells of a worksheet as bytes of XML, made one column at a time, which is many times faster than one cell at a time.

A number is a numeric cell if a double holds it exactly, else text. Dates outside Excel's calendar are text too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from math import isfinite
from typing import NamedTuple

from exports.formats.values import float_text, for_xml
from exports.formats.xlsx import grid
from exports.formats.xlsx.styles import (
    INTEGER,
    KNOWN,
    MINOR_UNITS,
    PLACES,
    WRAPPED,
    Styles,
    decimal_style,
)

CELL_UNITS = 32_767
"""The longest text of a cell, in UTF-16 code units."""
EXACT_DIGITS = 15
"""Decimal digits that a double preserves."""
CELL = b"<c"
"""The beginning of each cell; its position is inserted after it."""
EMPTY = b"<c/>"
TEXT, TEXT_END = b'<c t="inlineStr"><is><t>', b"</t></is></c>"
SPACED = b'<c t="inlineStr"><is><t xml:space="preserve">'
NUMBER, NUMBER_END = b"<c><v>", b"</v></c>"
TRUTHS = {value: b'<c t="b"><v>%d</v></c>' % value for value in (True, False)}

CONTROLS = bytes(range(32))
SUSPECT = (b" \n", b"\n ", b"_x", b"\xef\xbf")
"""Bytes to look for in texts joined by line feeds: spaces at an edge, a possible escape sequence of Excel, and U+FFFE
and U+FFFF."""
LOOKS_ESCAPED = re.compile("_(?=x[0-9A-Fa-f]{4}_)")

LINE_END = b"&#10;"
LINE_POINTS, MOST_POINTS, LINE_LETTERS = 15, 409, 55

Long = Callable[[str], str]
"""Stores a text that is too long for a cell, and returns a placeholder for the cell."""


class Cells(NamedTuple):
    """The cells of a column: each is `before`, its own bytes, and `after`."""

    before: bytes
    each: Sequence[bytes]
    after: bytes

    def whole(self) -> Sequence[bytes]:
        before, each, after = self
        return [before + cell + after for cell in each] if before else each


def whole(each: Sequence[bytes]) -> Cells:
    return Cells(b"", each, b"")


def lines(columns: Sequence[Cells], first: int) -> bytes:
    """Return the rows of these columns, one per line. `first` is the number of the first data row, from 0, over all
    sheets.
    """
    rows, step = len(columns[0].each), len(columns) * 4 + 3
    numbers = [b"%d" % number for number in grid.numbers(first, rows)]
    pieces = [b""] * (rows * step)
    pieces[::step], pieces[1::step] = [b'<row r="'] * rows, numbers
    between = b'">'
    for place, (before, each, after) in enumerate(columns):
        start = place * 4 + 2
        pieces[start::step] = [between + b'<c r="' + grid.letters(place + 1).encode()] * rows
        pieces[start + 1 :: step] = numbers
        pieces[start + 2 :: step] = [b'"' + before[len(CELL) :]] * rows
        pieces[start + 3 :: step] = each if before else [cell[len(CELL) :] for cell in each]
        between = after
    pieces[step - 1 :: step] = [between + b"</row>\n"] * rows
    made = b"".join(pieces)
    return made if LINE_END not in made else b"".join(map(_with_height, made.splitlines(keepends=True)))


def _with_height(line: bytes) -> bytes:
    """Return the row with a height if it has text of several lines, because programs do not adjust row heights.

    A line of text that is wider than its column is wrapped; columns are about LINE_LETTERS wide.
    """
    if LINE_END not in line:
        return line
    texts = (cell.rpartition(b">")[2].split(LINE_END) for cell in line.split(TEXT_END) if LINE_END in cell)
    needed = max(sum(1 + len(each) // LINE_LETTERS for each in text) for text in texts)
    height = min(needed * LINE_POINTS, MOST_POINTS)
    return line.replace(b'">', b'" ht="%d">' % height, 1)


def escaped(text: bytes) -> bytes:
    """Escape text for XML, including quotes, so that a search for an attribute never matches inside a text."""
    return text.replace(b"&", b"&amp;").replace(b"<", b"&lt;").replace(b">", b"&gt;").replace(b'"', b"&quot;")


def texts(values: Sequence[bytes], long: Long) -> Cells:
    """Return cells for texts in UTF-8. Line ends become LF, and characters that XML forbids become U+FFFD."""
    joined = b"\n".join(values)
    if not _harmless(joined, len(values)) or max(map(len, values)) > CELL_UNITS:
        return whole([text(value, long) for value in values])
    each = escaped(joined).split(b"\n")
    if b"" in each:
        return whole([TEXT + value + TEXT_END if value else EMPTY for value in each])
    return Cells(TEXT, each, TEXT_END)


def _harmless(joined: bytes, count: int) -> bool:
    """Return whether XML and Excel accept these texts unchanged, apart from escaping."""
    controls = len(joined) - len(joined.translate(None, CONTROLS))
    at_edges = joined[:1] == b" " or joined[-1:] == b" "
    return controls == count - 1 and not at_edges and not any(mark in joined for mark in SUSPECT)


def text(value: bytes, long: Long) -> bytes:
    words = for_xml(value.decode().replace("\r\n", "\n").replace("\r", "\n"))
    if not words:
        return EMPTY
    if len(value) > CELL_UNITS and len(words.encode("utf-16-le")) // 2 > CELL_UNITS:
        words = long(words)
    head = SPACED if words != words.strip(" \t\n") else TEXT
    if "\n" in words:  # in a style that shows all lines
        head = CELL + b' s="%d"' % WRAPPED + head[len(CELL) :]
    inner = escaped(LOOKS_ESCAPED.sub("_x005F_", words).encode()).replace(b"\n", LINE_END)
    return head + inner + TEXT_END


def integers(values: Sequence[bytes]) -> Cells:
    if max(map(len, values)) <= EXACT_DIGITS:
        return Cells(INTEGER_HEAD, values, NUMBER_END)
    return whole(
        [
            INTEGER_HEAD + value + NUMBER_END if len(value.lstrip(b"-")) <= EXACT_DIGITS else TEXT + value + TEXT_END
            for value in values
        ]
    )


def floats(values: Sequence[float]) -> Cells:
    """Return numbers with the fewest digits that give the same double. NaN and infinity are text."""
    if all(map(isfinite, values)):
        return Cells(NUMBER, [repr(value).encode() for value in values], NUMBER_END)
    return whole([_float(value) for value in values])


def _float(value: float) -> bytes:
    text = float_text(value).encode()
    return NUMBER + text + NUMBER_END if isfinite(value) else TEXT + text + TEXT_END


class Digits(NamedTuple):
    """Decimals as text, and their decimal places: a single number if all have the same.

    The places are None for a decimal that must be text (see `_is_number`).
    """

    each: Sequence[bytes]
    places: int | Sequence[int | None]


def digits(values: Sequence[bytes]) -> Digits:
    """Return the digits of decimals in any notation."""
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
    return plain.encode(), len(plain.partition(".")[2]) if _is_number(number) else None


def _is_number(number: Decimal) -> bool:
    """Return whether a decimal is a number in its cell, and not text.

    A double must hold it exactly, or at least the digits before the decimal point and three after it. A long fraction,
    such as an average, must not become text, because sums ignore text. The file has all of its digits.
    """
    digits = number.normalize().as_tuple().digits
    if len(digits) <= EXACT_DIGITS:
        return Decimal(repr(float(number))) == number
    return number != number.to_integral_value() and number.adjusted() < EXACT_DIGITS - 3


def decimals(values: Sequence[bytes], long: Long) -> Cells:
    """Return numbers with the decimal places of the values."""
    each, places = digits(values)
    if isinstance(places, int):
        return Cells(head(decimal_style(places)), each, NUMBER_END)
    heads = {place: head(decimal_style(place)) for place in set(places) if place is not None}
    return whole(
        [
            text(value, long) if place is None else heads[place] + value + NUMBER_END
            for value, place in zip(each, places, strict=True)
        ]
    )


def amounts(values: Sequence[bytes], codes: Sequence[bytes], styles: Styles, long: Long) -> Cells:
    """Return amounts as numbers whose number format shows the currency, with the currency's usual decimal places.

    An amount that cannot be a number (see `_is_number`) is text followed by the currency.
    """
    each, places = digits(values)
    rows = [places] * len(each) if isinstance(places, int) else places
    pairs = [(_shown_places(value, place, code), code) for value, place, code in zip(each, rows, codes, strict=True)]
    heads = {pair: _money_head(styles.money(*pair)) for pair in dict.fromkeys(pairs)}
    if all(heads.values()):
        return whole([heads[pair] + value + NUMBER_END for pair, value in zip(pairs, each, strict=True)])
    return whole(
        [
            heads[pair] + value + NUMBER_END if heads[pair] else text(value + b" " + pair[1], long)
            for pair, value in zip(pairs, each, strict=True)
        ]
    )


def _shown_places(value: bytes, places: int | None, code: bytes) -> int | None:
    """Return the decimal places to show for an amount: those of its currency, or all if more of them are not zero.

    A number format shows at most PLACES. The cell also holds any further ones, such as those of a coin with 18 places.
    """
    if places is None:
        return None
    usual = MINOR_UNITS.get(code, 2 if code in KNOWN else places)
    more = places > usual and value[len(value) - places + usual :].strip(b"0")
    return min(places if more else usual, PLACES)


def _money_head(style: int | None) -> bytes:
    return b"" if style is None else head(style)


def head(style: int) -> bytes:
    """Return the start of a number's cell in this style."""
    return b'<c s="%d"><v>' % style if style else NUMBER


INTEGER_HEAD = head(INTEGER)
