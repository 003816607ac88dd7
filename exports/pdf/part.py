"""A part of a table: its rows as text operators, and what was used and counted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import BinaryIO

from exports.datasets import Row
from exports.formats.base import RenderContext, Written
from exports.formats.values import batches
from exports.pdf import faces, page
from exports.pdf.body import Writer
from exports.pdf.internals import SHORT_ROWS, laid_out
from exports.pdf.rows import Setter
from exports.pdf.words import Totals, Words


def write(rows: Iterable[Row], out: BinaryIO, context: RenderContext, html: str) -> Written:
    """Write the body of a part; `html` is the template with rows of a letter each."""
    sheet = laid_out(html, len(context.columns), SHORT_ROWS)
    setter = Setter(sheet, sheet.room)
    words, totals, body, count = Words(context.columns, context.zone), Totals(context.columns), Writer(out), 0
    for batch in batches(rows):
        totals.add(batch)
        body.add(setter.rows(words(batch)))
        count += len(batch)
    body.close(faces.used(sheet.inks, setter.missing))
    return Written(count, meta={"totals": totals.meta, "missing": page.named(setter.missing)})
