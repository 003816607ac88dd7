"""Every use of WeasyPrint's internals: what a template's own layout says, and Pango's shaping of a text in its style.

Lengths are CSS pixels from the page's upper left corner, advances 1/1024 of them. The release is pinned, and the
contract tests of the layout guard the pin.
"""

from exports.formats.pdf.internals.shaping import ONE_BYTE, POINT, Face, Glyph, Inks, Line, Shaper, style_key
from exports.formats.pdf.internals.sheet import (
    SAMPLE_ROWS,
    SHORT_ROWS,
    ColumnBox,
    Leaf,
    Margin,
    Sheet,
    counted,
    laid_out,
    sample,
)
from exports.formats.pdf.internals.unsupported import PERIOD, unfit

__all__ = [
    "ONE_BYTE",
    "PERIOD",
    "POINT",
    "SAMPLE_ROWS",
    "SHORT_ROWS",
    "ColumnBox",
    "Face",
    "Glyph",
    "Inks",
    "Leaf",
    "Line",
    "Margin",
    "Shaper",
    "Sheet",
    "counted",
    "laid_out",
    "sample",
    "style_key",
    "unfit",
]
