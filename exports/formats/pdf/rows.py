"""Rows as PDF text in places of their own: each begins at its first column and ends where the next row begins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from exports.formats.pdf.cells import Cells, Odd, Piece
from exports.formats.pdf.file import EXACT, move
from exports.formats.pdf.internals import POINT, Line, Sheet, unfit
from exports.formats.pdf.text import alphabets

SHIFTS = {"top": 0.0, "middle": 0.5, "bottom": 1.0}
"""How much of the room that a row leaves over is above a cell's text."""


@dataclass
class Batch:
    """Rows: of each its operators, its height in pixels, and whether it goes on with the row before (a tall one)."""

    ops: list[bytes] = field(default_factory=list)
    heights: list[float] = field(default_factory=list)
    more: list[bool] = field(default_factory=list)

    def add(self, ops: bytes, height: float, more: bool = False) -> None:
        self.ops.append(ops)
        self.heights.append(height)
        self.more.append(more)


@dataclass(frozen=True)
class Size:
    """What a cell needs: its height with padding, and its first baseline below its top."""

    height: float
    first: float


class Setter:
    """Typesets rows in the columns of a sheet. A row higher than `room` pixels is cut."""

    def __init__(self, sheet: Sheet, room: float) -> None:
        shapers = [sheet.shaper(number) for number in range(len(sheet.columns))]
        self.letters = alphabets(shapers)
        self.columns = [
            Cells(box, self.letters[shaper.number]) for box, shaper in zip(sheet.columns, shapers, strict=True)
        ]
        if {column.box.valign for column in self.columns} - {*SHIFTS, "baseline"}:
            raise unfit("cells set higher or lower than the line")
        self.missing: Counter[str] = Counter()
        """Letters that no font has, and how often they stood in rows so far."""
        self._room, self._spacing = room, sheet.spacing
        usual = [Size(column.height, column.box.above + column.ascent) for column in self.columns]
        self.height, self._usual = self._placed(usual)
        self._flat = all(column.box.valign == "top" for column in self.columns)
        self._heights = [(column.height, column.box.above + column.box.below) for column in self.columns]
        self._anchors = [
            place for place, column in enumerate(self.columns) if column.height == max(size.height for size in usual)
        ]
        self._form = self._template()
        self.tail = lru_cache(4_000)(self._tail)

    # --- the usual row ---

    @property
    def start(self) -> bytes:
        """What must be set before the first row."""
        return _pen(self.columns[0])

    @property
    def origin(self) -> tuple[float, float]:
        """Where a row's text begins: from the sheet's left edge, and below the row's upper edge."""
        return self.columns[0].box.left, self._baseline(0)

    def _left(self, place: int) -> float:
        """Rounded, so that a row's moves add up to nothing."""
        return round(self.columns[place].box.left * POINT, 3)

    def _baseline(self, place: int) -> float:
        column = self.columns[place]
        return float(column.box.above + self._usual[place] + column.ascent)

    def _template(self) -> bytes:
        """A row's pieces with the moves between them."""
        parts, before = [], 0
        for place, column in enumerate(self.columns):
            if place:
                parts.append(self._way(before, place))
            if _pen(column) != _pen(self.columns[before]):
                parts.append(_pen(column))
            parts.append(b"%b")
            before = place
        if _pen(self.columns[before]) != self.start:
            parts.append(self.start)
        return b" ".join(filter(None, parts)) + b"\n"

    def _way(self, before: int, place: int) -> bytes:
        return move(self._left(place) - self._left(before), (self._baseline(before) - self._baseline(place)) * POINT)

    def _tail(self, height: float) -> bytes:
        """The move from the last cell of a row of that height to the next row."""
        last = len(self.columns) - 1
        down = self._baseline(0) + height + self._spacing - self._baseline(last)
        return move(self._left(0) - self._left(last), -down * POINT) + b"\n"

    # --- many rows ---

    def rows(self, texts: Sequence[Sequence[str]]) -> Batch:
        """The rows whose columns' texts are given."""
        columns = [column.pieces(values) for column, values in zip(self.columns, texts, strict=True)]
        odd, form, count = self._odd(columns), self._form + self.tail(self.height), len(texts[0])
        if not odd:
            return Batch(
                [form % pieces for pieces in zip(*columns, strict=True)], [self.height] * count, [False] * count
            )
        batch = Batch()
        for place, pieces in enumerate(zip(*columns, strict=True)):
            if place not in odd:
                batch.add(form % pieces, self.height)
            else:
                self._odd_row(batch, pieces, [values[place] for values in texts])
        return batch

    def _odd(self, columns: Sequence[Sequence[Piece]]) -> set[int]:
        """The rows that are not one usual line high, or hold letters that are missing."""
        odd = {
            place
            for pieces in columns
            if Odd in set(map(type, pieces))
            for place, piece in enumerate(pieces)
            if piece.__class__ is Odd
        }
        if all(b"" in columns[anchor] for anchor in self._anchors):
            anchors = zip(*(columns[anchor] for anchor in self._anchors), strict=True)
            odd.update(place for place, pieces in enumerate(anchors) if not any(pieces))
        return odd

    # --- a row of another height ---

    def _odd_row(self, batch: Batch, pieces: Sequence[Piece], texts: Sequence[str]) -> None:
        height, above = self._needed(pieces)
        for piece in pieces:
            if piece.__class__ is Odd and piece.missing:
                self.missing.update(piece.missing)
        if height > self._room:
            self._cut(batch, [column.lines(text) for column, text in zip(self.columns, texts, strict=True)])
        else:
            batch.add(self._set(pieces, height, above), height)

    def _needed(self, pieces: Sequence[Piece]) -> tuple[float, Sequence[float]]:
        """A row's height, and for each cell how much lower than its padding its text begins."""
        if not self._flat:
            return self._placed([self._size(*pair) for pair in zip(self.columns, pieces, strict=True)])
        heights = [
            piece.total if isinstance(piece, Odd) else usual if piece else blank
            for piece, (usual, blank) in zip(pieces, self._heights, strict=True)
        ]
        return max(heights), self._usual

    def _set(self, pieces: Sequence[Piece], height: float, above: Sequence[float]) -> bytes:
        if self._flat:
            return self._form % tuple(pieces) + self.tail(height)
        blocks = []
        for place, piece in enumerate(pieces):
            lower = (above[place] - self._usual[place]) * POINT
            if piece and round(lower, EXACT):
                blocks.append(b"%b %b %b" % (move(0, -lower), piece, move(0, lower)))
            else:
                blocks.append(piece)
        return self._form % tuple(blocks) + self.tail(height)

    @staticmethod
    def _size(column: Cells, piece: Piece) -> Size:
        above, below = column.box.above, column.box.below
        if isinstance(piece, Odd):
            return Size(above + piece.height + below, above + piece.first)
        return Size(column.height, above + column.ascent) if piece else Size(above + below, above)

    def _placed(self, sizes: Sequence[Size]) -> tuple[float, list[float]]:
        """The height of a row of such cells, and for each how much lower than its padding its text begins."""
        pairs = list(zip(self.columns, sizes, strict=True))
        baselines = [size.first for column, size in pairs if column.box.valign == "baseline"]
        deepest = max(baselines, default=0.0)
        extra = [deepest - size.first if column.box.valign == "baseline" else 0.0 for column, size in pairs]
        height = max(size.height + more for size, more in zip(sizes, extra, strict=True))
        return height, [
            more if column.box.valign == "baseline" else (height - size.height) * SHIFTS[column.box.valign]
            for (column, size), more in zip(pairs, extra, strict=True)
        ]

    def _cut(self, batch: Batch, lines: Sequence[Sequence[Line]]) -> None:
        """A row that is higher than a page, in pieces that are not."""
        rest, more = [list(some) for some in lines], False
        while any(rest):
            taken = [self._taken(column, some) for column, some in zip(self.columns, rest, strict=True)]
            pieces: list[Piece] = [
                column.typeset(some) if some else b"" for column, some in zip(self.columns, taken, strict=True)
            ]
            height, above = self._needed(pieces)
            batch.add(self._set(pieces, height, above), height, more)
            rest, more = [some[len(head) :] for some, head in zip(rest, taken, strict=True)], True

    def _taken(self, column: Cells, lines: Sequence[Line]) -> list[Line]:
        """The first of `lines`, as many as a page has room for and at least one."""
        room = self._room - column.box.above - column.box.below
        count = 0
        for line in lines:
            room -= sum(column.reach(line))
            if room < 0:
                break
            count += 1
        return list(lines[: max(count, 1)])


def _pen(column: Cells) -> bytes:
    return b"%b %b" % (column.shaper.color.replace(b"\n", b" "), column.letters.home)
