"""JSON Lines: one object per line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import islice
from json.encoder import encode_basestring
from math import isfinite
from typing import Any, BinaryIO
from zoneinfo import ZoneInfo

from django.utils.duration import duration_iso_string
from django.utils.translation import gettext_lazy as _

from exports.datasets import Column, ColumnType, Nested, Row, flat
from exports.datasets.copying import Copying, quoted
from exports.datasets.marked import JsonText
from exports.datasets.moments import written
from exports.formats import register
from exports.formats.base import Framed, RenderContext, Written
from exports.formats.table_schema import by_name
from exports.formats.values import (
    Convert,
    Writers,
    batches,
    convert,
    converters,
    copying_of,
    encode,
    float_text,
    moment,
)


@register
class JsonLines(Framed):
    """One JSON object per line, with the columns' names as keys.

    Decimals are numbers with all their digits (12.50 stays 12.50; read them with a decimal parser). Floats are numbers
    with the fewest digits that give the same float. Choices are their stored values. Date-times are ISO 8601 text with
    the offset of the context's zone, times and durations ISO 8601 text. None is null. JSON has no NaN and no infinity:
    they are written as the strings "NaN", "Infinity" and "-Infinity". JSON and lists are objects and arrays, bytes are
    base64. A nested column is an array of objects. Text is UTF-8; lone surrogates become U+FFFD.
    """

    key = "jsonl"
    label = _("JSON Lines")
    hint = _("For programs; any number of rows")
    extension = "jsonl"
    content_type = "application/jsonl; charset=utf-8"
    rows_per_second = 250_000
    holds_objects = True
    joins = True

    def table(self, context: RenderContext) -> dict[str, Any]:
        return {"schema": by_name(flat(context.columns))}

    def write(self, rows: Iterable[Row], out: BinaryIO, context: RenderContext) -> Written:
        return Written(write_objects(rows, out, context, after="\n"))


def write_objects(
    rows: Iterable[Row], out: BinaryIO, context: RenderContext, *, before: str = "", after: str = ""
) -> int:
    """Write each row as an object, followed by `after` and, except for the first, preceded by `before`. Return the
    number of rows.
    """
    copying = copying_of(rows)
    if copying is not None:
        lines = copying.texts(_object_sql(copying, context, before, after))
        _put(map(b"".join, lines), out, len(before))
        return copying.done
    counted = _Counted(rows)
    _put(_objects(counted, context, before, after), out, len(before))
    return counted.rows


def _put(blocks: Iterator[bytes], out: BinaryIO, skip: int) -> None:
    """Write the blocks without the first `skip` bytes of the first block."""
    out.writelines(block[skip:] for block in islice(blocks, 1))
    out.writelines(blocks)


class _Counted:
    """Batches of rows, with a count of the rows."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.rows = 0
        self._batches = batches(rows)

    def __iter__(self) -> Iterator[list[Row]]:
        for batch in self._batches:
            yield batch
            self.rows += len(batch)


def _objects(batches: Iterable[list[Row]], context: RenderContext, before: str, after: str) -> Iterator[bytes]:
    line = (before + _pattern(context.columns) + after).__mod__
    converts = _converters(context.columns, _writers(context.zone))
    for batch in batches:
        yield encode("".join(map(line, convert(batch, converts))))


def _pattern(columns: Iterable[Column]) -> str:
    """Return the pattern of an object with a place for the text of each value."""
    keys = [key.replace("%", "%%") for key in _keys(columns)]
    return "{" + ",".join(f"{key}:%s" for key in keys) + "}"


def _converters(columns: Iterable[Column], writers: Writers[str]) -> list[Convert[str]]:
    return [
        _array(slot, writers) if isinstance(slot, Nested) else converters([slot], writers, none="null")[0]
        for slot in flat(columns)
    ]


def _array(nested: Nested, writers: Writers[str]) -> Convert[str]:
    """Return a function that writes each list of rows as an array of objects, converting all their values at once."""
    write_object = _pattern(nested.inner).__mod__
    converts = _converters(nested.inner, writers)

    def arrays(values: Sequence[list[Row]]) -> list[str]:
        every = [row for rows in values for row in rows]
        objects = map(write_object, convert(every, converts) if every else ())
        return [f"[{','.join(islice(objects, len(rows)))}]" for rows in values]

    return arrays


def _object_sql(copying: Copying, context: RenderContext, before: str, after: str) -> str:
    """Return SQL for the same text as that of `_objects`."""
    values = [
        written(name, context.zone) if kind is ColumnType.DATETIME else name
        for name, kind in zip(copying.names, copying.types, strict=True)
    ]
    pieces = [f"{key}:" for key in _keys(context.columns)]
    opens = [before + "{", *[","] * (len(pieces) - 1)]
    members = [
        f"{quoted(open_ + piece)} || coalesce(to_json({value})::text, 'null')"
        for open_, piece, value in zip(opens, pieces, values, strict=True)
    ]
    return " || ".join([*members, quoted("}" + after)])


def _keys(columns: Iterable[Column]) -> list[str]:
    """Return the slots' names as JSON strings."""
    return [encode(json.dumps(slot.name, ensure_ascii=False)).decode() for slot in flat(columns)]


def _writers(zone: ZoneInfo) -> Writers[str]:
    text: Callable[[str], str] = encode_basestring
    at = moment(zone)
    return {
        str: text,
        int: str,
        Decimal: number,
        float: lambda value: repr(value) if isfinite(value) else f'"{float_text(value)}"',
        bool: {True: "true", False: "false"}.__getitem__,
        date: '"{}"'.format,
        datetime: lambda value: f'"{at(value)}"',
        time: lambda value: f'"{value.isoformat()}"',
        timedelta: lambda value: f'"{duration_iso_string(value)}"',
        JsonText: str.__str__,
    }


def number(value: Decimal) -> str:
    """Return a JSON number with the decimal's own digits, or a JSON string for NaN and infinity."""
    if value.is_finite():
        return f"{value:f}"
    return '"NaN"' if value.is_nan() else f'"{value}"'
