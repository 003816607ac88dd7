"""XLSX: rows as the XML of a worksheet, written in parts that are joined as they are.

No cell and no row says where it stands (`r` is optional: ECMA-376 part 1, 18.3.1.4 and 18.3.1.73), so a piece is the
same bytes wherever it comes to lie. A row is a line: nothing in it holds a line end.
"""

from exports.formats.xlsx.format import Xlsx

__all__ = ["Xlsx"]
