"""CSV: RFC 4180 in UTF-8."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import BinaryIO

from django.utils.translation import gettext_lazy as _

from exports.formats import register
from exports.formats.base import Format, RenderContext, Row, Written
from exports.formats.values import REPLACED, Writers, batches, convert, converters, encode, moment

FORMULA = frozenset("=+-@\t\r\n＝＋－＠")
SUSPECT = FORMULA | {" "}


@register
class Csv(Format):
    """Comma-separated values that spreadsheets open without running anything.

    CRLF ends a row, a cell is quoted when it must be, None is an empty cell, booleans are true and false, decimals
    have the digits of the database, date-times are ISO 8601 with the offset of the context's zone. NUL and lone
    surrogates, which no reader takes, become U+FFFD.

    Text that begins like a formula gets an apostrophe in front, as OWASP's page "CSV Injection" advises, with its
    characters: = + - @, tab, CR, LF and the full-width forms. Also after leading spaces, because some spreadsheets trim
    cells first. Numbers and dates never do: -5 stays -5.
    """

    key = "csv"
    label = _("CSV")
    hint = _("For spreadsheets and databases; any number of rows")
    extension = "csv"
    content_type = "text/csv; charset=utf-8"
    splittable = True

    def write(self, rows: Iterable[Row], out: BinaryIO, context: RenderContext) -> Written:
        lines: list[str] = []
        writer = csv.writer(SimpleNamespace(write=lines.append))
        if context.first:
            writer.writerow([guarded(str(column.label)) for column in context.columns])
        writers: Writers[str] = {
            str: guarded,
            int: str,
            Decimal: "{:f}".format,
            bool: {True: "true", False: "false"}.__getitem__,
            date: date.isoformat,
            datetime: moment(context.zone),
        }
        converts = converters(context.columns, writers, none="")
        count = 0
        for batch in batches(rows):
            writer.writerows(convert(batch, converts))
            count += len(batch)
            _flush(lines, out)
        _flush(lines, out)
        return Written(count)


def _flush(lines: list[str], out: BinaryIO) -> None:
    out.write(encode("".join(lines).replace("\0", REPLACED)))
    lines.clear()


def guarded(text: str) -> str:
    """`text`, with an apostrophe in front when a spreadsheet could take it for a formula."""
    if text[:1] not in SUSPECT or text.lstrip(" ")[:1] not in FORMULA:
        return text
    return "'" + text
