"""Shared code of the two lanes that make cells: the Python lane from values, the COPY lane from PostgreSQL's text.

The COPY lane exists only for speed. Both lanes give the same cells, byte for byte, because they use the same functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from exports.formats.xlsx.cells import EMPTY, Cells, Long, whole
from exports.formats.xlsx.links import Links
from exports.formats.xlsx.styles import Styles

T = TypeVar("T")
Bulk = Callable[[Sequence[Any]], Cells]
Take = Callable[[Iterator[Sequence[Any]]], Cells]
"""Takes the values of a column's slots and makes its cells."""
Lines = tuple[bytes, int]
"""Rows, one per line, and their number."""


@dataclass(frozen=True)
class LaneContext:
    """Data that a lane needs besides the values."""

    zone: ZoneInfo
    styles: Styles
    long: Long
    links: Links
    first: int = 0
    """Number of the first row, from 0, over all sheets of the workbook."""


def spread(values: Sequence[Any], none: Any, bulk: Bulk) -> Cells:
    """Return the cells of values, some of which equal `none` and become empty cells."""
    present = [value for value in values if value != none]
    each = iter(bulk(present).whole() if present else ())
    return whole([EMPTY if value == none else next(each) for value in values])


def mixed(values: Sequence[T], usual: Callable[[T], bool], bulk: Bulk, fallback: Callable[[T], bytes]) -> Cells:
    """Return the cells of values. `fallback` makes, one by one, the cells of those that are not `usual`."""
    present = [value for value in values if usual(value)]
    if len(present) == len(values):
        return bulk(present)
    each = iter(bulk(present).whole() if present else ())
    return whole([next(each) if usual(value) else fallback(value) for value in values])
