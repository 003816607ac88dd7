"""Shaping by Pango and drawing by WeasyPrint: fonts, glyphs, and lines of text in one style."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from types import SimpleNamespace
from typing import Any

import pydyf
from weasyprint.draw.text import draw_first_line
from weasyprint.matrix import Matrix
from weasyprint.pdf import _use_references, fonts
from weasyprint.pdf.fonts import Font, build_fonts_dictionary
from weasyprint.pdf.stream import Stream
from weasyprint.text.ffi import FROM_UNITS, TO_UNITS, ffi, pango
from weasyprint.text.fonts import get_hb_object_data, get_pango_font_key
from weasyprint.text.line_break import create_layout, get_log_attrs, split_first_line, strut

logging.getLogger("weasyprint").addFilter(lambda record: ".notdef glyph" not in record.getMessage())

POINT = 0.75
"""Points in a pixel."""
WINDOW = 4
"""Lines that are handed to Pango at a time."""
ONE_BYTE = "L"
"""What the name of a font ends in where it has codes of one byte."""
SOFT = "\u00ad"
ENDS = " \n\t\f\x85\u2028\u2029" + SOFT
"""What may stand between two lines and be in neither."""
UNKNOWN = pango.PANGO_GLYPH_UNKNOWN_FLAG
EMPTY_RUN = re.compile(rb"/\S+ [\d.]+ Tf\s+\[(?:<>|[-.0]+)*\] ?TJ\s*")
"""The run of characters that draw nothing, as U+061C: it would name a font that has no glyph in the file."""
# fmt: off
STYLE = (
    "font_family", "font_style", "font_stretch", "font_weight", "font_size", "line_height", "color",
    "font_kerning", "font_variant_ligatures", "font_variant_position", "font_variant_caps", "font_variant_numeric",
    "font_variant_alternates", "font_variant_east_asian", "font_feature_settings", "font_variation_settings",
    "font_language_override", "lang", "letter_spacing", "word_spacing", "white_space", "overflow_wrap",
    "word_break", "hyphens", "text_transform", "visibility", "direction",
)
# fmt: on
"""The properties that text is written by."""


def style_key(style: Any) -> str:
    """The same for styles that write text alike."""
    return str([str(style[name]) for name in STYLE])


@dataclass(frozen=True)
class Line:
    """A line of text that Pango has shaped; `ops` draw it at the text position, in points."""

    width: float
    above: float
    ops: bytes
    missing: str = ""


@dataclass(frozen=True)
class Glyph:
    """What a letter alone is drawn with."""

    face: str
    number: int
    advance: int


@contextmanager
def _no_copies() -> Iterator[None]:
    """Inside, WeasyPrint's fonts do not hold their files: 20 MB of one for East Asia."""
    usual = fonts.get_hb_object_data
    fonts.get_hb_object_data = lambda *_: b""
    try:
        yield
    finally:
        fonts.get_hb_object_data = usual


class Texts(dict[int, str]):
    """The text that each glyph stands for: where there are several, the least, and not the first that was met.

    WeasyPrint looks whether it has a glyph's text, and would keep the first one.
    """

    def __contains__(self, glyph: object) -> bool:
        return False

    def __setitem__(self, glyph: int, text: str) -> None:
        super().__setitem__(glyph, min(text, self.get(glyph, text)))


class Face(Font):  # type: ignore[misc]
    """A font, without the copy of its file that would be held, and the same in every process that meets it."""

    def __init__(self, *args: Any) -> None:
        with _no_copies():
            super().__init__(*args)
        self.to_unicode: dict[int, str] = Texts()
        self.sample: tuple[int, str] = (0, "")
        """The style and the text that led to it."""
        self.latin: dict[str, int] = {}
        """The glyphs of letters that have codes of one byte, which are Latin-1's."""

    def get_unused_glyph_id(self, codepoint: int) -> int:
        free = 65_536 - self.glyph_count
        return int(self.missing.setdefault(codepoint, self.glyph_count + codepoint % free if free > 0 else 65_535))

    def subset(self, to_unicode: Mapping[int, str], hinting: bool) -> None:
        super().subset(to_unicode, hinting)
        if not getattr(self, "file_content", b""):  # it was not subset
            self.file_content = get_hb_object_data(self.hb_face)


