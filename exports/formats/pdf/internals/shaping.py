"""Shaping with Pango and drawing with WeasyPrint: fonts, glyphs, and lines of text in one style."""

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
"""Points per CSS pixel."""
WINDOW = 4
"""Approximate number of lines passed to Pango at a time."""
ONE_BYTE = "L"
"""Suffix of the names of fonts with one-byte codes."""
SOFT = "\u00ad"
ENDS = " \n\t\f\x85\u2028\u2029" + SOFT
"""Characters that may be dropped between two lines."""
UNKNOWN = pango.PANGO_GLYPH_UNKNOWN_FLAG
EMPTY_RUN = re.compile(rb"/\S+ [\d.]+ Tf\s+\[(?:<>|[-.0]+)*\] ?TJ\s*")
"""A run of characters that draw nothing, such as U+061C. It would name a font that has no glyph in the file."""
# fmt: off
STYLE = (
    "font_family", "font_style", "font_stretch", "font_weight", "font_size", "line_height", "color",
    "font_kerning", "font_variant_ligatures", "font_variant_position", "font_variant_caps", "font_variant_numeric",
    "font_variant_alternates", "font_variant_east_asian", "font_feature_settings", "font_variation_settings",
    "font_language_override", "lang", "letter_spacing", "word_spacing", "white_space", "overflow_wrap",
    "word_break", "hyphens", "text_transform", "visibility", "direction",
)
# fmt: on
"""Style properties that affect the rendering of text."""


def style_key(style: Any) -> str:
    """Return a key that is equal for styles that render text alike."""
    return str([str(style[name]) for name in STYLE])


@dataclass(frozen=True)
class Line:
    """A line of text. `width` and `above` (top to baseline) are pixels; `ops` draw it at the text position, in points.

    `missing` contains the characters that no font has.
    """

    width: float
    above: float
    ops: bytes
    missing: str = ""


@dataclass(frozen=True)
class Glyph:
    """The glyph of a single character: font hash, glyph number, and advance in 1/1024 pixel."""

    face: str
    number: int
    advance: int


@contextmanager
def _without_file_copies() -> Iterator[None]:
    """Prevent new WeasyPrint fonts from keeping a copy of their file, which is 20 MB for an East Asian font."""
    usual = fonts.get_hb_object_data
    fonts.get_hb_object_data = lambda *_: b""
    try:
        yield
    finally:
        fonts.get_hb_object_data = usual


class GlyphTexts(dict[int, str]):
    """The text that each glyph stands for; the lexically smallest one if there are several.

    WeasyPrint would keep the first one, which depends on the order of drawing: it checks whether a text is present.
    """

    def __contains__(self, glyph: object) -> bool:
        return False

    def __setitem__(self, glyph: int, text: str) -> None:
        super().__setitem__(glyph, min(text, self.get(glyph, text)))


class Face(Font):  # type: ignore[misc]
    """A font that keeps no copy of its file and that is the same in every process that uses it."""

    def __init__(self, *args: Any) -> None:
        with _without_file_copies():
            super().__init__(*args)
        self.to_unicode: dict[int, str] = GlyphTexts()
        self.sample: tuple[int, str] = (0, "")
        """Style number and text that first led to this font."""
        self.latin: dict[str, int] = {}
        """Glyph numbers of the characters that have one-byte (Latin-1) codes."""

    def get_unused_glyph_id(self, codepoint: int) -> int:
        free = 65_536 - self.glyph_count
        return int(self.missing.setdefault(codepoint, self.glyph_count + codepoint % free if free > 0 else 65_535))

    def subset(self, to_unicode: Mapping[int, str], hinting: bool) -> None:
        super().subset(to_unicode, hinting)
        if not getattr(self, "file_content", b""):  # no subset was made
            self.file_content = get_hb_object_data(self.hb_face)


