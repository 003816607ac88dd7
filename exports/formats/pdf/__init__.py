"""PDF: a table to read or print, laid out by WeasyPrint from a template."""

from exports.formats.pdf.format import Pdf

__all__ = ["Pdf"]
