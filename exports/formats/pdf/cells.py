"""Typesetting of the cells of a column. The operators of a cell start and end at the position of the cell."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

from exports.formats.pdf.file import move
from exports.formats.pdf.internals import POINT, ColumnBox, Line
from exports.formats.pdf.text import Letters

KEPT = 4_000
"""Cached cells per generation; each column keeps two generations."""
LONG = 300
"""Length in characters above which a cell is not cached."""
SHARE = 0.5
"""Share of distinct texts in a batch above which caching does not pay off."""
FEEDS, SPACES, RUNS = re.compile("\r\n?"), re.compile(r"[\t ]*\n[\t ]*"), re.compile("[\t ]+")
PLAIN = re.compile("[^ -'*-\\[\\]-~\n]|  | \n|\n ")
"""Matches texts, joined by line feeds, that need escapes, another font or white-space processing."""


class IrregularPiece(bytes):
    """Operators of a cell that is not a single regular line, with the sizes that its row needs."""

    height: float
    """Height of the text, in pixels."""
    total: float
    """Height of the cell with its padding, in pixels."""
    first: float
    """Distance from the top of the text to its first baseline, in pixels."""
    missing: str
    """Characters that no font contains."""


Piece = bytes
"""Operators that draw a cell: one regular line, nothing, or IrregularPiece."""


class PieceCache(dict[str, Piece]):
    """Bounded cache of recent texts and their pieces; a hit is as fast as in a plain dictionary."""

    def __init__(self, make: Callable[[str], Piece]) -> None:
        super().__init__()
        self._make, self._older = make, dict[str, Piece]()

    def __missing__(self, text: str) -> Piece:
        made = self._older.get(text)
        if made is None:
            made = self._make(text)
        if len(text) <= LONG:
            if len(self) >= KEPT:
                self._older = dict(self)
                self.clear()
            self[text] = made
        return made


class Cells:
    """Typesets the cells of one column."""

    def __init__(self, box: ColumnBox, letters: Letters) -> None:
        self.box, self.letters = box, letters
        self.shaper = letters.shaper
        self.line_height, self.ascent = self.shaper.line_height, self.shaper.above
        self._cache = PieceCache(self._piece)
        self._limit = int(max(0, box.width) * 1024) if box.wraps else None
        self._safe = self._limit // letters.widest if self._limit is not None and letters.widest else 0
        self._size = float(self.shaper.drawn_size)
        self._left = box.align == "left" and not box.rtl

    @cached_property
    def height(self) -> float:
        """Height of a regular cell with one line, in pixels."""
        return float(self.box.above + self.line_height + self.box.below)

    def pieces(self, texts: Sequence[str]) -> Sequence[Piece]:
        """Return the operators that draw each of `texts`, in order."""
        if len(texts) > 8 and len(set(texts)) > SHARE * len(texts) and self.letters.ascii:
            joined = "\n".join(texts)
            if not PLAIN.search(joined) and joined.count("\n") == len(texts) - 1 and joined[:1] != " " != joined[-1:]:
                return self._plain(texts)
        return list(map(self._cache.__getitem__, texts))

    def _plain(self, texts: Sequence[str]) -> Sequence[Piece]:
        """Return the pieces of texts that need neither escapes nor a second font."""
        if self._left and max(map(len, texts)) <= self._safe:
            pieces = (b"(" + ")Tj\n(".join(texts).encode() + b")Tj").split(b"\n")
            return pieces if "" not in texts else [b"" if piece == b"()Tj" else piece for piece in pieces]
        return [self._line(text) for text in texts]

    def _line(self, text: str) -> Piece:
        width = sum(map(self.letters.advances.__getitem__, text))
        if self._limit is not None and width > self._limit:
            return self._cache[text]
        if not text:
            return b""
        shift = 0 if self._left else self._shift(width / 1024)
        return b"[%d(%b)]TJ" % (shift, text.encode()) if shift else b"(%b)Tj" % text.encode()

    def _shift(self, width: float) -> int:
        """Return the offset of a line of this width from the left edge of the cell, in TJ units."""
        room = self.box.width - width
        if room <= 0 or self.box.align == "left":
            room = min(room, 0) if self.box.rtl else 0
        if self.box.align == "center" and room > 0:
            room /= 2
        return round(-1000 * room / self._size)

    # --- single cells ---

    def _piece(self, text: str) -> Piece:
        lines = self.lines(text)
        if len(lines) == 1 and lines[0].above == self.ascent and not lines[0].missing:
            return self._drawn(lines[0])
        return self.typeset(lines) if lines else b""

    def lines(self, text: str) -> list[Line]:
        """Return the lines of a cell."""
        text = self._collapsed(text)
        if not text.strip(" \n"):
            return []
        return [line for part in text.removesuffix("\n").split("\n") for line in self._paragraph(part.lstrip(" "))]

    def _collapsed(self, text: str) -> str:
        if text.isascii() and text.isprintable() and "  " not in text:
            return text
        text = SPACES.sub("\n", FEEDS.sub("\n", text))
        if self.box.style["white_space"] != "pre-line":
            text = text.replace("\n", " ")
        return RUNS.sub(" ", text)

    def _paragraph(self, text: str) -> Iterator[Line]:
        if not text:
            yield Line(0, self.ascent, b"")
        elif self.letters.covers(text) and not self._ends_wide(text):
            yield from self.letters.lines(text.rstrip(" "), self._limit, breaks_words=self.box.breaks_words)
        else:
            yield from self.shaper.lines(text, self.box.width if self.box.wraps else None)

    def _ends_wide(self, text: str) -> bool:
        """Return whether `text` wraps and ends with a space. Pango treats that space differently."""
        return text.endswith(" ") and self._limit is not None and self.letters.width(text) > self._limit

    def typeset(self, lines: Sequence[Line]) -> IrregularPiece:
        """Return `lines` as one block that starts and ends at the first regular baseline."""
        moves, top, at = [], 0.0, self.ascent
        for line in lines:
            ascent, descent = self.reach(line)
            baseline = top + ascent
            if line.ops:
                moves += [move(0, (at - baseline) * POINT), self._drawn(line)]
                at = baseline
            top += ascent + descent
        moves.append(move(0, (at - self.ascent) * POINT))
        piece = IrregularPiece(b" ".join(filter(None, moves)))
        piece.height, piece.total = top, top + self.box.above + self.box.below
        piece.first = self.reach(lines[0])[0]
        piece.missing = "".join(line.missing for line in lines)
        return piece

    def reach(self, line: Line) -> tuple[float, float]:
        """Return how far `line` extends above and below its baseline, in pixels."""
        return max(line.above, self.ascent), self.line_height - min(line.above, self.ascent)

    def _drawn(self, line: Line) -> bytes:
        shift = self._shift(line.width)
        if not shift:
            return line.ops
        if line.ops.endswith(b")Tj") and line.ops.startswith(b"("):
            return b"[%d%b]TJ" % (shift, line.ops[:-2])
        return b"[%d]TJ %b" % (shift, line.ops)
