"""Typesetting of rows as relative PDF text: each row starts at its first column and ends where the next one starts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from exports.formats.pdf.cells import Cells, IrregularPiece, Piece
from exports.formats.pdf.file import EXACT, move
from exports.formats.pdf.internals import POINT, Line, Sheet, unsupported_template
from exports.formats.pdf.text import letters_by_style

SHIFTS = {"top": 0.0, "middle": 0.5, "bottom": 1.0}
"""Fraction of the free height in a cell that goes above its text, by vertical-align."""


@dataclass
class Batch:
    """Operators and heights (in pixels) of rows, and whether each row continues the previous one (a split tall row)."""

    ops: list[bytes] = field(default_factory=list)
    heights: list[float] = field(default_factory=list)
    more: list[bool] = field(default_factory=list)

    def add(self, ops: bytes, height: float, more: bool = False) -> None:
        self.ops.append(ops)
        self.heights.append(height)
        self.more.append(more)


@dataclass(frozen=True)
class Size:
    """Height of a cell with padding, and distance from its top to its first baseline, in pixels."""

    height: float
    first: float


class Typesetter:
    """Typesets rows in the columns of a sheet. A row higher than `room` pixels is split."""

    def __init__(self, sheet: Sheet, room: float) -> None:
        shapers = [sheet.shaper(number) for number in range(len(sheet.columns))]
        self.letters = letters_by_style(shapers)
        self.columns = [
            Cells(box, self.letters[shaper.number]) for box, shaper in zip(sheet.columns, shapers, strict=True)
        ]
        if {column.box.valign for column in self.columns} - {*SHIFTS, "baseline"}:
            raise unsupported_template("cells with another vertical-align than top, middle, bottom or baseline")
        self.missing: Counter[str] = Counter()
        """Characters that no font contains, with their counts in all rows so far."""
        self._room, self._spacing = room, sheet.spacing
        regular = [Size(column.height, column.box.above + column.ascent) for column in self.columns]
        self.height, self._regular = self._placement(regular)
        self._all_top = all(column.box.valign == "top" for column in self.columns)
        self._heights = [(column.height, column.box.above + column.box.below) for column in self.columns]
        self._anchors = [
            place for place, column in enumerate(self.columns) if column.height == max(size.height for size in regular)
        ]
        self._row_format = self._template()
        self.tail = lru_cache(4_000)(self._tail)

    # --- regular rows ---

    @property
    def start(self) -> bytes:
        """Operators that set color and font before the first row."""
        return _text_state(self.columns[0])

    @property
    def origin(self) -> tuple[float, float]:
        """Start of the text of a row: distances from the left edge of the sheet and from the upper edge of the row."""
        return self.columns[0].box.left, self._baseline(0)

    def _left(self, place: int) -> float:
        """Return the left edge of a column in points, rounded so that the moves within a row add up to zero."""
        return round(self.columns[place].box.left * POINT, 3)

    def _baseline(self, place: int) -> float:
        column = self.columns[place]
        return float(column.box.above + self._regular[place] + column.ascent)

    def _template(self) -> bytes:
        """Return the format string of a row: placeholders for its pieces, with the moves between them."""
        parts, before = [], 0
        for place, column in enumerate(self.columns):
            if place:
                parts.append(self._move_between(before, place))
            if _text_state(column) != _text_state(self.columns[before]):
                parts.append(_text_state(column))
            parts.append(b"%b")
            before = place
        if _text_state(self.columns[before]) != self.start:
            parts.append(self.start)
        return b" ".join(filter(None, parts)) + b"\n"

    def _move_between(self, before: int, place: int) -> bytes:
        return move(self._left(place) - self._left(before), (self._baseline(before) - self._baseline(place)) * POINT)

    def _tail(self, height: float) -> bytes:
        """Return the move from the last cell of a row of this height to the next row."""
        last = len(self.columns) - 1
        down = self._baseline(0) + height + self._spacing - self._baseline(last)
        return move(self._left(0) - self._left(last), -down * POINT) + b"\n"

    # --- batches of rows ---

    def rows(self, texts: Sequence[Sequence[str]]) -> Batch:
        """Typeset rows. `texts` are the texts of each column."""
        columns = [column.pieces(values) for column, values in zip(self.columns, texts, strict=True)]
        irregular, form, count = self._irregular(columns), self._row_format + self.tail(self.height), len(texts[0])
        if not irregular:
            return Batch(
                [form % pieces for pieces in zip(*columns, strict=True)], [self.height] * count, [False] * count
            )
        batch = Batch()
        for place, pieces in enumerate(zip(*columns, strict=True)):
            if place not in irregular:
                batch.add(form % pieces, self.height)
            else:
                self._add_irregular(batch, pieces, [values[place] for values in texts])
        return batch

    def _irregular(self, columns: Sequence[Sequence[Piece]]) -> set[int]:
        """Return the indexes of rows that are not one regular line high or contain undrawable characters."""
        irregular = {
            place
            for pieces in columns
            if IrregularPiece in set(map(type, pieces))
            for place, piece in enumerate(pieces)
            if piece.__class__ is IrregularPiece
        }
        if all(b"" in columns[anchor] for anchor in self._anchors):
            anchors = zip(*(columns[anchor] for anchor in self._anchors), strict=True)
            irregular.update(place for place, pieces in enumerate(anchors) if not any(pieces))
        return irregular

    # --- irregular rows ---

    def _add_irregular(self, batch: Batch, pieces: Sequence[Piece], texts: Sequence[str]) -> None:
        height, above = self._row_placement(pieces)
        for piece in pieces:
            if piece.__class__ is IrregularPiece and piece.missing:
                self.missing.update(piece.missing)
        if height > self._room:
            self._split(batch, [column.lines(text) for column, text in zip(self.columns, texts, strict=True)])
        else:
            batch.add(self._set(pieces, height, above), height)

    def _row_placement(self, pieces: Sequence[Piece]) -> tuple[float, Sequence[float]]:
        """Return the height of a row, and the distance from padding to text of each cell."""
        if not self._all_top:
            return self._placement([self._size(*pair) for pair in zip(self.columns, pieces, strict=True)])
        heights = [
            piece.total if isinstance(piece, IrregularPiece) else regular if piece else blank
            for piece, (regular, blank) in zip(pieces, self._heights, strict=True)
        ]
        return max(heights), self._regular

    def _set(self, pieces: Sequence[Piece], height: float, above: Sequence[float]) -> bytes:
        if self._all_top:
            return self._row_format % tuple(pieces) + self.tail(height)
        blocks = []
        for place, piece in enumerate(pieces):
            lower = (above[place] - self._regular[place]) * POINT
            if piece and round(lower, EXACT):
                blocks.append(b"%b %b %b" % (move(0, -lower), piece, move(0, lower)))
            else:
                blocks.append(piece)
        return self._row_format % tuple(blocks) + self.tail(height)

    @staticmethod
    def _size(column: Cells, piece: Piece) -> Size:
        above, below = column.box.above, column.box.below
        if isinstance(piece, IrregularPiece):
            return Size(above + piece.height + below, above + piece.first)
        return Size(column.height, above + column.ascent) if piece else Size(above + below, above)

    def _placement(self, sizes: Sequence[Size]) -> tuple[float, list[float]]:
        """Return the height of a row with cells of these sizes, and the distance from padding to text of each cell."""
        pairs = list(zip(self.columns, sizes, strict=True))
        baselines = [size.first for column, size in pairs if column.box.valign == "baseline"]
        deepest = max(baselines, default=0.0)
        extra = [deepest - size.first if column.box.valign == "baseline" else 0.0 for column, size in pairs]
        height = max(size.height + more for size, more in zip(sizes, extra, strict=True))
        return height, [
            more if column.box.valign == "baseline" else (height - size.height) * SHIFTS[column.box.valign]
            for (column, size), more in zip(pairs, extra, strict=True)
        ]

    def _split(self, batch: Batch, lines: Sequence[Sequence[Line]]) -> None:
        """Split a row that is higher than a page into pieces that fit, and add them to `batch`."""
        rest, more = [list(some) for some in lines], False
        while any(rest):
            taken = [self._fitting_lines(column, some) for column, some in zip(self.columns, rest, strict=True)]
            pieces: list[Piece] = [
                column.typeset(some) if some else b"" for column, some in zip(self.columns, taken, strict=True)
            ]
            height, above = self._row_placement(pieces)
            batch.add(self._set(pieces, height, above), height, more)
            rest, more = [some[len(head) :] for some, head in zip(rest, taken, strict=True)], True

    def _fitting_lines(self, column: Cells, lines: Sequence[Line]) -> list[Line]:
        """Return the first of `lines`: as many as fit on a page, and at least one."""
        room = self._room - column.box.above - column.box.below
        count = 0
        for line in lines:
            room -= sum(column.reach(line))
            if room < 0:
                break
            count += 1
        return list(lines[: max(count, 1)])


def _text_state(column: Cells) -> bytes:
    return b"%b %b" % (column.shaper.color.replace(b"\n", b" "), column.letters.home)