class Pen(Stream):  # type: ignore[misc]
    """Draws a line of text at the text position that is there, in points. `met` are the fonts of what was drawn."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.met: list[Face] = []

    def add_font(self, pango_font: Any) -> tuple[Face, float]:
        key, description, size = get_pango_font_key(pango_font)
        if key not in self._fonts:
            self._fonts[key] = Face(pango_font, description, size)
        self.met.append(self._fonts[key])
        return self._fonts[key], size

    def set_text_matrix(self, *values: float) -> None:
        """Stay where we are."""

    def set_font_size(self, font: str, size: float) -> None:
        pydyf.Stream.set_font_size(self, font, size * POINT)

    def set_text_rise(self, height: float) -> None:
        super().set_text_rise(height * POINT)

    def taken(self) -> bytes:
        ops = joined(self)
        self.stream.clear()
        self.met.clear()
        return ops


class Paper(Pen):
    """Draws whole boxes, where they lie, in pixels."""

    set_text_matrix = pydyf.Stream.set_text_matrix
    set_font_size = Stream.set_font_size
    set_text_rise = pydyf.Stream.set_text_rise


def joined(stream: Any) -> bytes:
    return b"\n".join(pydyf._to_bytes(item) for item in stream.stream)


@dataclass
class Inks:
    """What drawing needs beside its operators: fonts, and the other resources."""

    fonts: dict[int, Face] = field(default_factory=dict)
    images: dict[str, Any] = field(default_factory=dict)
    resources: Any = field(
        default_factory=lambda: pydyf.Dictionary(
            {name: pydyf.Dictionary() for name in ("ExtGState", "XObject", "Pattern", "Shading", "ColorSpace")}
        )
    )

    def stream(self, kind: type[Pen], area: tuple[float, ...] = (0, 0, 1, 1)) -> Any:
        return kind(self.fonts, area, self.resources, self.images, None, {}, None, compress=False)

    def sort(self) -> None:
        """Put the fonts into an order that does not depend on where they were met first."""
        fonts = sorted(self.fonts.items(), key=lambda item: item[1].hash)
        self.fonts.clear()
        self.fonts.update(fonts)

    def face(self, name: str) -> Face:
        return next(face for face in self.fonts.values() if face.hash == name)

    def add_to(self, pdf: Any) -> dict[str, bytes]:
        """Add all resources to `pdf`; a reference for each font. Their glyphs must be known by now."""
        options = {"hinting": False, "pdf_version": b"1.7"}
        found = build_fonts_dictionary(pdf, self.fonts, True, True, options)
        self.resources["Font"] = found
        _use_references(pdf, self.resources, self.images, {})
        return dict(found)


class Shaper:
    """Pango's way with text in one style; `number` is the column whose style it is."""

    def __init__(self, style: Any, number: int, inks: Inks) -> None:
        self.style, self.number, self._inks = style, number, inks
        self._pen = inks.stream(Pen)
        self.line_height, self.above = strut(style)
        self.size = style["font_size"]
        self.drawn_size = int(self.size * TO_UNITS) * FROM_UNITS
        self.home = b""
        """What sets the font again that the column's letters are usually drawn with."""

    @cached_property
    def color(self) -> bytes:
        self._pen.set_color(self.style["color"])
        self._pen._current_color = self._pen._current_alpha = None
        return bytes(self._pen.taken())

    @property
    def context_free(self) -> bool:
        """Letters are drawn alike whatever stands beside them."""
        style = self.style
        plain: dict[str, Any] = {
            "font_kerning": "none",
            "font_variant_ligatures": "none",
            "letter_spacing": ("normal", 0),
            "word_spacing": 0,
            "font_variant_caps": "normal",
            "direction": "ltr",
        }
        return all(style[name] in (value if isinstance(value, tuple) else (value,)) for name, value in plain.items())

    def glyphs(self, text: str) -> list[Glyph | None]:
        """What draws each letter of `text`, whose letters must not join; None where no font has it."""
        layout = create_layout(text, self.style, None, None, 0)
        found: list[Glyph | None] = []
        for font, info in _runs(layout):
            face, size = self._pen.add_font(font)
            self._sampled(text)
            if info.glyph & UNKNOWN:
                found.append(None)
            else:
                self._measure(face, font, info.glyph, size)
                found.append(Glyph(face.hash, info.glyph, info.geometry.width))
        return found

    def _measure(self, face: Face, font: Any, glyph: int, size: float) -> None:
        if glyph not in face.widths:
            pango.pango_font_get_glyph_extents(font, glyph, self._pen.ink_rect, self._pen.logical_rect)
            face.widths[glyph] = round(self._pen.logical_rect.width * 1000 * FROM_UNITS / size)

    def code(self, glyph: Glyph, letter: str) -> bool:
        """Whether `letter`, one of Latin-1, may be written as one byte: the first style to ask decides for a font."""
        return self._inks.face(glyph.face).latin.setdefault(letter, glyph.number) == glyph.number

    def record(self, glyph: Glyph, text: str) -> None:
        """`glyph` is used, and stands for `text`."""
        self._inks.face(glyph.face).to_unicode[glyph.number] = text

    def breaks(self, text: str) -> list[int]:
        """The places in `text` where a line may end."""
        attributes = get_log_attrs(text, self.style["lang"])
        return [place for place in range(1, len(text)) if attributes[place].is_line_break]

    def lines(self, text: str, width: float | None) -> Iterator[Line]:
        """`text`, white space already collapsed, in lines of up to `width`, exactly as a text box would have them."""
        window = len(text) if width is None else max(200, int(width / self.size * 4 * WINDOW))
        while text := text.lstrip(" "):
            head = text[:window]
            layout, length, resume, wide, high, baseline = split_first_line(head, self.style, None, width, 0)
            taken = len(head) if resume is None else len(head.encode()[:resume].decode())
            if resume is not None and head.encode()[length:resume].decode().strip(ENDS):
                text = text.replace(SOFT, "")  # its hyphens led WeasyPrint to leave out words
                continue
            yield self._line(layout, wide, high, baseline) if length else Line(0, self.above, b"")
            text = text[taken:]

    def _line(self, layout: Any, width: float, height: float, baseline: float) -> Line:
        above = baseline + (self.line_height - height) / 2
        text = layout.text.rstrip(" ")
        if not text:
            return Line(0, above, b"")
        if text != layout.text:
            layout, _, _, width, *_ = split_first_line(text, self.style, None, None, 0)
        layout.reactivate(self.style)
        box = SimpleNamespace(text=text, style=self.style, pango_layout=layout, baseline=baseline)
        pictures = draw_first_line(self._pen, box, "clip", "none", Matrix())
        self._sampled(text)
        ops = b"%b %b" % (EMPTY_RUN.sub(b"", self._pen.taken().replace(b">0<", b"")), self.home)
        undrawn = [letter for letter in text if ord(letter) > 0x2100][
            : len(pictures)
        ]  # fonts of pictures: none is drawn
        return Line(width, above, ops, self._lacking(text) + "".join(undrawn))

    def _sampled(self, text: str) -> None:
        for face in self._pen.met:
            face.sample = face.sample if face.sample[1] else (self.number, text)
        self._pen.met.clear()

    def _lacking(self, text: str) -> str:
        lacking = {code for face in self._inks.fonts.values() for code in face.missing}
        return "".join(letter for letter in text if ord(letter) in lacking) if lacking else ""


def _runs(layout: Any) -> Iterator[tuple[Any, Any]]:
    """The font and the glyph of each letter of the layout's first line, in the order they are drawn in."""
    line, _ = layout.get_first_line()
    run = line.runs
    while run != ffi.NULL:
        item = run.data
        for index in range(item.glyphs.num_glyphs):
            yield item.item.analysis.font, item.glyphs.glyphs[index]
        run = run.next
