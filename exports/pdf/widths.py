"""How wide a table's columns are, from what stands in them: fixed widths lay out several times faster."""

from collections.abc import Sequence
from unicodedata import east_asian_width

SAMPLE = 200
"""Rows that are looked at."""
NARROWEST, SHORT, WIDEST, PADDING = 4, 16, 34, 2
"""In letters. A column up to SHORT is given all it needs; wider ones wrap, and give way when the sheet is full."""
PORTRAIT, LANDSCAPE = 118, 176
"""Letters that a line of the sheet has room for in the size of table.css."""
LEAST = 0.3
"""What is left of a wide column at least."""


def shares(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> list[float]:
    """For each column its width in letters, the padding with it."""
    wanted = [_wanted(heading, [line[index] for line in lines[:SAMPLE]]) for index, heading in enumerate(headings)]
    wide = sum(want for want in wanted if want > SHORT)
    room = LANDSCAPE - len(wanted) * PADDING - (sum(wanted) - wide)
    squeeze = max(LEAST, min(1.0, room / wide)) if wide else 1.0
    return [(want * squeeze if want > SHORT else want) + PADDING for want in wanted]


def _wanted(heading: str, texts: Sequence[str]) -> int:
    """A column's widest cell when that is short, else nine of ten cells; and the longest word of its bold heading."""
    widths = sorted(map(letters, texts)) or [0]
    usual = widths[-1] if widths[-1] <= SHORT else max(SHORT, widths[len(widths) * 9 // 10])
    word = max(map(letters, heading.split()), default=0) * 5 // 4
    return min(max(NARROWEST, usual, word), WIDEST)


def letters(text: str) -> int:
    """The width of `text`, up to the widest column, in letters; East Asian ones count twice."""
    head = text[:WIDEST]
    return len(head) if head.isascii() else sum(2 if east_asian_width(letter) in "WF" else 1 for letter in head)
