"""The PDF format. WeasyPrint lays out a template with sample rows; the real rows are written into that layout."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, BinaryIO, ClassVar

from django.utils.translation import gettext_lazy as _

from exports.datasets import Column, Row
from exports.errors import TooWide
from exports.formats import register_with
from exports.formats.base import Format, OpenPart, Option, RenderContext, Written
from exports.formats.pdf import template
from exports.formats.pdf.html import write_pdf
from exports.formats.pdf.localize import Totals, Words
from exports.formats.pdf.widths import SHEETS, count_fitting
from exports.storage.artifacts import scratch

SAMPLE = 200
"""Number of rows used to compute the column widths."""


@register_with("weasyprint", extra="pdf")
class Pdf(Format):
    """A printable table with title, owner, period, totals, and headings on each page. Numbers and dates are localized.
    URLs and e-mail addresses are links.

    The body of a part contains its rows as text operators with relative positions. Pages are filled by `assemble`.
    """

    key = "pdf"
    label = _("PDF")
    hint = _("For printing and reading")
    extension = "pdf"
    content_type = "application/pdf"
    rows_per_second = 25_000
    bytes_per_row = 190
    wants_extremes = True
    options = (Option("paper", _("Paper"), (("A4", "A4"), ("letter", _("US Letter")), ("A3", "A3"))),)
    template: ClassVar[str] = "exports/pdf/table.html"

    def prepare(self, sample: Sequence[Row], context: RenderContext) -> dict[str, Any]:
        texts = Words(context.columns, context.zone)(sample)
        return template.layout(context.columns, texts, self.option("paper", context))

    def refuse(self, columns: Sequence[Column]) -> None:
        fit = min(count_fitting(columns, sideways) for _upright, sideways in SHEETS.values())
        if fit < len(columns):
            words = _(
                "%(count)s fields do not fit on a page; only the first %(fit)s do. "
                "Choose fewer fields or another format."
            )
            raise TooWide(words % {"count": len(columns), "fit": fit})

    def write(self, rows: Iterable[Row], out: BinaryIO, context: RenderContext) -> Written:
        from exports.formats.pdf.internals import SHORT_ROWS
        from exports.formats.pdf.part_file import write

        return write(rows, out, context, self._sample(context, SHORT_ROWS))

    def assemble(self, parts: Iterable[OpenPart], out: BinaryIO, context: RenderContext) -> Written:
        from exports.formats.pdf.internals import SAMPLE_ROWS, lay_out
        from exports.formats.pdf.part_file import copy_blocks
        from exports.formats.pdf.writer import write_file

        totals, missing, rows, trailers = Totals(context.columns), Counter[str](), 0, []
        with scratch(".rows") as spool:
            for part in parts:
                trailers.append(copy_blocks(part.file, spool))
                totals.merge([part.meta.get("totals", {})])
                missing.update(part.meta.get("missing", {}))
                rows += part.rows
            about: dict[str, Any] = {
                "count": rows,
                "totals": totals.words(context.columns),
                "notes": template.notes(missing),
                "share": template.share(context, rows),
            }
            if not rows:
                layout = context.layout or self.prepare([], context)
                empty = template.render(self.template, replace(context, layout=layout), [], **about)
                return Written(0, write_pdf(empty, out))
            sheet = lay_out(self._sample(context, SAMPLE_ROWS, **about), len(context.columns))
            pages = write_file(sheet, spool, trailers, rows, out, before=_before(context))
            return Written(rows, pages, {"missing": template.missing_summary(missing)})

    def _sample(self, context: RenderContext, rows: int, count: int = 0, **about: Any) -> str:
        """Return the template rendered with `rows` sample rows.

        Raises FormatFailed if the template uses the rows for anything but one loop.
        """
        from exports.formats.pdf.internals import sample, unsupported_template

        numeric = list(map(template.right_aligned, context.columns))
        if not context.layout:
            context = replace(context, layout=self.prepare([], context))
        lines = list(template.cells(sample(len(numeric), rows), numeric, rows))
        lines[0].section = template.section(0, count, _before(context))
        sample_rows = template.Sample(lines)
        html = template.render(
            self.template, context, sample_rows, **({"count": count, "totals": [], "notes": []} | about)
        )
        if not sample_rows.looped_once:
            raise unsupported_template("a use of the rows other than one loop")
        return html

    def html(self, rows: Iterable[Row], context: RenderContext, notes: Sequence[str] = ()) -> str:
        """Return the template rendered with all rows, for WeasyPrint alone."""
        held = list(rows)
        if not context.layout:
            context = replace(context, layout=self.prepare(held[:SAMPLE], context))
        texts = Words(context.columns, context.zone)(held)
        totals = Totals(context.columns)
        totals.add(held)
        lines = template.cells(texts, list(map(template.right_aligned, context.columns)), len(held))
        about = {"count": len(held), "totals": totals.words(context.columns), "notes": list(notes)}
        return template.render(self.template, context, lines, **about)


def _before(context: RenderContext) -> int:
    """Return the number of rows in the preceding files; 0 if the export has only one file."""
    return context.share.before if context.share else 0
