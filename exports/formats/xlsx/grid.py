"""Where a row lies in a workbook: sheets of a fixed length, each with the headings in its first row."""

from __future__ import annotations

import re
from collections.abc import Iterator

SHEET_ROWS = 1_048_576
"""The rows of a sheet, that of the headings among them."""
SHEET_COLUMNS = 16_384
PLACE = re.compile(rb' r="([A-Z]*)\d+"')
"""The attribute that says where a row or a cell lies. Text has no quotes (they are escaped), so it never looks so."""


def letters(column: int) -> str:
    """Return what spreadsheets call a column, from 1: A to Z, AA and so on."""
    name = ""
    while column:
        column, letter = divmod(column - 1, 26)
        name = chr(65 + letter) + name
    return name


def room(row: int) -> int:
    """Return how many rows fit into the sheet of the data row `row` (from 0, over all sheets), it included."""
    return SHEET_ROWS - 1 - row % (SHEET_ROWS - 1)


def numbers(first: int, count: int) -> Iterator[int]:
    """Yield the row numbers in their sheets of `count` data rows from `first` (from 0, over all sheets)."""
    while count > 0:
        here, start = min(count, room(first)), first % (SHEET_ROWS - 1) + 2
        yield from range(start, start + here)
        first, count = first + here, count - here


def renumbered(line: bytes, number: int) -> bytes:
    """Return a row's line with another row number."""
    return PLACE.sub(rb' r="\g<1>%d"' % number, line)
