"""The layout shared by all parts of a workbook, from a sample of the rows: column widths and non-ISO currencies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any
from unicodedata import east_asian_width

from exports.datasets import Column, ColumnType, Row
from exports.formats.values import as_plain
from exports.formats.xlsx.styles import unknown

FIXED = {ColumnType.DATE: 11, ColumnType.DATETIME: 19, ColumnType.BOOLEAN: 7, ColumnType.TIME: 9}
"""Widths of types whose values all have the same length."""
ROOM = {
    ColumnType.INTEGER: 12,
    ColumnType.DECIMAL: 14,
    ColumnType.FLOAT: 14,
    ColumnType.MONEY: 18,
    ColumnType.DURATION: 11,
}
"""Minimum widths of numbers, because the sample may only have small ones."""
LEAST, LABEL, MOST = 6, 40, 60
"""Widths in digits: the minimum of any column, the maximum for headings, and the maximum for values."""
AROUND = 2


def layout(columns: Sequence[Column], sample: Sequence[Row]) -> dict[str, Any]:
    slots = iter(zip(*sample, strict=True)) if sample else iter(())
    widths, codes = [], []
    for column in columns:
        values = [next(slots, ()) for _ in column.slots]
        widths.append(_width(column, list(zip(*values, strict=True))))
        if column.type is ColumnType.MONEY:
            codes += [code for code in values[1] if isinstance(code, str)]
    return {"widths": widths, "currencies": unknown(codes)}


def _width(column: Column, values: Iterable[tuple[Any, ...]]) -> int:
    label = min(_letters(str(column.label)) + AROUND, LABEL)  # leaves room for the filter button
    widest = FIXED.get(column.type) or max((_letters(words) for words in _words(column, values)), default=0)
    return max(LEAST, ROOM.get(column.type, 0), label, min(widest, MOST)) + AROUND


def _words(column: Column, values: Iterable[tuple[Any, ...]]) -> Iterable[str]:
    """Yield the values approximately as they look in a cell."""
    words = column.words if column.type is ColumnType.CHOICE else {}
    for value, *code in values:
        match None if value is None else as_plain(value):
            case None:
                continue
            case Decimal() as number if code:
                yield f"{number:,f} {code[0] or ''}"
            case str() as text if text in words:
                yield words[text]
            case plain:
                yield str(plain)


def _letters(text: str) -> int:
    """Return the width of the longest line in digits. East Asian wide characters count as two."""
    return max(sum(1 + (east_asian_width(letter) in "WF") for letter in line) for line in text[:200].split("\n"))
