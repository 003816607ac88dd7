"""The words in a page's margins that name its number."""

from __future__ import annotations

from exports.pdf.internals import POINT, Inks, Line, Margin, Shaper, counted, style_key
from exports.pdf.letters import Letters
from exports.pdf.numbers import move

NUMBERS = 10_000
"""Where the numbers of styles begin that are no column's."""


class Margins:
    """Writes them."""

    def __init__(self, inks: Inks) -> None:
        self._inks = inks
        self._letters: dict[str, Letters] = {}

    def words(self, box: Margin, page: int, pages: int) -> bytes:
        """The words of a box on the page of that number; nothing when it has none of its own."""
        if not box.parts:
            return b""
        numbers = {"page": page, "pages": pages}
        text = "".join(part if isinstance(part, str) else counted(numbers[part[0]], part[1]) for part in box.parts)
        letters = self._styled(box)
        line = self._line(letters, text)
        room = box.width - line.width
        x = box.left + {"left": 0, "center": room / 2, "right": room}[box.align]
        where = move(x * POINT, box.baseline * POINT)
        return b"q BT %b %b %b %b ET Q\n" % (letters.shaper.color, letters.home, where, line.ops)

    def _styled(self, box: Margin) -> Letters:
        key = style_key(box.style)
        if key not in self._letters:
            self._letters[key] = Letters(Shaper(box.style, NUMBERS + len(self._letters), self._inks))
        return self._letters[key]

    @staticmethod
    def _line(letters: Letters, text: str) -> Line:
        if letters.covers(text):
            return next(letters.lines(text, None, breaks_words=False))
        return next(letters.shaper.lines(text, None))
