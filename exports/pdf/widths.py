"""How wide a table's columns are, from what stands in them, and which tables are too wide for any sheet."""

from __future__ import annotations

from collections.abc import Sequence
from unicodedata import east_asian_width

from exports.datasets import Column, ColumnType

NARROWEST, SHORT, WIDEST, PADDING = 4, 16, 34, 2
"""In letters. A column up to SHORT is given all it needs; wider ones wrap, and give way when the sheet is full."""
SHEETS = {"A4": (118, 176), "letter": (122, 164), "A3": (176, 254)}
"""Letters that a line of each paper has room for, upright and on its side, in the size of table.css."""
LEAST = 0.3
"""What is left of a wide column at least."""
NEEDED = {
    ColumnType.TEXT: 6,
    ColumnType.CHOICE: 6,
    ColumnType.DECIMAL: 7,
    ColumnType.MONEY: 8,
    ColumnType.DATE: 10,
    ColumnType.DATETIME: 10,
}
"""Letters below which a column of that type cannot be read; NARROWEST for any other."""


def shares(headings: Sequence[str], texts: Sequence[Sequence[str]], room: int) -> list[float]:
    """For each column, whose heading and cells are given, its width in letters, the padding with it.

    `room` is what the widest sheet has.
    """
    wanted = [_wanted(heading, cells) for heading, cells in zip(headings, texts, strict=True)]
    wide = sum(want for want in wanted if want > SHORT)
    left = room - len(wanted) * PADDING - (sum(wanted) - wide)
    squeeze = max(LEAST, min(1.0, left / wide)) if wide else 1.0
    return [(want * squeeze if want > SHORT else want) + PADDING for want in wanted]


def fitting(columns: Sequence[Column], room: int) -> int:
    """How many of `columns`, from the first, can be read side by side on a sheet with `room` letters."""
    for count, column in enumerate(columns):
        room -= NEEDED.get(column.type, NARROWEST) + PADDING
        if room < 0:
            return count
    return len(columns)


def _wanted(heading: str, texts: Sequence[str]) -> int:
    """A column's widest cell when that is short, else nine of ten cells; and the longest word of its bold heading."""
    widths = sorted(map(letters, texts)) or [0]
    usual = widths[-1] if widths[-1] <= SHORT else max(SHORT, widths[len(widths) * 9 // 10])
    word = max(map(letters, heading.split()), default=0) * 5 // 4
    return min(max(NARROWEST, usual, word), WIDEST)


def letters(text: str) -> int:
    """The width of the longest line of `text`, up to the widest column, in letters; East Asian ones count twice."""
    head = max(text[: 4 * WIDEST].split("\n"), key=len)[:WIDEST]
    return len(head) if head.isascii() else sum(2 if east_asian_width(letter) in "WF" else 1 for letter in head)
