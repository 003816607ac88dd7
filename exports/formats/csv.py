"""CSV: RFC 4180 in UTF-8."""

from __future__ import annotations

import csv
import re
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, BinaryIO, ClassVar
from zoneinfo import ZoneInfo

from django.utils.duration import duration_iso_string
from django.utils.translation import gettext_lazy as _

from exports.datasets import Column, ColumnType, Row, flat
from exports.datasets.coercion import python_of
from exports.datasets.copying import Copying, quoted
from exports.datasets.moments import local as local_sql
from exports.datasets.moments import written
from exports.formats import register
from exports.formats.base import Framed, Option, RenderContext, Written
from exports.formats.context import unique
from exports.formats.formulas import guard, guarded_at_start_sql, guarded_inside, maybe_uncovered, uncovered
from exports.formats.table_schema import field
from exports.formats.values import (
    REPLACED,
    Writers,
    batches,
    convert,
    converters,
    copying_of,
    duration,
    encode,
    float_text,
    local,
    moment,
)


@dataclass(frozen=True)
class Dialect:
    """How a CSV file is written."""

    delimiter: str = ","
    byte_order_mark: bool = False
    """Without it, Excel reads the file in the computer's legacy encoding."""
    decimal_mark: str = "."
    for_excel: bool = False
    """Write date-times, times and durations as Excel reads them, instead of in ISO 8601."""
    guarded: bool = True
    """Escape text that looks like a formula; see exports.formats.formulas."""


DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t"}
PURPOSES = {
    "any": Dialect(),
    "excel": Dialect(byte_order_mark=True, for_excel=True),
    "excel-europe": Dialect(";", byte_order_mark=True, decimal_mark=",", for_excel=True),
    "programs": Dialect(guarded=False),
}
SYLK = "ID"
"""Excel treats a file that begins with this as the old SYLK format, and refuses it."""


@register
class Csv(Framed):
    """Comma-separated values that a spreadsheet opens without running formulas.

    Rows end with CRLF. Cells are quoted only where necessary. None is an empty cell, booleans are true and false,
    decimals keep the digits of the database, choices are written as their labels. Date-times are ISO 8601 with the
    offset of the context's zone; times and durations are ISO 8601. NUL and lone surrogates, which no reader accepts,
    become U+FFFD.

    For Excel, date-times are YYYY-MM-DD HH:MM:SS in the context's zone, to the second and without an offset; durations
    are hours:minutes:seconds. `PURPOSES` lists the dialects of the options.

    Text that a spreadsheet could interpret as a formula gets an apostrophe, unless the file is for programs only. This
    applies to TEXT and CHOICE columns and to headings, never to numbers, dates and durations: -5 stays -5.
    """

    key = "csv"
    label = _("CSV")
    hint = _("For spreadsheets and databases; any number of rows")
    extension = "csv"
    content_type = "text/csv; charset=utf-8"
    further_types: ClassVar = {"tsv": "text/tab-separated-values; charset=utf-8"}
    rows_per_second = 400_000
    joins = True
    options: ClassVar = (
        Option(
            "for",
            _("Made for"),
            (
                ("any", _("Any program")),
                ("excel", _("Excel: decimal point")),
                ("excel-europe", _("Excel (Europe): decimal comma")),
                ("programs", _("Programs only: formulas kept")),
            ),
        ),
        Option(
            "delimiter",
            _("Separator"),
            (
                ("usual", _("Comma (Europe: semicolon)")),
                ("comma", _("Comma")),
                ("semicolon", _("Semicolon")),
                ("tab", _("Tab")),
            ),
        ),
    )

    def current(self, options: Mapping[str, str]) -> dict[str, str]:
        known = dict(options)
        if known.get("excel") in ("yes", "no") and known.pop("excel") == "yes":
            known.setdefault("for", "excel")
        return known

    def extension_of(self, options: Mapping[str, str]) -> str:
        return "tsv" if self._dialect(options).delimiter == "\t" else self.extension

    def about(self, context: RenderContext) -> dict[str, Any]:
        dialect = self._dialect(context.options)
        facts = {
            "delimiter": dialect.delimiter,
            "byte_order_mark": dialect.byte_order_mark,
            "decimal_mark": dialect.decimal_mark,
            "date_times": "YYYY-MM-DD HH:MM:SS" if dialect.for_excel else "ISO 8601",
            "formulas_guarded": dialect.guarded,
        }
        return {"dialect": facts}

    def table(self, context: RenderContext) -> dict[str, Any]:
        dialect, slots = self._dialect(context.options), flat(context.columns)
        csv_dialect = {"delimiter": dialect.delimiter, "lineTerminator": "\r\n", "quoteChar": '"', "doubleQuote": True}
        named = zip(slots, unique(_headings(slots, dialect), " "), strict=True)
        fields = [field(slot, name, words=True, **_form(slot, dialect)) for slot, name in named]
        return {"dialect": csv_dialect, "schema": {"fields": fields, "missingValues": [""]}}

    def head(self, context: RenderContext) -> bytes:
        dialect = self._dialect(context.options)
        lines = _Lines(dialect.delimiter)
        labels = _headings(flat(context.columns), dialect)
        lines.writerows([labels])
        line = lines.taken()
        if line.startswith(SYLK.encode()):
            first = encode(labels[0].replace("\0", REPLACED))
            line = b'"%b"%b' % (first, line[len(first) :])
        return (BOM_UTF8 if dialect.byte_order_mark else b"") + line

    def write(self, rows: Iterable[Row], out: BinaryIO, context: RenderContext) -> Written:
        dialect, slots = self._dialect(context.options), flat(context.columns)
        copying = copying_of(rows) if len(slots) > 1 else None  # COPY writes a lone empty cell differently
        if copying is not None:
            return _write_copied(copying, out, dialect, context.zone)
        lines = _Lines(dialect.delimiter)
        converts = converters(slots, _writers(dialect, context.zone), none="", words=True)
        count = 0
        for batch in batches(rows):
            lines.writerows(convert(batch, converts))
            out.write(lines.taken())
            count += len(batch)
        return Written(count)

    @staticmethod
    def _dialect(options: Mapping[str, str]) -> Dialect:
        dialect = PURPOSES[options.get("for", "any")]
        if options.get("excel") == "yes":  # set by exports from before the option "for" existed: finish them unchanged
            dialect = replace(dialect, byte_order_mark=True)
        delimiter = options.get("delimiter", "usual")
        return dialect if delimiter == "usual" else replace(dialect, delimiter=DELIMITERS[delimiter])


