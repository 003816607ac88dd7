"""Readers that turn exported files into tables, based on third-party libraries."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from decimal import Decimal
from io import BytesIO, StringIO
from typing import Any, NoReturn

from openpyxl import load_workbook

Table = list[dict[str, Any]]
"""Rows as mappings from a column's name or heading to its value."""


def _csv(data: bytes) -> Table:
    return list(csv.DictReader(StringIO(data.decode("utf-8-sig"), newline=""), strict=True))


def _json(data: bytes) -> Table:
    return list(json.loads(data, parse_float=Decimal, parse_constant=_not_json))


def _jsonl(data: bytes) -> Table:
    return [json.loads(line, parse_float=Decimal, parse_constant=_not_json) for line in data.decode().split("\n")[:-1]]


def _not_json(name: str) -> NoReturn:
    raise ValueError(f"{name} is not valid JSON")


def _xlsx(data: bytes) -> Table:
    (names, *rows) = load_workbook(BytesIO(data)).worksheets[0].iter_rows(values_only=True)
    return [dict(zip(map(str, names), row, strict=True)) for row in rows]


def _parquet(data: bytes) -> Table:
    from pyarrow import parquet

    return list(parquet.read_table(BytesIO(data)).to_pylist())


READERS: dict[str, Callable[[bytes], Table]] = {
    "csv": _csv,
    "json": _json,
    "jsonl": _jsonl,
    "xlsx": _xlsx,
    "parquet": _parquet,
}
"""Readers by file extension."""