class LineStream(Stream):  # type: ignore[misc]
    """Draws a line of text at the current text position, in points. `used_fonts` is filled meanwhile."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.used_fonts: list[Face] = []

    def add_font(self, pango_font: Any) -> tuple[Face, float]:
        key, description, size = get_pango_font_key(pango_font)
        if key not in self._fonts:
            self._fonts[key] = Face(pango_font, description, size)
        self.used_fonts.append(self._fonts[key])
        return self._fonts[key], size

    def set_text_matrix(self, *values: float) -> None:
        """Keep the current text position."""

    def set_font_size(self, font: str, size: float) -> None:
        pydyf.Stream.set_font_size(self, font, size * POINT)

    def set_text_rise(self, height: float) -> None:
        super().set_text_rise(height * POINT)

    def take(self) -> bytes:
        ops = joined(self)
        self.stream.clear()
        self.used_fonts.clear()
        return ops


class BoxStream(LineStream):
    """Draws whole boxes at their own positions, in pixels."""

    set_text_matrix = pydyf.Stream.set_text_matrix
    set_font_size = Stream.set_font_size
    set_text_rise = pydyf.Stream.set_text_rise


def joined(stream: Any) -> bytes:
    return b"\n".join(pydyf._to_bytes(item) for item in stream.stream)


@dataclass
class Assets:
    """Fonts, images and other resources that drawing operators refer to."""

    fonts: dict[int, Face] = field(default_factory=dict)
    images: dict[str, Any] = field(default_factory=dict)
    resources: Any = field(
        default_factory=lambda: pydyf.Dictionary(
            {name: pydyf.Dictionary() for name in ("ExtGState", "XObject", "Pattern", "Shading", "ColorSpace")}
        )
    )

    def stream(self, kind: type[LineStream], area: tuple[float, ...] = (0, 0, 1, 1)) -> Any:
        return kind(self.fonts, area, self.resources, self.images, None, {}, None, compress=False)

    def sort(self) -> None:
        """Sort the fonts, so that their order does not depend on which one was used first."""
        fonts = sorted(self.fonts.items(), key=lambda item: item[1].hash)
        self.fonts.clear()
        self.fonts.update(fonts)

    def face(self, name: str) -> Face:
        return next(face for face in self.fonts.values() if face.hash == name)

    def add_to(self, pdf: Any) -> dict[str, bytes]:
        """Add all resources to `pdf` and return a reference for each font. All used glyphs must be recorded by then."""
        options = {"hinting": False, "pdf_version": b"1.7"}
        found = build_fonts_dictionary(pdf, self.fonts, True, True, options)
        self.resources["Font"] = found
        _use_references(pdf, self.resources, self.images, {})
        return dict(found)


class Shaper:
    """Shapes text in one style with Pango. `number` is the index of a column with that style."""

    def __init__(self, style: Any, number: int, assets: Assets) -> None:
        self.style, self.number, self._assets = style, number, assets
        self._stream = assets.stream(LineStream)
        self.line_height, self.above = strut(style)
        self.size = style["font_size"]
        self.drawn_size = int(self.size * TO_UNITS) * FROM_UNITS
        self.home = b""
        """Operators that restore the usual font of the column."""

    @cached_property
    def color(self) -> bytes:
        self._stream.set_color(self.style["color"])
        self._stream._current_color = self._stream._current_alpha = None
        return bytes(self._stream.take())

    @property
    def context_free(self) -> bool:
        """Whether the neighbors of a character never change how it is drawn."""
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
        """Return the glyph of each character of `text`, or None if no font has it. The characters must not join."""
        layout = create_layout(text, self.style, None, None, 0)
        found: list[Glyph | None] = []
        for font, info in _runs(layout):
            face, size = self._stream.add_font(font)
            self._record_sample(text)
            if info.glyph & UNKNOWN:
                found.append(None)
            else:
                self._measure(face, font, info.glyph, size)
                found.append(Glyph(face.hash, info.glyph, info.geometry.width))
        return found

    def _measure(self, face: Face, font: Any, glyph: int, size: float) -> None:
        if glyph not in face.widths:
            pango.pango_font_get_glyph_extents(font, glyph, self._stream.ink_rect, self._stream.logical_rect)
            face.widths[glyph] = round(self._stream.logical_rect.width * 1000 * FROM_UNITS / size)

    def code(self, glyph: Glyph, letter: str) -> bool:
        """Return whether the Latin-1 `letter` may be written as one byte. The first call fixes the code."""
        return self._assets.face(glyph.face).latin.setdefault(letter, glyph.number) == glyph.number

    def record(self, glyph: Glyph, text: str) -> None:
        """Record that `glyph` is used for `text`."""
        self._assets.face(glyph.face).to_unicode[glyph.number] = text

    def breaks(self, text: str) -> list[int]:
        """Return the positions in `text` where a line may end."""
        attributes = get_log_attrs(text, self.style["lang"])
        return [place for place in range(1, len(text)) if attributes[place].is_line_break]

    def lines(self, text: str, width: float | None) -> Iterator[Line]:
        """Break `text`, with white space collapsed, into lines of at most `width` pixels, as a text box would."""
        window = len(text) if width is None else max(200, int(width / self.size * 4 * WINDOW))
        while text := text.lstrip(" "):
            head = text[:window]
            layout, length, resume, wide, high, baseline = split_first_line(head, self.style, None, width, 0)
            taken = len(head) if resume is None else len(head.encode()[:resume].decode())
            if resume is not None and head.encode()[length:resume].decode().strip(ENDS):
                text = text.replace(SOFT, "")  # WeasyPrint omitted words because of soft hyphens
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
        pictures = draw_first_line(self._stream, box, "clip", "none", Matrix())
        self._record_sample(text)
        ops = b"%b %b" % (EMPTY_RUN.sub(b"", self._stream.take().replace(b">0<", b"")), self.home)
        # Glyphs of bitmap fonts are not drawn.
        undrawn = [letter for letter in text if ord(letter) > 0x2100][: len(pictures)]
        return Line(width, above, ops, self._undrawable(text) + "".join(undrawn))

    def _record_sample(self, text: str) -> None:
        for face in self._stream.used_fonts:
            face.sample = face.sample if face.sample[1] else (self.number, text)
        self._stream.used_fonts.clear()

    def _undrawable(self, text: str) -> str:
        missing = {code for face in self._assets.fonts.values() for code in face.missing}
        return "".join(letter for letter in text if ord(letter) in missing) if missing else ""


def _runs(layout: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the font and glyph of each character in the first line of `layout`, in drawing order."""
    line, _ = layout.get_first_line()
    run = line.runs
    while run != ffi.NULL:
        item = run.data
        for index in range(item.glyphs.num_glyphs):
            yield item.item.analysis.font, item.glyphs.glyphs[index]
        run = run.next