def _headings(slots: Sequence[Column], dialect: Dialect) -> list[str]:
    return list(map(_text(dialect), [str(slot.label) for slot in slots]))


def _form(slot: Column, dialect: Dialect) -> dict[str, str]:
    """Return how the slot's cells differ from the default form of their type in a Table Schema."""
    kind, comma = python_of(slot), dialect.decimal_mark == ","
    if slot.type is ColumnType.CHOICE or not dialect.for_excel:
        return {}
    if kind is datetime:
        return {"format": "%Y-%m-%d %H:%M:%S"}
    if kind is timedelta or (kind is time and comma):
        return {"type": "string"}
    return {"decimalChar": ","} if kind in (Decimal, float) and comma else {}


# --- Python -----------------------------------------------------------------------------------------------------------


class _Lines:
    """Buffers rows of text as lines of CSV until they are taken."""

    def __init__(self, delimiter: str) -> None:
        self._lines: list[str] = []
        self.writerows = csv.writer(SimpleNamespace(write=self._lines.append), delimiter=delimiter).writerows

    def taken(self) -> bytes:
        data = encode("".join(self._lines).replace("\0", REPLACED))
        self._lines.clear()
        return data


def _text(dialect: Dialect) -> Callable[[str], str]:
    return guard(dialect.delimiter) if dialect.guarded else str


def _writers(dialect: Dialect, zone: ZoneInfo) -> Writers[str]:
    mark = dialect.decimal_mark

    def marked(write: Callable[[Any], str]) -> Callable[[Any], str]:
        return write if mark == "." else lambda value: write(value).replace(".", mark)

    return {
        str: _text(dialect),
        int: str,
        Decimal: marked("{:f}".format),
        float: marked(float_text),
        bool: {True: "true", False: "false"}.__getitem__,
        date: date.isoformat,
        datetime: _moment_for_excel(zone) if dialect.for_excel else moment(zone),
        time: marked(time.isoformat) if dialect.for_excel else time.isoformat,
        timedelta: marked(duration) if dialect.for_excel else duration_iso_string,
    }


def _moment_for_excel(zone: ZoneInfo) -> Callable[[datetime], str]:
    return lambda value: local(value, zone).replace(tzinfo=None).isoformat(" ", "seconds")


# --- PostgreSQL -------------------------------------------------------------------------------------------------------


def _write_copied(copying: Copying, out: BinaryIO, dialect: Dialect, zone: ZoneInfo) -> Written:
    cells = [
        _cell(slot, kind, name, dialect, zone)
        for slot, kind, name in zip(copying.slots, copying.types, copying.names, strict=True)
    ]
    options = f"(FORMAT csv, DELIMITER {quoted(dialect.delimiter)})"
    finish = _LineFinisher(copying.types, dialect)
    out.writelines(map(finish, copying.run(", ".join(cells), options)))
    return Written(copying.done)


