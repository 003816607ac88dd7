"""Fast path for text in which each character is one glyph of one font. It adds up advances instead of shaping.

Latin-1 text uses a font with Latin-1 codes, so most text is written unchanged. Other text in the first font of the
column uses glyph numbers as codes. Both share one font program in the file. Characters that may look different next to
others, or that need another font, are shaped by Pango (`Shaper.lines`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import pairwise

from exports.formats.pdf.file import EXACT, format_number
from exports.formats.pdf.internals import ONE_BYTE, POINT, Glyph, Line, Shaper

ASCII = "".join(map(chr, range(0x20, 0x7F)))
LATIN = "".join(map(chr, [0xA0, *range(0xA1, 0xAD), *range(0xAE, 0x100)]))
ALONE = re.compile(
    "[ -~\u00a0-\u00ac\u00ae-\u02af\u0370-\u0482\u048a-\u052f\u1e00-\u1fff\u2010-\u2027\u2030-\u205e\u20a0-\u20bf"
    "\u2100-\u214f\u2190-\u22ff\ufffd]*"
)
"""Characters of left-to-right scripts without joining, except combining marks and joiners."""
WORDS = re.compile(r"(?:[0-9A-Za-zÀ-ÖØ-öø-ɏ]+[,.;:]? )*[0-9A-Za-zÀ-ÖØ-öø-ɏ]+[,.;:]?")
"""Text that can be wrapped only after its spaces."""
WINDOW = 2_000
"""Characters processed at a time, so that a very long text is not read again for each of its lines."""
ESCAPED = re.compile(rb"([\\()\r])")


class Letters:
    """Characters of one style that its first font contains."""

    def __init__(self, shaper: Shaper) -> None:
        self.shaper = shaper
        alone = shaper.glyphs(ASCII) if shaper.context_free else shaper.glyphs("x")
        self.face = next((glyph.face for glyph in alone if glyph), "")
        self.glyphs: dict[str, Glyph | None] = {}
        self.advances: dict[str, int] = {}
        self.codes = _Codes(self)
        self._free = len(alone) == len(ASCII)
        if self._free:
            self._learn_all(ASCII, alone)
            self._learn_all(LATIN, shaper.glyphs(LATIN))
        self.latin = {letter for letter in ASCII + LATIN if self.has(letter) and self._coded(letter)}
        self.ascii = self.latin.issuperset(ASCII)
        """Whether printable ASCII can be written without encoding."""
        size = format_number(shaper.drawn_size * POINT, EXACT)
        self._set_wide = f"/{self.face} {size} Tf".encode()
        shaper.home = self.home = f"/{self.face}{ONE_BYTE} {size} Tf".encode() if self.latin else self._set_wide

    def _learn_all(self, letters: str, glyphs: Sequence[Glyph | None]) -> None:
        if len(letters) == len(glyphs):  # otherwise some joined, and each is shaped separately later
            for letter, glyph in zip(letters, glyphs, strict=True):
                self._learn(letter, glyph)

    def _learn(self, letter: str, glyph: Glyph | None) -> bool:
        if glyph is None or glyph.face != self.face:
            self.glyphs[letter] = None
            return False
        self.glyphs[letter] = glyph
        self.advances[letter] = glyph.advance
        return True

    def _coded(self, letter: str) -> bool:
        """Return whether the font has a one-byte code for `letter` that stands for the glyph of this style."""
        glyph = self.glyphs[letter]
        assert glyph is not None
        return self.shaper.code(glyph, letter)

    def has(self, letter: str) -> bool:
        """Return whether `letter` is one glyph of the font, regardless of its neighbors."""
        if letter not in self.glyphs:
            found = self.shaper.glyphs(letter) if self._free and ALONE.fullmatch(letter) else []
            self._learn(letter, found[0] if len(found) == 1 else None)
        return self.glyphs[letter] is not None

    def covers(self, text: str) -> bool:
        return all(letter in self.advances or self.has(letter) for letter in set(text))

    @cached_property
    def widest(self) -> int:
        """Largest advance of Latin-1 characters, in 1/1024 pixel."""
        return max((self.advances[letter] for letter in self.latin), default=0)

    def width(self, text: str) -> int:
        return sum(map(self.advances.__getitem__, text))

    def show(self, text: str) -> bytes:
        """Return the operators that draw `text`, for which `covers` is true."""
        if self.ascii and text.isascii():
            return b"(%b)Tj" % escaped(text.encode())
        codes = text.translate(self.codes)
        if self.latin.issuperset(text):
            return b"(%b)Tj" % escaped(text.encode("latin-1"))
        return b"%b(%b)Tj %b" % (self._set_wide, escaped(codes.encode("utf-16-be", "surrogatepass")), self.home)

    def lines(self, text: str, limit: int | None, *, breaks_words: bool) -> Iterator[Line]:
        """Break `text`, for which `covers` is true, into lines of at most `limit` (1/1024 pixel), as Pango does."""
        above = self.shaper.above
        for line in [text] if limit is None or self.width(text) <= limit else self._wrapped(text, limit, breaks_words):
            yield Line(self.width(line) / 1024, above, self.show(line))

    def _wrapped(self, text: str, limit: int, breaks_words: bool) -> Iterator[str]:
        while text:
            head, tail = text[:WINDOW], text[WINDOW:]
            lines, rest, broken = self._filled(head, limit, breaks_words)
            yield from lines
            if not broken and not (lines and tail):
                yield rest.rstrip(" ")
                rest = ""
            text = (rest + tail).lstrip(" ")

    def _filled(self, text: str, limit: int, breaks_words: bool) -> tuple[list[str], str, bool]:
        """Return the full lines, the text left for the next one, and whether that text starts within a word.

        After a word is broken, the rest is processed from its start, as Pango does, since it may allow other breaks.
        """
        lines, start, used, place = list[str](), 0, 0, 0
        for word in self._words(text):
            bare = self.width(word.rstrip(" "))
            if place > start and used + bare > limit:
                lines.append(text[start:place].rstrip(" "))
                start, used = place, 0
            if place == start and bare > limit and breaks_words:
                head = self._head(word, limit)
                return [*lines, head.rstrip(" ")], text[start + len(head) :], True
            used += self.width(word)
            place += len(word)
        return lines, text[start:], False

    def _words(self, text: str) -> Sequence[str]:
        """Split `text` wherever a line may end."""
        if WORDS.fullmatch(text):
            *words, last = text.split(" ")
            return [*(word + " " for word in words), last]
        places = [0, *self.shaper.breaks(text), len(text)]
        return [text[start:end] for start, end in pairwise(places)]

    def _head(self, word: str, limit: int) -> str:
        """Return the start of a word that is wider than a line: as much as fits, and at least one character.

        A non-breaking space stays on the line even if it does not fit.
        """
        used = 0
        for place, letter in enumerate(word):
            used += self.advances[letter]
            if used > limit and place and not letter.isspace():
                return word[:place]
        return word


def letters_by_style(shapers: Iterable[Shaper]) -> dict[int, Letters]:
    """Return the letters of each style by its number."""
    found: dict[int, Letters] = {}
    for shaper in shapers:
        if shaper.number not in found:
            found[shaper.number] = Letters(shaper)
    return found


class _Codes(dict[int, str]):
    """Translation table from characters to glyph numbers. A lookup records the glyph as used in the font."""

    def __init__(self, letters: Letters) -> None:
        super().__init__()
        self._letters = letters

    def __missing__(self, code: int) -> str:
        letters, letter = self._letters, chr(code)
        glyph = letters.glyphs[letter]
        assert glyph is not None
        self[code] = chr(glyph.number)
        letters.shaper.record(glyph, letter)
        return self[code]


def escaped(data: bytes) -> bytes:
    return ESCAPED.sub(_escape, data) if ESCAPED.search(data) else data


def _escape(found: re.Match[bytes]) -> bytes:
    return b"\\r" if found[1] == b"\r" else b"\\" + found[1]
