"""All code that uses WeasyPrint internals: reading the layout of a template, and shaping text with Pango.

Lengths are CSS pixels from the upper left corner of the page; advances are in 1/1024 pixel. The WeasyPrint release is
pinned, and the contract tests of the layout guard the pin.
"""

from exports.formats.pdf.internals.shaping import ONE_BYTE, POINT, Assets, Face, Glyph, Line, Shaper, style_key
from exports.formats.pdf.internals.sheet import (
    SAMPLE_ROWS,
    SHORT_ROWS,
    ColumnBox,
    Margin,
    PageKind,
    Sheet,
    counted,
    lay_out,
    sample,
)
from exports.formats.pdf.internals.unsupported import PERIOD, unsupported_template

__all__ = [
    "ONE_BYTE",
    "PERIOD",
    "POINT",
    "SAMPLE_ROWS",
    "SHORT_ROWS",
    "Assets",
    "ColumnBox",
    "Face",
    "Glyph",
    "Line",
    "Margin",
    "PageKind",
    "Shaper",
    "Sheet",
    "counted",
    "lay_out",
    "sample",
    "style_key",
    "unsupported_template",
]
