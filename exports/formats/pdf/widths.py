"""How wide a table's columns are, from what stands in them, and which tables are too wide for any sheet."""

from __future__ import annotations

from collections.abc import Sequence
from unicodedata import east_asian_width

from exports.datasets import Column, ColumnType
from exports.formats.pdf.localize import NO_BREAK

NARROWEST, SHORT, WIDEST, PADDING = 4, 16, 34, 2
"""In letters. A column up to SHORT is given all it needs; wider ones wrap, and give way when the sheet is full."""
SHEETS = {"A4": (118, 176), "letter": (122, 164), "A3": (176, 254)}
"""Letters that a line of each paper has room for, upright and on its side, in the size of table.css."""
LEAST = 0.3
"""What is left of a wide column at least."""
WRAPPED = {ColumnType.TEXT, ColumnType.CHOICE, ColumnType.NULL}
"""Types whose values go over several lines."""
FEW, FRACTION = 8, 20
"""Digits of a float that is no round number, and what such a column needs: the sample does not show the longest."""
NEEDED = {
    ColumnType.TEXT: 6,
    ColumnType.CHOICE: 6,
    ColumnType.DECIMAL: 7,
    ColumnType.MONEY: 8,
    ColumnType.DATE: 10,
    ColumnType.DATETIME: 10,
}
"""Letters below which a column of that type cannot be read; NARROWEST for any other."""


def shares(
    headings: Sequence[str], texts: Sequence[Sequence[str]], room: int, types: Sequence[ColumnType]
) -> list[float]:
    """For each column, whose heading and cells are given, its width in letters, the padding with it.

    `room` is what the widest sheet has. Columns of text give way when it is full; numbers, dates and times do not, so
    that they stand on one line. A number wider than WIDEST, or on a sheet that is full of numbers, goes on in the next
    line: all its digits are there.
    """
    wanted = [_wanted(*column) for column in zip(headings, texts, types, strict=True)]
    gives = [want > SHORT and kind in WRAPPED for want, kind in zip(wanted, types, strict=True)]
    wide = sum(want for want, give in zip(wanted, gives, strict=True) if give)
    left = room - len(wanted) * PADDING - (sum(wanted) - wide)
    squeeze = max(LEAST, min(1.0, left / wide)) if wide else 1.0
    return [(want * squeeze if give else want) + PADDING for want, give in zip(wanted, gives, strict=True)]


def fitting(columns: Sequence[Column], room: int) -> int:
    """How many of `columns`, from the first, can be read side by side on a sheet with `room` letters."""
    for count, column in enumerate(columns):
        room -= NEEDED.get(column.type, NARROWEST) + PADDING
        if room < 0:
            return count
    return len(columns)


def _wanted(heading: str, texts: Sequence[str], kind: ColumnType) -> int:
    """What a column's cells need, and the longest word of its bold heading.

    A column of text needs its widest cell when that is short, else nine of ten cells. Any other needs its widest cell.
    """
    widths = sorted(map(letters, texts)) or [0]
    whole = kind not in WRAPPED or widths[-1] <= SHORT
    usual = widths[-1] if whole else max(SHORT, widths[len(widths) * 9 // 10])
    if kind is ColumnType.MONEY:
        codes = list(map(_code, texts))
        amounts = [len(text) - code for text, code in zip(texts, codes, strict=True)]
        usual = max(usual, max(amounts, default=0) + max(codes, default=0))
    elif kind is ColumnType.FLOAT and usual > FEW:
        usual = max(usual, FRACTION)
    word = max(map(letters, heading.split()), default=0) * 5 // 4
    return min(max(NARROWEST, usual, word), WIDEST)


def _code(text: str) -> int:
    """The letters of an amount's currency, with the space before it."""
    space, code = text.rpartition(NO_BREAK)[1:]
    return len(space + code) if space and not code[:1].isdigit() else 0


def letters(text: str) -> int:
    """The width of the longest line of `text`, up to the widest column, in letters; East Asian ones count twice."""
    head = max(text[: 4 * WIDEST].split("\n"), key=len)[:WIDEST]
    return len(head) if head.isascii() else sum(2 if east_asian_width(letter) in "WF" else 1 for letter in head)
