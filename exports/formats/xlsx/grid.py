"""Positions of rows in a workbook: sheets have a fixed length, and each has the headings in its first row."""

from __future__ import annotations

import re
from collections.abc import Iterator

SHEET_ROWS = 1_048_576
"""Rows of a sheet, including the heading row."""
SHEET_COLUMNS = 16_384
PLACE = re.compile(rb' r="([A-Z]*)\d+"')
"""The position attribute of a row or a cell. It never matches inside text, where quotes are escaped."""


def letters(column: int) -> str:
    """Return the letters of a column, from 1: A to Z, AA and so on."""
    name = ""
    while column:
        column, letter = divmod(column - 1, 26)
        name = chr(65 + letter) + name
    return name


def row_of_sheet(row: int) -> int:
    """Return the place of the data row `row` (from 0, over all sheets) among the data rows of its sheet, from 0."""
    return row % (SHEET_ROWS - 1)


def sheet_of(row: int) -> int:
    """Return the number of the sheet with the data row `row` (both from 0, over all sheets)."""
    return row // (SHEET_ROWS - 1)


def room(row: int) -> int:
    """Return how many rows fit into the sheet of the data row `row` (from 0, over all sheets), including that row."""
    return SHEET_ROWS - 1 - row_of_sheet(row)


def numbers(first: int, count: int) -> Iterator[int]:
    """Yield the row numbers, within their sheets, of `count` data rows from `first` (from 0, over all sheets)."""
    while count > 0:
        here, start = min(count, room(first)), row_of_sheet(first) + 2
        yield from range(start, start + here)
        first, count = first + here, count - here


def renumbered(line: bytes, number: int) -> bytes:
    """Return a row's line with another row number."""
    return PLACE.sub(rb' r="\g<1>%d"' % number, line)