class _LineFinisher:
    """Ends the lines of COPY with CRLF and guards formulas inside texts. COPY's SQL has guarded the start of each text.

    Few lines need guarding, and finding them here costs less than searching each text in SQL.
    """

    def __init__(self, types: Sequence[ColumnType], dialect: Dialect) -> None:
        mark = re.escape(dialect.delimiter)
        self._cells = re.compile(rf'("[^"]*(?:""[^"]*)*"|[^"{mark}]*)(?:{mark}|\Z)')
        self._texts = {place for place, kind in enumerate(types) if kind is ColumnType.TEXT and dialect.guarded}
        self._count, self._delimiter = len(types), dialect.delimiter
        *self._maybe, self._maybe_after_line_feed = maybe_uncovered(dialect.delimiter)
        self._uncovered = uncovered(dialect.delimiter)

    def __call__(self, lines: Sequence[memoryview]) -> bytes:
        data = b"".join(lines)
        one_line_each = data.count(b"\n") == len(lines)
        if self._texts and self._suspect(data, one_line_each):
            return b"".join(map(self._line, lines))
        if one_line_each:
            return data.replace(b"\n", b"\r\n")
        return b"".join([bytes(line[:-1]) + b"\r\n" for line in lines])

    def _suspect(self, data: bytes, one_line_each: bool) -> bool:
        if any(pattern.search(data) for pattern in self._maybe):
            return True
        return not one_line_each and bool(self._maybe_after_line_feed.search(data))

    def _line(self, line: memoryview) -> bytes:
        """Return one row with CRLF at its end. Line feeds inside cells stay."""
        text = str(line[:-1], "utf-8")
        if self._uncovered.search(text):
            cells = self._cells.findall(text)[: self._count]
            text = self._delimiter.join(map(self._guarded, range(self._count), cells))
        return text.encode() + b"\r\n"

    def _guarded(self, place: int, cell: str) -> str:
        """Guard one cell. `cell` may include its surrounding quotes, which do not affect the result."""
        return guarded_inside(cell, self._delimiter) if place in self._texts else cell


def _cell(slot: Column, kind: ColumnType, name: str, dialect: Dialect, zone: ZoneInfo) -> str:
    """Return SQL for the text of the slot's cell: the same text as in Python, NULL for an empty cell."""
    plain = _plain(kind, name, dialect, zone)
    return _worded(slot, kind, name, plain, dialect) if slot.type is ColumnType.CHOICE else plain


def _plain(kind: ColumnType, name: str, dialect: Dialect, zone: ZoneInfo) -> str:
    match kind:
        case ColumnType.TEXT:
            return guarded_at_start_sql(name) if dialect.guarded else f"NULLIF({name}, '')"
        case ColumnType.BOOLEAN:
            return f"{name}::text"
        case ColumnType.DECIMAL if dialect.decimal_mark != ".":
            return f"replace({name}::text, '.', {quoted(dialect.decimal_mark)})"
        case ColumnType.DATETIME if dialect.for_excel:
            outside = f"({name} AT TIME ZONE 'UTC')::text"  # outside the range of Python's calendar
            return f"coalesce(to_char({local_sql(name, zone)}, 'YYYY-MM-DD HH24:MI:SS'), {outside})"
        case ColumnType.DATETIME:
            return written(name, zone)
        case _:
            return name


def _worded(slot: Column, kind: ColumnType, name: str, plain: str, dialect: Dialect) -> str:
    """Return SQL for the label of a choice, or `plain` for a value without a label."""
    value = f'{name} COLLATE "C"' if kind is ColumnType.TEXT else name
    words = " ".join(f"WHEN {key} THEN {text}" for key, text in _words(slot, kind, dialect))
    return f"CASE {value} {words} ELSE ({plain})::text END" if words else plain


def _words(slot: Column, kind: ColumnType, dialect: Dialect) -> Iterator[tuple[str, str]]:
    """Yield pairs of SQL literals: a stored value that a column of this type can hold, and its cell."""
    write = _text(dialect)
    for value, text in slot.words.items():
        cell = quoted(encode(write(text).replace("\0", REPLACED)).decode())
        if kind is ColumnType.TEXT and isinstance(value, str) and value == encode(value.replace("\0", "")).decode():
            yield quoted(value), f"NULLIF({cell}, '')"
        elif kind is ColumnType.INTEGER and isinstance(value, int):
            yield str(int(value)), f"NULLIF({cell}, '')"
        elif kind is ColumnType.BOOLEAN and value in (0, 1):
            yield str(bool(value)), f"NULLIF({cell}, '')"
