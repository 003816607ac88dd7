"""XLSX: an Excel workbook with real numbers and dates."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, time
from decimal import Decimal
from functools import cache
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, cast

from django.utils.formats import number_format
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from exports.datasets.base import Column, ColumnType
from exports.errors import FormatFailed
from exports.formats import register
from exports.formats.base import Format, RenderContext, Row, Written
from exports.formats.values import Writers, batches, convert, converters, for_xml, local, write_any

if TYPE_CHECKING:
    from xlsxwriter.workbook import Workbook
    from xlsxwriter.worksheet import Worksheet

SHEET_ROWS = 1_048_576
CELL_UNITS = 32_767
"""The longest text of a cell, in UTF-16 code units."""
EXACT_DIGITS = 15
"""A spreadsheet's number is a double: up to this many digits come back as they went in."""
EXACT_BELOW = 10**EXACT_DIGITS
WIDTHS = {ColumnType.TEXT: 24, ColumnType.DATETIME: 20, ColumnType.BOOLEAN: 8}
WIDTH = 12
MOMENT, DAY = "yyyy-mm-dd hh:mm:ss", "yyyy-mm-dd"


class Cell(NamedTuple):
    """What stands in one cell; `looks` is a number format, "" for the usual one."""

    value: str | float | bool
    looks: str = ""


class TooLong(ValueError):
    """A text that no cell holds."""


@register
class Xlsx(Format):
    """A workbook, a new sheet after every 1,048,576 rows, written with one row in memory.

    Numbers and dates are real ones wherever a cell holds them exactly: a number of more than 15 digits, and a date
    before 1900, is text. Date-times stand in the context's zone, without an offset, to the millisecond. Characters
    that XML cannot hold become U+FFFD, line ends become LF. Formulas and links in text stay text.
    Raises FormatFailed on a text above 32,767 characters: it names the row and the column and cuts nothing.
    """

    key = "xlsx"
    label = _("Excel (XLSX)")
    hint = _("For Excel and LibreOffice; real numbers and dates")
    extension = "xlsx"
    content_type = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

    def write(self, rows: Iterable[Row], out: BinaryIO, context: RenderContext) -> Written:
        writers = _writers(context)
        converts = converters(context.columns, writers, none=None)
        count = 0
        with _workbook(out, context) as workbook:
            sheets = _Sheets(workbook, context)
            for batch in batches(rows):
                try:
                    cells = convert(batch, converts)
                except TooLong as error:
                    raise _where_too_long(batch, count, context.columns, writers) from error
                for row in cells:
                    sheets.append(row)
                count += len(batch)
        return Written(count)


@contextmanager
def _workbook(out: BinaryIO, context: RenderContext) -> Iterator[Workbook]:
    """A workbook that is packed into `out` at the end; its temporary files lie beside `out` and go in any case."""
    from xlsxwriter import Workbook
    from xlsxwriter.exceptions import FileCreateError

    name = getattr(out, "name", None)
    beside = Path(name).parent if isinstance(name, str) else None
    with TemporaryDirectory(dir=beside) as folder:
        workbook = Workbook(
            out,
            {
                "constant_memory": True,
                "tmpdir": folder,
                "strings_to_formulas": False,
                "strings_to_urls": False,
                "strings_to_numbers": False,
                "use_zip64": True,
            },
        )
        workbook.set_properties(
            {"title": for_xml(context.title), "author": for_xml(context.owner), "created": context.requested_at}
        )
        try:
            yield workbook
            workbook.close()
        except FileCreateError as error:  # it hides the system's own error, which says whether the disk is full
            raise error.args[0] from None
        finally:
            for sheet in workbook.worksheets():
                sheet._opt_close()


class _Sheets:
    """Rows one below the other, on as many sheets as they need, each with the headings."""

    def __init__(self, workbook: Workbook, context: RenderContext) -> None:
        self._workbook = workbook
        self._context = context
        self._heading = workbook.add_format({"bold": True, "bottom": 1, "valign": "top", "text_wrap": True})
        self._format = cache(lambda looks: workbook.add_format({"num_format": looks}) if looks else None)
        self._name = re.sub(r"[\[\]:*?/\\']", " ", for_xml(context.title))[:24].strip() or "Rows"
        self._sheet, self._row = self._begin(), 1

    def _begin(self) -> Worksheet:
        number = len(self._workbook.worksheets()) + 1
        sheet = self._workbook.add_worksheet(self._name if number == 1 else f"{self._name} {number}")
        sheet.freeze_panes(1, 0)
        for index, column in enumerate(self._context.columns):
            label = for_xml(str(column.label))
            sheet.set_column(index, index, max(WIDTHS.get(column.type, WIDTH), min(len(label) + 2, 40)))
            sheet.write_string(0, index, label, self._heading)
        return sheet

    def append(self, cells: Sequence[Cell | None]) -> None:
        if self._row == SHEET_ROWS:
            self._sheet, self._row = self._begin(), 1
        sheet, row, formats = self._sheet, self._row, self._format
        for index, cell in enumerate(cells):
            if cell is not None:
                value, looks = cell
                PUT[type(value)](sheet, row, index, value, formats(looks))
        self._row += 1


