"""Shared helpers of format tests: columns, a context, difficult values, and readers of files."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from io import BytesIO, StringIO
from typing import Any
from zoneinfo import ZoneInfo

from openpyxl import load_workbook
from pypdf import PdfReader

from exports.datasets import Column, ColumnType
from exports.formats import Format, OpenPart, RenderContext, Row, writer

BERLIN = ZoneInfo("Europe/Berlin")
NOON = datetime(2024, 7, 1, 12, 0, tzinfo=UTC)
TYPES = (
    ColumnType.TEXT,
    ColumnType.INTEGER,
    ColumnType.DECIMAL,
    ColumnType.BOOLEAN,
    ColumnType.DATE,
    ColumnType.DATETIME,
)
ALL_TYPES = tuple(Column(kind.value, kind.value.title(), kind) for kind in TYPES)
"""One column of each plain type."""

HARD_TEXTS = {
    "quotes": "He said \"no\", twice; 'so' did I",
    "newlines": "first\nsecond\r\nthird\rfourth\n",
    "emoji with joiners": "👩‍👩‍👧‍👦 👍🏽 🏳️‍🌈",
    "right to left": "שלום עולם مرحبا بالعالم",
    "CJK": "東京都渋谷区 北京市 서울",
    "combining marks": "e\u0301 n\u0303 Z\u0351\u036b\u0343",
    "control characters": "a\x01b\x08c\x1bd\x7fe\x85f\u2028g\u2029h",
    "NUL": "a\0b",
    "lone surrogate": "a\ud800b\udfff",
    "no character": "\ufffe\uffff",
    "leading zeros": "00042",
    "formula": "=1+1",
    "formula after spaces": "  =cmd|'/c calc'!A1",
    "minus": "-5",
    "command": "@SUM(A1:A9)",
    "script": "</script><script>alert(1)</script>",
    "template": "{{ settings.SECRET_KEY }} {% now 'Y' %} %s %(x)s {0}",
    "HTML": "<b>html</b> &amp; & <!-- -->",
    "rich string": "<r><t>raw</t></r>",
    "escape of XlsxWriter": "_x0041_",
    "link": "https://example.com/?a=1&b=2",
    "empty": "",
    "blank": "   ",
    "backslashes": r"C:\new (folder) \( \) \\",
    "plus": "+49 30 1234567",
    "tab first": "\t=1+1",
    "apostrophe": "'=1+1",
    "metadata": "http://169.254.169.254/latest/meta-data/ file:///etc/passwd @import url(//a.example)",
    "words of SQL": "%s %(a)s '; DROP TABLE work_specimen; -- \\N \\. $$ E'\\x00'",
    "no break": "a\u00a0b\u202fc\u2060d\ufeffe\u00adf",
    "directions": "abc \u202e cba \u202c \u2067 def \u2069 \u200f",
}
LONG_TEXT = "a long one, " * 8_334
"""100,008 characters."""


def context(columns: Sequence[Column] = ALL_TYPES, **changes: Any) -> RenderContext:
    plain: dict[str, Any] = {
        "title": "Orders",
        "owner": "Ада & Söhne <GmbH>",
        "period": "1 to 31 July 2024",
        "zone": BERLIN,
        "requested_at": NOON,
    }
    return RenderContext(columns=columns, **(plain | changes))


def write(key: str, rows: Iterable[Row], where: RenderContext | None = None) -> bytes:
    """Return the whole file that the format makes of one part."""
    return write_parts(kind(key), [rows], where or context())


def write_parts(kind: Format, parts: Iterable[Iterable[Row]], where: RenderContext) -> bytes:
    """Return the whole file that the format makes of these parts, which are written and joined as in a worker."""
    held = [list(rows) for rows in parts]
    where = replace(where, layout=kind.prepare([row for rows in held for row in rows][:200], where))
    bodies = []
    for index, rows in enumerate(held):
        body = BytesIO()
        before = where.before + sum(map(len, held[:index]))
        written = kind.write(iter(rows), body, replace(where, index=index, before=before))
        assert written.rows == len(rows)
        bodies.append(OpenPart(BytesIO(body.getvalue()), written.rows, written.meta))
    out = BytesIO()
    total = sum(map(len, held))
    assert kind.assemble(iter(bodies), out, replace(where, rows=total)).rows == total
    return out.getvalue()


def kind(key: str) -> Format:
    return writer(key)


LOST = re.compile("[\\s\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffd-\uffff]")


def kept(text: str) -> str:
    """Return the characters that every format keeps: all except spaces and control characters.

    Excel's escape of an underscore is reverted.
    """
    return LOST.sub("", text.replace("_x005F_", "_"))


def read_csv(data: bytes) -> list[list[str]]:
    return list(csv.reader(StringIO(data.decode(), newline=""), strict=True))


def read_jsonl(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(line, parse_float=Decimal) for line in data.decode().split("\n")[:-1]]


def read_xlsx(data: bytes) -> list[list[tuple[Any, ...]]]:
    """Return the rows of each sheet, with None for an empty cell."""
    book = load_workbook(BytesIO(data))
    return [list(sheet.iter_rows(values_only=True)) for sheet in book.worksheets]


def read_pdf(data: bytes) -> list[str]:
    """Return the text of each page."""
    return [page.extract_text() for page in PdfReader(BytesIO(data)).pages]


ROW: Row = ("text", 42, Decimal("12.50"), True, date(2024, 7, 1), NOON)
