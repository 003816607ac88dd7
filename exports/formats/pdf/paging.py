"""Distribution of rows over pages, as WeasyPrint does it, computed from the heights of the rows."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from exports.formats.pdf.internals import PageKind, unsupported_template
from exports.formats.pdf.part_file import read_sizes
from exports.formats.pdf.template import SECTION

FIT = 1 + 1e-9
"""WeasyPrint's tolerance for rounding errors in sums."""


@dataclass
class Plan:
    """Distribution of rows over pages. `ends` has the number of rows up to the end of each page.

    Each piece of a row that is higher than a page counts as a row.
    """

    ends: array[int] = field(default_factory=lambda: array("Q"))
    sections: list[tuple[int, int, float]] = field(default_factory=list)
    """First row of each section, its page within the table, and the position of its upper edge in pixels."""


class PageKinds:
    """Page kinds in order: covers, the first page with rows, then left and right pages alternately."""

    def __init__(self, kinds: Sequence[PageKind]) -> None:
        first = next(place for place, kind in enumerate(kinds) if kind.start is not None)
        self.covers, rest = list(kinds[:first]), list(kinds[first:])
        if len(rest) < 3 or any(kind.start is None for kind in rest):
            raise unsupported_template("content after the table")
        sides = rest[-2:] if len(rest) % 2 else rest[:-3:-1]
        self.tables = [rest[0], *sides]
        """The first page with rows, then a page of the opposite side, then one of the same side."""

    def table(self, number: int) -> int:
        """Return the index in `tables` for page `number` of the table, counted from 0."""
        return number and 2 - number % 2


def plan(spool: BinaryIO, kinds: PageKinds, spacing: float, first: float) -> Plan:
    """Fill pages with the rows in `spool`. `first` is the extra height of the first row, in pixels."""
    done, number, place, row = Plan(), 0, 0, -1
    kind = kinds.tables[0]
    y, limit, empty = kind.start or 0.0, kind.bottom * FIT, True
    for block in read_sizes(spool):
        for height, more in zip(block.heights, block.more, strict=True):
            row += not more
            below = y + height + spacing + (first if place == 0 else 0)
            if below > limit and not empty:
                done.ends.append(place)
                number += 1
                kind = kinds.tables[kinds.table(number)]
                start, limit = kind.start or 0.0, kind.bottom * FIT
                below += start - y
                y = start
            if row % SECTION == 0 and not more:
                done.sections.append((row, number, y))
            y, empty = below, False
            place += 1
    done.ends.append(place)
    return done