def _put_text(sheet: Worksheet, row: int, index: int, value: str, looks: Any) -> None:
    sheet.write_string(row, index, value, looks)


def _put_number(sheet: Worksheet, row: int, index: int, value: float, looks: Any) -> None:
    sheet.write_number(row, index, value, looks)


def _put_truth(sheet: Worksheet, row: int, index: int, value: bool, looks: Any) -> None:
    sheet.write_boolean(row, index, value, looks)


PUT: dict[type, Callable[..., None]] = {str: _put_text, int: _put_number, float: _put_number, bool: _put_truth}


def _writers(context: RenderContext) -> Writers[Cell | None]:
    return {
        str: text_cell,
        int: integer_cell,
        Decimal: decimal_cell,
        bool: Cell,
        date: date_cell,
        datetime: lambda value: datetime_cell(local(value, context.zone)),
    }


def text_cell(value: str) -> Cell | None:
    """Text as it is. Raises TooLong."""
    if len(value) > CELL_UNITS // 2 and len(value.encode("utf-16-le", "surrogatepass")) // 2 > CELL_UNITS:
        raise TooLong
    if not value.isprintable():
        value = for_xml(value.replace("\r\n", "\n").replace("\r", "\n"))
    if value.startswith("<r>") and value.endswith("</r>"):
        # XlsxWriter takes such a string for markup of its own and writes it unescaped: say the same in that markup.
        value = f'<r><t xml:space="preserve">{escape(value, quote=False)}</t></r>'
    return Cell(value) if value else None


def integer_cell(value: int) -> Cell:
    return Cell(value) if -EXACT_BELOW < value < EXACT_BELOW else Cell(str(value))


def decimal_cell(value: Decimal) -> Cell:
    """A number with as many places as the decimal has, or its exact text."""
    text = str(value)
    if len(text) > EXACT_DIGITS + 1 or not value.is_finite() or "E" in text:
        return _unusual_decimal(value)
    point = text.find(".")
    return Cell(float(text), _places(len(text) - point - 1 if point >= 0 else 0))


def _unusual_decimal(value: Decimal) -> Cell:
    if not value.is_finite():
        return Cell(str(value))
    digits = value.normalize().as_tuple().digits
    number = float(value)
    if len(digits) > EXACT_DIGITS or Decimal(repr(number)) != value:
        return Cell(f"{value:f}")
    return Cell(number, _places(-cast("int", value.as_tuple().exponent)))


@cache
def _places(places: int) -> str:
    return "0." + "0" * places if 0 < places <= EXACT_DIGITS else ""


def date_cell(value: date) -> Cell:
    if value.year < 1900:
        return Cell(value.isoformat())
    return Cell(_serial(datetime.combine(value, time())), DAY)


def datetime_cell(value: datetime) -> Cell:
    if value.year < 1900:
        return Cell(value.isoformat())
    return Cell(_serial(value.replace(tzinfo=None, microsecond=value.microsecond // 1000 * 1000)), MOMENT)


def _serial(value: datetime) -> float:
    """Days since the epoch of spreadsheets, where 1900 has a 29th of February."""
    since = value - datetime(1899, 12, 30)  # noqa: DTZ001
    days = since.days if since.days > 60 else since.days - 1
    return days + (since.seconds + since.microseconds / 1e6) / 86_400


def _where_too_long(
    batch: Sequence[Row], before: int, columns: Sequence[Column], writers: Writers[Cell | None]
) -> FormatFailed:
    """The error that names the first cell of `batch` that is too long; `before` rows came before the batch."""
    for number, row in enumerate(batch, before + 1):
        for column, value in zip(columns, row, strict=True):
            try:
                write_any(value, writers, None)
            except TooLong:
                return FormatFailed(
                    gettext(
                        "Row %(row)s has a text in the column “%(column)s” that is too long for Excel, whose cells "
                        "hold %(limit)s characters. Nothing was cut: choose CSV or JSON Lines, which take any length."
                    )
                    % {
                        "row": number_format(number, force_grouping=True),
                        "column": column.label,
                        "limit": number_format(CELL_UNITS, force_grouping=True),
                    }
                )
    return FormatFailed()
