"""Which rows go on which page: as WeasyPrint fills them, from the rows' heights alone."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from exports.formats.pdf.internals import Leaf, unfit
from exports.formats.pdf.part_file import sizes
from exports.formats.pdf.template import SECTION

FIT = 1 + 1e-9
"""WeasyPrint's own allowance for sums of fractions."""


@dataclass
class Plan:
    """Which rows go on which page: how many rows there are up to the end of each, counting pieces of tall ones."""

    ends: array[int] = field(default_factory=lambda: array("Q"))
    sections: list[tuple[int, int, float]] = field(default_factory=list)
    """The first row of each section, the page of the table that it is on, and its upper edge."""


class Leaves:
    """The kinds of pages in the order they come: covers, the first page with rows, then left and right in turn."""

    def __init__(self, leaves: Sequence[Leaf]) -> None:
        first = next(place for place, leaf in enumerate(leaves) if leaf.start is not None)
        self.covers, rest = list(leaves[:first]), list(leaves[first:])
        if len(rest) < 3 or any(leaf.start is None for leaf in rest):
            raise unfit("anything after the table")
        sides = rest[-2:] if len(rest) % 2 else rest[:-3:-1]
        self.tables = [rest[0], *sides]
        """The first page with rows, then that of its other side, then that of its own."""

    def table(self, number: int) -> int:
        """The place in `tables` of the kind of the table's page `number`, from 0."""
        return number and 2 - number % 2


def plan(spool: BinaryIO, leaves: Leaves, spacing: float, first: float) -> Plan:
    """Fill pages. `first` is what the very first row is higher than others of its kind."""
    done, number, place, row = Plan(), 0, 0, -1
    leaf = leaves.tables[0]
    y, limit, empty = leaf.start or 0.0, leaf.bottom * FIT, True
    for block in sizes(spool):
        for height, more in zip(block.heights, block.more, strict=True):
            row += not more
            below = y + height + spacing + (first if place == 0 else 0)
            if below > limit and not empty:
                done.ends.append(place)
                number += 1
                leaf = leaves.tables[leaves.table(number)]
                start, limit = leaf.start or 0.0, leaf.bottom * FIT
                below += start - y
                y = start
            if row % SECTION == 0 and not more:
                done.sections.append((row, number, y))
            y, empty = below, False
            place += 1
    done.ends.append(place)
    return done
