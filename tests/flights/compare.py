"""Read exported files with other tools than those that wrote them, and compute their totals."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from io import BytesIO, StringIO
from typing import Any

import openpyxl

from tests.flights.source import Totals, totals


def totals_of(content: bytes, kind: str) -> Totals:
    """Return the totals of an exported file. `content` is the whole file, `kind` the key of its format."""
    return totals(rows_of(content, kind))


def rows_of(content: bytes, kind: str) -> Iterator[dict[str, Any]]:
    """Yield the rows by column name. Empty cells are None."""
    match kind:
        case "csv":
            for line in csv.DictReader(StringIO(content.decode("utf-8-sig"), newline="")):
                yield {name: value or None for name, value in line.items()}
        case "jsonl":
            yield from map(json.loads, BytesIO(content))
        case "xlsx":
            lines = openpyxl.load_workbook(BytesIO(content), read_only=True).worksheets[0].iter_rows(values_only=True)
            names = [str(name) for name in next(lines)]
            for cells in lines:
                yield dict(zip(names, cells, strict=True))
        case _:
            raise ValueError(f"There is no reader for {kind}.")
