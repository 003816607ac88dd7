"""CSV: RFC 4180 in UTF-8."""

from __future__ import annotations

import csv
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import BinaryIO, ClassVar
from zoneinfo import ZoneInfo

from django.utils.duration import duration_iso_string
from django.utils.translation import gettext_lazy as _

from exports.datasets import Column, ColumnType, Row, flat
from exports.datasets.copying import Copying, quoted
from exports.datasets.moments import written
from exports.formats import register
from exports.formats.base import Framed, Option, RenderContext, Written
from exports.formats.values import (
    REPLACED,
    Writers,
    batches,
    convert,
    converters,
    copying_of,
    encode,
    float_text,
    moment,
)

FORMULA = frozenset("=+-@\t\r\n＝＋－＠")
SUSPECT = FORMULA | {" "}
FORMULA_SQL = r"E'^ *[=+@\\t\\r\\n＝＋－＠-]'"
"""The same as a regular expression."""
FIRST = ",".join(str(ord(letter)) for letter in sorted({"\0"} | SUSPECT))
"""Numbers of the letters that a text of interest begins with."""
DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t"}


@register
class Csv(Framed):
    """Comma-separated values that spreadsheets open without running anything.

    CRLF ends a row, a cell is quoted when it must be, None is an empty cell, booleans are true and false, decimals
    have the digits of the database, choices stand in words, date-times are ISO 8601 with the offset of the context's
    zone. NUL and lone surrogates, which no reader takes, become U+FFFD.

    Text that begins like a formula gets an apostrophe in front, as OWASP's page "CSV Injection" advises, with its
    characters: = + - @, tab, CR, LF and the full-width forms. Also after leading spaces, because some spreadsheets trim
    cells first. Numbers and dates never do: -5 stays -5.
    """

    key = "csv"
    label = _("CSV")
    hint = _("For spreadsheets and databases; any number of rows")
    extension = "csv"
    content_type = "text/csv; charset=utf-8"
    rows_per_second = 400_000
    options: ClassVar = (
        Option(
            "delimiter",
            _("Between cells"),
            (("comma", _("Comma")), ("semicolon", _("Semicolon")), ("tab", _("Tab"))),
        ),
        Option("excel", _("For Excel"), (("no", _("No")), ("yes", _("Yes: marked as UTF-8")))),
    )

    def head(self, context: RenderContext) -> bytes:
        lines = _Lines(self._delimiter(context))
        lines.writerows([[guarded(str(slot.label)) for slot in flat(context.columns)]])
        return (BOM_UTF8 if self.option("excel", context) == "yes" else b"") + lines.taken()

    def write(self, rows: Iterable[Row], out: BinaryIO, context: RenderContext) -> Written:
        slots = flat(context.columns)
        copying = copying_of(rows) if len(slots) > 1 else None  # COPY has its own ideas of a lone empty cell
        if copying is not None:
            return self._copy(copying, out, context)
        lines = _Lines(self._delimiter(context))
        converts = converters(slots, _writers(context.zone), none="", words=True)
        count = 0
        for batch in batches(rows):
            lines.writerows(convert(batch, converts))
            out.write(lines.taken())
            count += len(batch)
        return Written(count)

    def _copy(self, copying: Copying, out: BinaryIO, context: RenderContext) -> Written:
        cells = map(_cell, copying.slots, copying.types, copying.names, [context.zone] * len(copying.slots))
        options = f"(FORMAT csv, DELIMITER {quoted(self._delimiter(context))})"
        out.writelines(map(_ended_with_crlf, copying.run(", ".join(cells), options)))
        return Written(copying.done)

    def _delimiter(self, context: RenderContext) -> str:
        return DELIMITERS[self.option("delimiter", context)]


class _Lines:
    """Rows of text as lines of CSV, until they are taken."""

    def __init__(self, delimiter: str) -> None:
        self._lines: list[str] = []
        self.writerows = csv.writer(SimpleNamespace(write=self._lines.append), delimiter=delimiter).writerows

    def taken(self) -> bytes:
        data = encode("".join(self._lines).replace("\0", REPLACED))
        self._lines.clear()
        return data


def _writers(zone: ZoneInfo) -> Writers[str]:
    return {
        str: guarded,
        int: str,
        Decimal: "{:f}".format,
        float: float_text,
        bool: {True: "true", False: "false"}.__getitem__,
        date: date.isoformat,
        datetime: moment(zone),
        time: time.isoformat,
        timedelta: duration_iso_string,
    }


def guarded(text: str) -> str:
    """`text`, with an apostrophe in front when a spreadsheet could take it for a formula."""
    if text[:1] not in SUSPECT or text.lstrip(" ")[:1] not in FORMULA:
        return text
    return "'" + text


def _ended_with_crlf(lines: Sequence[memoryview]) -> bytes:
    """The lines of COPY, which end with LF; so may lines inside of a cell, and those stay."""
    data = b"".join(lines)
    if data.count(b"\n") == len(lines):
        return data.replace(b"\n", b"\r\n")
    return b"".join([bytes(line[:-1]) + b"\r\n" for line in lines])


def _cell(slot: Column, kind: ColumnType, name: str, zone: ZoneInfo) -> str:
    """SQL of what stands in the slot's cell: the same as Python's, NULL for an empty one."""
    if slot.type is ColumnType.CHOICE:
        return _worded(slot, kind, name)
    match kind:
        case ColumnType.TEXT:
            return _guarded(name)
        case ColumnType.BOOLEAN:
            return f"{name}::text"
        case ColumnType.DATETIME:
            return written(name, zone)
        case _:
            return name


def _guarded(name: str) -> str:
    """`guarded` in SQL, NULL for "". A look at the first letter's number, 0 for none, is enough for most texts."""
    formula = f'{name} COLLATE "C" ~ {FORMULA_SQL}'
    suspect = f"CASE WHEN ascii({name}) = 0 THEN NULL WHEN {formula} THEN '''' || {name} ELSE {name} END"
    return f"CASE WHEN ascii({name}) = ANY('{{{FIRST}}}') THEN {suspect} ELSE {name} END"


def _worded(slot: Column, kind: ColumnType, name: str) -> str:
    """A choice in words in SQL."""
    plain = _guarded(name) if kind is ColumnType.TEXT else f"{name}::text"
    value = f'{name} COLLATE "C"' if kind is ColumnType.TEXT else name
    words = " ".join(f"WHEN {key} THEN {text}" for key, text in _words(slot, kind))
    return f"CASE {value} {words} ELSE {plain} END" if words else plain


def _words(slot: Column, kind: ColumnType) -> Iterator[tuple[str, str]]:
    """Literals of the stored values that such a column can hold, and of the cells that stand for them."""
    for value, text in slot.words.items():
        cell = quoted(encode(guarded(text).replace("\0", REPLACED)).decode())
        if kind is ColumnType.TEXT and isinstance(value, str) and value == encode(value.replace("\0", "")).decode():
            yield quoted(value), f"NULLIF({cell}, '')"
        elif kind is ColumnType.INTEGER and isinstance(value, int):
            yield str(int(value)), f"NULLIF({cell}, '')"
        elif kind is ColumnType.BOOLEAN and value in (0, 1):
            yield str(bool(value)), f"NULLIF({cell}, '')"
