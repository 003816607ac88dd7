"""PDF format: a printable table that WeasyPrint lays out from a template."""

from exports.formats.pdf.format import Pdf

__all__ = ["Pdf"]
