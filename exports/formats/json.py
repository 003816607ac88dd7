"""JSON: one array of objects."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, BinaryIO

from django.utils.translation import gettext_lazy as _

from exports.datasets import Row, flat
from exports.formats import register
from exports.formats.base import Framed, RenderContext, Written
from exports.formats.jsonl import write_objects
from exports.formats.table_schema import by_name


@register
class Json(Framed):
    """One array with one object per row, each on its own line and written as in JSON Lines."""

    key = "json"
    label = _("JSON")
    hint = _("For programs that read one file at once")
    extension = "json"
    content_type = "application/json"
    rows_per_second = 250_000
    holds_objects = True
    between = b",\n"

    def table(self, context: RenderContext) -> dict[str, Any]:
        return {"schema": by_name(flat(context.columns))}

    def head(self, context: RenderContext) -> bytes:
        return b"[\n"

    def write(self, rows: Iterable[Row], out: BinaryIO, context: RenderContext) -> Written:
        return Written(write_objects(rows, out, context, before=",\n"))

    def tail(self, context: RenderContext) -> bytes:
        return b"\n]\n" if context.rows else b"]\n"
