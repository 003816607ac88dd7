"""PDF: a table for people, laid out by WeasyPrint from templates/exports/pdf/table.html."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from itertools import islice
from typing import Any, BinaryIO

from django.template.loader import render_to_string
from django.utils.formats import date_format, number_format
from django.utils.functional import lazy
from django.utils.translation import get_language, gettext
from django.utils.translation import gettext_lazy as _

from exports.conf import export_settings
from exports.errors import TooLarge
from exports.formats import register
from exports.formats.base import Format, RenderContext, Row, Written
from exports.formats.values import Writers, batches, convert, converters, for_xml, local
from exports.pdf.document import write_pdf
from exports.pdf.widths import PORTRAIT, shares

Line = tuple[str, ...]

ENDLESS, PIECE = re.compile("[!-~\u00a1-\u024f\u0370-\u052f]{100,}"), re.compile(".{12}")
"""Words of scripts whose letters do not join, and their pieces; a zero-width space between leaves no trace in a PDF."""


def _hint() -> str:
    return gettext("For printing; up to %(limit)s rows") % {"limit": _count(export_settings().pdf_max_rows)}


@register
class Pdf(Format):
    """A printable table: title, owner, period, headings on each page, numbers and dates in the way of the language.

    Integers are not grouped, because a number of an order or a year is one too. "Page 1 of 9" needs the whole layout,
    so all rows are held: at most `max_rows`, else TooLarge.
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
                    "PDF takes up to %(limit)s rows and this export has more. "
                    "Choose another format, or a shorter period."
                )
                % {"limit": _count(limit)}
            )
        return lines


def _count(number: int) -> str:
    return number_format(number, force_grouping=True)


def _writers(context: RenderContext) -> Writers[str]:
    return {
        str: _breakable,
        int: str,
        Decimal: lambda value: number_format(value, force_grouping=True) if value.is_finite() else str(value),
        bool: {True: gettext("Yes"), False: gettext("No")}.__getitem__,
        date: lambda value: date_format(value, "SHORT_DATE_FORMAT"),
        datetime: lambda value: _moment(local(value, context.zone)),
    }


def _breakable(text: str) -> str:
    """`text` for the page, with places to break in endless words: else layout takes the square of their length."""
    text = for_xml(text)
    return ENDLESS.sub(lambda word: PIECE.sub("\\g<0>\u200b", word[0]), text) if len(text) >= 100 else text


def _moment(value: datetime) -> str:
    """A day as the language writes it and a time of 24 hours, which takes less room than "a.m." and sorts."""
    return f"{date_format(value, 'SHORT_DATE_FORMAT')} {value:%H:%M}"


def _page(lines: Sequence[Line], context: RenderContext) -> dict[str, Any]:
    labels = [for_xml(str(column.label)) for column in context.columns]
    numeric = [column.type.numeric for column in context.columns]
    widths = shares(labels, lines)
    full = sum(widths)
    return {
        "language": get_language() or "en",
        "title": for_xml(context.title),
        "owner": for_xml(context.owner),
        "period": for_xml(context.period),
        "requested": f"{_moment(local(context.requested_at, context.zone))} ({context.zone.key})",
        "count": len(lines),
        "landscape": full > PORTRAIT,
        "columns": [
            {"label": label, "numeric": right, "width": f"{100 * width / full:.2f}"}
            for label, right, width in zip(labels, numeric, widths, strict=True)
        ],
        "rows": [tuple(zip(line, numeric, strict=True)) for line in lines],
    }
