"""Column widths of a table, computed from its texts, and the number of columns that fit on a page."""

from __future__ import annotations

from collections.abc import Sequence
from unicodedata import east_asian_width

from exports.datasets import Column, ColumnType
from exports.datasets.coercion import PYTHON
from exports.formats.pdf.localize import NO_BREAK

NARROWEST, SHORT, WIDEST, PADDING = 4, 16, 34, 2
"""In characters. A column of at most SHORT gets its full width; wider ones wrap, and shrink if the page is full."""
SHEETS = {"A4": (118, 176), "letter": (122, 164), "A3": (176, 254)}
"""Characters per line on each paper in portrait and landscape, at the font size of table.css."""
LEAST = 0.3
"""Minimum fraction of its width that a wide column keeps."""
WRAPPED = {kind for kind, python in PYTHON.items() if issubclass(python, str)}
"""Types whose values may wrap."""
FEW, FRACTION = 8, 20
"""A float column with more than FEW characters gets FRACTION, because the sample may lack the longest values."""
NEEDED = {
    **dict.fromkeys(WRAPPED - {ColumnType.NULL}, 6),
    ColumnType.DECIMAL: 7,
    ColumnType.MONEY: 8,
    ColumnType.DATE: 10,
    ColumnType.DATETIME: 10,
}
"""Minimum readable width of a column by type, in characters; NARROWEST for any other type."""


def column_widths(
    headings: Sequence[str], texts: Sequence[Sequence[str]], room: int, types: Sequence[ColumnType]
) -> list[float]:
    """Return the width of each column in characters, including padding.

    `texts` are the cells of each column; `room` is the width of the page in landscape. If the page is full, text
    columns shrink. Numbers, dates and times do not, so they stay on one line. A number wraps, with all its digits, only
    if it is wider than WIDEST or if the page is full of numbers.
    """
    wanted = [_wanted(*column) for column in zip(headings, texts, types, strict=True)]
    gives = [want > SHORT and kind in WRAPPED for want, kind in zip(wanted, types, strict=True)]
    wide = sum(want for want, give in zip(wanted, gives, strict=True) if give)
    left = room - len(wanted) * PADDING - (sum(wanted) - wide)
    squeeze = max(LEAST, min(1.0, left / wide)) if wide else 1.0
    return [(want * squeeze if give else want) + PADDING for want, give in zip(wanted, gives, strict=True)]


def count_fitting(columns: Sequence[Column], room: int) -> int:
    """Return how many of `columns`, counted from the first, are readable on a page that is `room` characters wide."""
    for count, column in enumerate(columns):
        room -= NEEDED.get(column.type, NARROWEST) + PADDING
        if room < 0:
            return count
    return len(columns)


def _wanted(heading: str, texts: Sequence[str], kind: ColumnType) -> int:
    """Return the width that a column needs for its cells and for the longest word of its bold heading.

    Text columns need the width of their widest cell if that is short, otherwise of the 90th percentile. Other columns
    need the width of their widest cell.
    """
    widths = sorted(map(text_width, texts)) or [0]
    whole = kind not in WRAPPED or widths[-1] <= SHORT
    usual = widths[-1] if whole else max(SHORT, widths[len(widths) * 9 // 10])
    if kind is ColumnType.MONEY:
        codes = list(map(_code, texts))
        amounts = [len(text) - code for text, code in zip(texts, codes, strict=True)]
        usual = max(usual, max(amounts, default=0) + max(codes, default=0))
    elif kind is ColumnType.FLOAT and usual > FEW:
        usual = max(usual, FRACTION)
    word = max(map(text_width, heading.split()), default=0) * 5 // 4
    return min(max(NARROWEST, usual, word), WIDEST)


def _code(text: str) -> int:
    """Return the length of the currency code in an amount, including the space before it."""
    space, code = text.rpartition(NO_BREAK)[1:]
    return len(space + code) if space and not code[:1].isdigit() else 0


def text_width(text: str) -> int:
    """Return the width of the longest line of `text`, cut at WIDEST characters. East Asian wide ones count twice."""
    head = max(text[: 4 * WIDEST].split("\n"), key=len)[:WIDEST]
    return len(head) if head.isascii() else sum(2 if east_asian_width(letter) in "WF" else 1 for letter in head)
