"""JSON Lines: one object a line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import date, datetime
from decimal import Decimal
from json.encoder import encode_basestring
from typing import Any, BinaryIO

from django.utils.translation import gettext_lazy as _

from exports.formats import register
from exports.formats.base import Format, RenderContext, Row, Written
from exports.formats.values import Writers, batches, convert, converters, encode, moment


@register
class JsonLines(Format):
    """One JSON object a line, its keys the columns' names.

    Decimals are numbers with all their digits (12.50 stays 12.50; read them with a decimal parser), date-times ISO 8601
    text with the offset of the context's zone, None null. JSON has no NaN and no infinity: they are the text "NaN",
    "Infinity" and "-Infinity". Text is UTF-8 as it is; lone surrogates become U+FFFD.
    """

    key = "jsonl"
    label = _("JSON Lines")
    hint = _("For programs; any number of rows")
    extension = "jsonl"
    content_type = "application/jsonl; charset=utf-8"
    splittable = True

    def write(self, rows: Iterable[Row], out: BinaryIO, context: RenderContext) -> Written:
        text: Callable[[str], str] = encode_basestring
        at = moment(context.zone)
        writers: Writers[str] = {
            str: text,
            int: str,
            Decimal: number,
            bool: {True: "true", False: "false"}.__getitem__,
            date: '"{}"'.format,
            datetime: lambda value: f'"{at(value)}"',
        }
        line = _line(context)
        converts = converters(context.columns, writers, none="null")
        count = 0
        for batch in batches(rows):
            out.write(encode("".join(map(line, convert(batch, converts)))))
            count += len(batch)
        return Written(count)


def number(value: Decimal) -> str:
    """A JSON number with the decimal's own digits; text for what is no number."""
    if value.is_finite():
        return f"{value:f}"
    return '"NaN"' if value.is_nan() else f'"{value}"'


def _line(context: RenderContext) -> Callable[[tuple[Any, ...]], str]:
    """Puts a row's JSON values behind their keys."""
    keys = [json.dumps(column.name, ensure_ascii=False).replace("%", "%%") for column in context.columns]
    template = "{" + ",".join(f"{key}:%s" for key in keys) + "}\n"
    return template.__mod__
