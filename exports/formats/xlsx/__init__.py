"""XLSX: rows as the XML of a worksheet, written in parts that are joined as they are.

Each row is one line of XML: nothing inside it contains a line end. Rows and cells carry their position as planned. Rows
that end up at another position are renumbered when the workbook is assembled.
"""

from exports.formats.xlsx.format import Xlsx

__all__ = ["Xlsx"]
