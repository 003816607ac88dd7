"""What both lanes from rows to cells need: of values that Python has, and of text that PostgreSQL copies out.

The second is for speed alone. Both end in the same cells, byte for byte, because the same functions make them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from exports.formats.xlsx.cells import EMPTY, Cells, Long, whole
from exports.formats.xlsx.styles import Styles

T = TypeVar("T")
Bulk = Callable[[Sequence[Any]], Cells]
Take = Callable[[Iterator[Sequence[Any]]], Cells]
"""Takes the values of a column's slots, and makes its cells."""
Lines = tuple[bytes, int]
"""Rows, each a line, and how many."""


@dataclass(frozen=True)
class Desk:
    """What making cells needs beside the values."""

    zone: ZoneInfo
    styles: Styles
    long: Long
    first: int = 0
    """The first row that it makes cells of, from 0, over all sheets of the workbook."""


def spread(values: Sequence[Any], none: Any, bulk: Bulk) -> Cells:
    """The cells of values, of which some are `none`."""
    present = [value for value in values if value != none]
    each = iter(bulk(present).whole() if present else ())
    return whole([EMPTY if value == none else next(each) for value in values])


def mixed(values: Sequence[T], usual: Callable[[T], bool], bulk: Bulk, odd: Callable[[T], bytes]) -> Cells:
    """The cells of values, of which those that are not usual are made one by one."""
    present = [value for value in values if usual(value)]
    if len(present) == len(values):
        return bulk(present)
    each = iter(bulk(present).whole() if present else ())
    return whole([next(each) if usual(value) else odd(value) for value in values])
