"""PDF: a table for people, laid out by WeasyPrint from templates/exports/pdf/table.html."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from itertools import islice
from typing import Any, BinaryIO
from unicodedata import east_asian_width

from django.template.loader import render_to_string
from django.utils.formats import date_format, number_format
from django.utils.functional import lazy
from django.utils.translation import get_language, gettext
from django.utils.translation import gettext_lazy as _

from exports.conf import export_settings
from exports.datasets.base import Column
from exports.errors import TooLarge
from exports.formats import register
from exports.formats.base import Format, RenderContext, Row, Written
from exports.formats.values import Writers, batches, convert, converters, for_xml, local
from exports.pdf.document import write_pdf

Line = tuple[str, ...]

LANDSCAPE_FROM = 95
"""Letters of a line above which a sheet lies on its side."""
NARROWEST, SHORT, WIDEST, PADDING = 4, 16, 34, 2
"""A column's share of the width, in letters; up to SHORT its cells do not wrap."""
SAMPLE = 200
"""Rows that are looked at for the columns' widths."""


def _hint() -> str:
    return gettext("For printing; up to %(limit)s rows") % {"limit": _count(export_settings().pdf_max_rows)}


@register
class Pdf(Format):
    """A printable table: title, owner, period, headings on each page, numbers and dates as people of the language write them.

    Integers are not grouped, because a number of an order or a year is one too. A page's number needs the whole layout, so
    all rows are held: at most `max_rows`, else TooLarge.
    """

    key = "pdf"
    label = _("PDF")
    hint = lazy(_hint, str)()
    extension = "pdf"
    content_type = "application/pdf"

    @property
    def max_rows(self) -> int:
        return export_settings().pdf_max_rows

    def write(self, rows: Iterable[Row], out: BinaryIO, context: RenderContext) -> Written:
        lines = self._lines(rows, context)
        pages = write_pdf(render_to_string("exports/pdf/table.html", _page(lines, context)), out)
        return Written(len(lines), pages)

    def _lines(self, rows: Iterable[Row], context: RenderContext) -> list[Line]:
        limit = self.max_rows
        converts = converters(context.columns, _writers(context), none="")
        lines = [line for batch in batches(islice(rows, limit + 1)) for line in convert(batch, converts)]
        if len(lines) > limit:
            raise TooLarge(
                gettext(
                    "PDF takes up to %(limit)s rows and this export has more. Choose another format, or a shorter period."
                )
                % {"limit": _count(limit)}
            )
        return lines


def _count(number: int) -> str:
    return number_format(number, force_grouping=True)


def _writers(context: RenderContext) -> Writers[str]:
    return {
        str: for_xml,
        int: str,
        Decimal: lambda value: number_format(value, force_grouping=True) if value.is_finite() else str(value),
        bool: {True: gettext("Yes"), False: gettext("No")}.__getitem__,
        date: lambda value: date_format(value, "SHORT_DATE_FORMAT"),
        datetime: lambda value: _moment(local(value, context.zone)),
    }


def _moment(value: datetime) -> str:
    """A day as the language writes it and a time of 24 hours, which takes less room than "a.m." and sorts."""
    return f"{date_format(value, 'SHORT_DATE_FORMAT')} {value:%H:%M}"


def _page(lines: Sequence[Line], context: RenderContext) -> dict[str, Any]:
    shares = [_share(column, [line[index] for line in lines[:SAMPLE]]) for index, column in enumerate(context.columns)]
    numeric = [column.type.numeric for column in context.columns]
    return {
        "language": get_language() or "en",
        "title": for_xml(context.title),
        "owner": for_xml(context.owner),
        "period": for_xml(context.period),
        "requested": f"{_moment(local(context.requested_at, context.zone))} ({context.zone.key})",
        "count": len(lines),
        "landscape": sum(shares) > LANDSCAPE_FROM,
        "columns": [
            {"label": for_xml(str(column.label)), "numeric": column.type.numeric, "width": f"{100 * share / sum(shares):.2f}"}
            for column, share in zip(context.columns, shares, strict=True)
        ],
        "rows": [tuple(zip(line, numeric, strict=True)) for line in lines],
    }


def _share(column: Column, texts: Sequence[str]) -> int:
    """How much of the width a column wants, in letters: its widest cell when that is short, else nine of ten cells."""
    widths = sorted(map(_letters, texts)) or [0]
    usual = widths[-1] if widths[-1] <= SHORT else max(SHORT, widths[len(widths) * 9 // 10])
    heading = max(map(_letters, str(column.label).split()), default=0) * 6 // 5  # bold
    return min(max(NARROWEST, usual, heading), WIDEST) + PADDING


def _letters(text: str) -> int:
    """The width of `text` up to the widest column, in letters; East Asian ones count twice."""
    head = text[:WIDEST]
    return len(head) if head.isascii() else sum(2 if east_asian_width(letter) in "WF" else 1 for letter in head)
