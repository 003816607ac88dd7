"""The XLSX format: an Excel workbook with typed numbers and dates, written in parts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from exports.datasets import Column, Row, RowStream
from exports.errors import FormatFailed, TooWide
from exports.formats import register
from exports.formats.archive import Zip
from exports.formats.base import Format, OpenPart, RenderContext, Written
from exports.formats.xlsx.copy_lane import CopyLane, suits
from exports.formats.xlsx.grid import SHEET_COLUMNS
from exports.formats.xlsx.lanes import LaneContext, Lines
from exports.formats.xlsx.layout import layout
from exports.formats.xlsx.links import Links
from exports.formats.xlsx.links import unpacked as links_in
from exports.formats.xlsx.part_file import LINKS, ROWS, Body, Run, runs, unpacked
from exports.formats.xlsx.python_lane import PythonLane
from exports.formats.xlsx.styles import Styles
from exports.formats.xlsx.workbook import Workbook


@register
class Xlsx(Format):
    """A workbook, with a new sheet after every 1,048,576 rows. Parts are written independently and joined as they are.

    Numbers and dates are typed wherever a cell holds them exactly: a number of more than 15 digits and a date before
    1900 are text. Date-times are in the context's zone, without an offset, to the millisecond. Characters that XML
    forbids become U+FFFD, line ends become LF. Formulas and links in text stay text. URLs and e-mail addresses are
    links, up to Excel's limit: in the first 65,530 rows of a sheet with one such column, 32,765 with two, and so on.
    Below, they are text. Money is a number whose format shows the currency. A text of more than 32,767 characters goes
    into a text file next to the workbook, and its cell refers to it. The same rows give the same bytes, in both lanes.
    """

    key = "xlsx"
    label = _("Excel (XLSX)")
    hint = _("For Excel and LibreOffice; real numbers and dates")
    extension = "xlsx"
    content_type = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    rows_per_second = 80_000
    bytes_per_row = 60

    def refuse(self, columns: Sequence[Column]) -> None:
        if len(columns) > SHEET_COLUMNS:
            raise TooWide(_("A sheet has room for %s columns: choose fewer, or CSV.") % SHEET_COLUMNS)

    def prepare(self, sample: Sequence[Row], context: RenderContext) -> Mapping[str, Any]:
        return layout(context.columns, sample)

    def write(self, rows: Iterable[Row], out: BinaryIO, context: RenderContext) -> Written:
        body, styles = Body(out, _long_texts_name(context), context.before), _styles(context)
        links = Links(context.columns, body.keep)
        lane = LaneContext(context.zone, styles, body.keep, links, context.before)
        for lines, count in _lines(rows, lane, context.columns):
            body.add(lines, count, links.taken())
        body.flush()
        return Written(body.rows, meta={"money": sorted(styles.used), "odd": styles.unlisted})

    def assemble(self, parts: Iterable[OpenPart], out: BinaryIO, context: RenderContext) -> Written:
        styles, texts, rows = _styles(context), _LongTexts(context), 0
        with Zip(out, context.requested_at.astimezone(context.zone)) as archive:
            book = Workbook(archive, context)
            for part in parts:
                rows += part.rows
                others = styles.renumbering(part.meta.get("odd", ()))
                styles.used.update(others.get(style, style) for style in part.meta.get("money", ()))
                for run in runs(part.file):
                    if run.kind == ROWS:
                        book.add(part.file, run, others)
                    elif run.kind == LINKS:
                        book.link(links_in(b"".join(unpacked(part.file, run))))
                    else:
                        texts.add(part.file, run)
            book.finish(styles)
        return Written(rows)


class _LongTexts:
    """The side file of the texts that are too long for a cell. It is only created if there are any."""

    def __init__(self, context: RenderContext) -> None:
        self._context = context
        self._file: BinaryIO | None = None

    def add(self, file: BinaryIO, run: Run) -> None:
        out = self._file = self._file or self._opened()
        for block in unpacked(file, run):
            out.write(block)

    def _opened(self) -> BinaryIO:
        if self._context.beside is None:
            raise FormatFailed(
                gettext(
                    "A text is too long for Excel, whose cells hold at most 32,767 characters. Choose CSV or JSON "
                    "Lines, which accept texts of any length."
                )
            )
        return self._context.beside(_long_texts_name(self._context))


def _lines(rows: Iterable[Row], context: LaneContext, columns: Sequence[Column]) -> Iterator[Lines]:
    copying = rows.copying() if isinstance(rows, RowStream) else None
    if copying is not None and suits(copying, columns):
        return CopyLane(context).lines(copying, columns)
    return PythonLane(context).lines(rows, columns)


def _styles(context: RenderContext) -> Styles:
    return Styles(context.layout.get("currencies", ()))


def _long_texts_name(context: RenderContext) -> str:
    return f"{context.name}-long-texts.txt"
