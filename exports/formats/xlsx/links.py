"""Cells that are links. Only so many rows of a sheet have them that all links stay within Excel's limit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from exports.datasets import Column, ColumnType
from exports.formats.links import target_of
from exports.formats.xlsx import grid
from exports.formats.xlsx.cells import EMPTY, Cells, Long, escaped, text, whole

PER_SHEET = 65_530
"""The most links of a sheet in Excel."""
LINKED = (
    b'<c t="inlineStr"><is><r><rPr><u/><sz val="11"/><color rgb="FF0563C1"/><rFont val="Calibri"/><family val="2"/>'
    b"</rPr><t>"
)
"""The start of a cell that looks like a link. The look is in its text, because the numbers of styles are fixed."""
LINKED_END = b"</t></r></is></c>"


class Link(NamedTuple):
    """A link of the cell in column `letters`. `row` counts from the first row of a batch or of a run."""

    row: int
    letters: str
    target: str


class Links:
    """Makes the cells of URLs and addresses, and collects the links of a batch of rows until they are taken."""

    def __init__(self, columns: Sequence[Column], long: Long) -> None:
        self.first = 0
        """Number of the batch's first row, from 0, over all sheets. Set it before each batch."""
        self._rows, self._long = linked_rows(columns), long
        self._found: list[Link] = []

    def cells(self, place: int, kind: ColumnType, values: Iterable[bytes | None]) -> Cells:
        """Return the cells of the column at index `place`. `values` are texts in UTF-8."""
        return whole([self._cell(place, kind, row, value) for row, value in enumerate(values)])

    def _cell(self, place: int, kind: ColumnType, row: int, value: bytes | None) -> bytes:
        if value is None:
            return EMPTY
        linked = grid.row_of_sheet(self.first + row) < self._rows
        target = target_of(kind, value.decode()) if linked else None
        if target is None:
            return text(value, self._long)
        self._found.append(Link(row, grid.letters(place + 1), target))
        return LINKED + escaped(value) + LINKED_END

    def taken(self) -> list[Link]:
        """Return the links of the batch, and forget them."""
        found, self._found = self._found, []
        return found


def linked_rows(columns: Sequence[Column]) -> int:
    """Return how many rows at the start of each sheet have links. It does not depend on which cells are empty."""
    return PER_SHEET // max(1, sum(column.type.linked for column in columns))


def packed(links: Iterable[Link]) -> bytes:
    return "".join(f"{row} {letters} {target}\n" for row, letters, target in links).encode()


def unpacked(data: bytes) -> list[Link]:
    """Return the links that `packed` wrote."""
    each = (line.split(" ") for line in data.decode().splitlines())
    return [Link(int(row), letters, target) for row, letters, target in each]
