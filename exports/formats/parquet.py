"""Parquet: typed columns, for programs that read tables. There when pyarrow is: an extra of the installation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from importlib.util import find_spec
from types import NoneType
from typing import TYPE_CHECKING, Any, BinaryIO
from zoneinfo import ZoneInfo

from django.db.models import DecimalField, Field, FloatField, IntegerField
from django.utils.duration import duration_iso_string
from django.utils.text import Truncator
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from exports.datasets import Column, ColumnType, Row, Source, flat
from exports.errors import FormatFailed
from exports.formats import register
from exports.formats.base import Format, OpenPart, RenderContext, Written
from exports.formats.values import Writers, batches, converters, encode, float_text, moment, truth

if TYPE_CHECKING:
    import pyarrow as pa

GROUP_ROWS, GROUP_BYTES = 100_000, 32 << 20
"""A row group is full with so many rows, or so many bytes in memory."""
MOST_DIGITS = 76
"""Digits of the longest decimal type."""


class Parquet(Format):
    """One table with a schema: text, 64-bit integers, exact decimals, truths, days, and moments in UTC.

    A decimal is one when its column is a model's field, which says how many digits it has; any other stands as text
    with its digits. Choices are their stored values. A column whose first rows hold what its type does not is text as
    well; a later value that does not fit raises FormatFailed. A part's body is Arrow's own stream, which costs no
    encoding: the row groups are cut and compressed once, by `assemble`, wherever the parts begin.
    """

    key = "parquet"
    label = _("Parquet")
    hint = _("For data analysis: typed, compressed, fast to read")
    extension = "parquet"
    content_type = "application/vnd.apache.parquet"
    rows_per_second = 100_000
    bytes_per_row = 60

    def prepare(self, sample: Sequence[Row], context: RenderContext) -> Mapping[str, Any]:
        slots = flat(context.columns)
        columns = zip(*sample, strict=True) if sample else [()] * len(slots)
        return {"text": [place for place, values in enumerate(columns) if not _fits(slots[place], values)]}

    def write(self, rows: Iterable[Row], out: BinaryIO, context: RenderContext) -> Written:
        import pyarrow as pa

        schema = _schema(rows, context)
        columns = [
            _Cells(slot, kind, context.zone) for slot, kind in zip(flat(context.columns), schema.types, strict=True)
        ]
        count = 0
        with pa.ipc.new_stream(out, schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as stream:
            for batch in batches(rows):
                arrays = [cells.array(values) for cells, values in zip(columns, zip(*batch, strict=True), strict=True)]
                stream.write_batch(pa.record_batch(arrays, schema=schema))
                count += len(batch)
        return Written(count)

    def assemble(self, parts: Iterable[OpenPart], out: BinaryIO, context: RenderContext) -> Written:
        import pyarrow as pa
        from pyarrow import parquet

        rows, writer = 0, None
        with ExitStack() as ended:
            for part in parts:
                stream = pa.ipc.open_stream(part.file)
                if writer is None:
                    writer = ended.enter_context(parquet.ParquetWriter(out, stream.schema, compression="zstd"))
                for group in _groups(stream):
                    writer.write_table(pa.Table.from_batches(group))
                rows += part.rows
        return Written(rows)


if find_spec("pyarrow") is not None:
    register(Parquet)


def _groups(stream: Iterable[pa.RecordBatch]) -> Iterator[list[pa.RecordBatch]]:
    """The batches of a part, as many together as make a row group."""
    group: list[pa.RecordBatch] = []
    for batch in stream:
        group.append(batch)
        if sum(each.num_rows for each in group) >= GROUP_ROWS or sum(each.nbytes for each in group) >= GROUP_BYTES:
            yield group
            group = []
    if group:
        yield group


def _fits(slot: Column, values: Sequence[Any]) -> bool:
    """Are these values what the slot's type says?"""
    known = [value for value in values if value is not None]
    match slot.type:
        case ColumnType.INTEGER:
            return all(type(value) is int and -(2**63) <= value < 2**63 for value in known)
        case ColumnType.DECIMAL:
            return all(isinstance(value, float) or (type(value) is Decimal and value.is_finite()) for value in known)
        case ColumnType.BOOLEAN:
            return all(value in (0, 1) and type(value) in (bool, int) for value in known)
        case ColumnType.DATE:
            return all(type(value) is date for value in known)
        case ColumnType.DATETIME:
            return all(isinstance(value, datetime) and value.tzinfo is not None for value in known)
        case _:
            return True


def _schema(rows: Iterable[Row], context: RenderContext) -> pa.Schema:
    import pyarrow as pa

    slots = flat(context.columns)
    fields = rows.fields() if isinstance(rows, Source) else [None] * len(slots)
    text = context.layout.get("text", ())
    kinds = [
        pa.string() if place in text else _kind(slot, field)
        for place, (slot, field) in enumerate(zip(slots, fields, strict=True))
    ]
    return pa.schema([_named(slot, kind) for slot, kind in zip(slots, kinds, strict=True)])


def _named(slot: Column, kind: pa.DataType) -> pa.Field:
    import pyarrow as pa

    return pa.field(encode(slot.name).decode(), kind, metadata={"label": encode(str(slot.label))})


def _kind(slot: Column, field: Field[Any, Any] | None) -> pa.DataType:
    """The type of a slot's column; `field` is the model's field that it shows, if it is one."""
    import pyarrow as pa

    if slot.type in (ColumnType.INTEGER, ColumnType.DECIMAL, ColumnType.CHOICE) and isinstance(field, IntegerField):
        return pa.int64()
    if slot.type is ColumnType.DECIMAL and isinstance(field, FloatField):
        return pa.float64()
    if slot.type is ColumnType.DECIMAL and isinstance(field, DecimalField) and (field.max_digits or 99) <= MOST_DIGITS:
        wide = pa.decimal128 if field.max_digits <= 38 else pa.decimal256
        return wide(field.max_digits, field.decimal_places)
    usual = {
        ColumnType.INTEGER: pa.int64(),
        ColumnType.FLOAT: pa.float64(),
        ColumnType.BOOLEAN: pa.bool_(),
        ColumnType.DATE: pa.date32(),
        ColumnType.DATETIME: pa.timestamp("us", "UTC"),
    }
    return usual.get(slot.type, pa.string())


class _Cells:
    """A slot's values as arrays of its Arrow type."""

    def __init__(self, slot: Column, kind: pa.DataType, zone: ZoneInfo) -> None:
        self._slot = slot
        self._kind = kind
        self._python = _python(kind)
        [self._write] = converters([replace(slot, type=ColumnType.TEXT)], _texts(zone), none=None)

    def array(self, values: Sequence[Any]) -> pa.Array:
        """Raises FormatFailed, with the first value that the type cannot hold."""
        try:
            return self._array(values)
        except (TypeError, ValueError, OverflowError) as error:
            raise self._misfit(values) from error

    def _array(self, values: Sequence[Any]) -> pa.Array:
        import pyarrow as pa

        if self._python is str:
            values = self._write(values)
        elif self._python is bool:
            values = [value if value is None else truth(value) for value in values]
        if set(map(type, values)) - {self._python, NoneType}:
            raise TypeError
        if self._python is datetime and any(value is not None and value.tzinfo is None for value in values):
            raise ValueError
        return pa.array(values, type=self._kind)

    def _misfit(self, values: Sequence[Any]) -> FormatFailed:
        for value in values:
            try:
                self._array([value])
            except (TypeError, ValueError, OverflowError):
                return FormatFailed(
                    gettext(
                        "The column “%(column)s” is of the type %(type)s in Parquet, which cannot hold the value "
                        "%(value)s. Nothing was left out: choose CSV or JSON Lines, which take any value."
                    )
                    % {"column": self._slot.label, "type": self._kind, "value": Truncator(value).chars(60)}
                )
        return FormatFailed()


def _python(kind: pa.DataType) -> type:
    """The Python type of the values that become this Arrow type."""
    import pyarrow as pa

    if pa.types.is_decimal(kind):
        return Decimal
    plain = {pa.int64(): int, pa.float64(): float, pa.bool_(): bool, pa.date32(): date, pa.string(): str}
    return plain.get(kind, datetime)


def _texts(zone: ZoneInfo) -> Writers[str | None]:
    return {
        str: lambda text: encode(text).decode(),
        int: str,
        Decimal: "{:f}".format,
        float: float_text,
        bool: {True: "true", False: "false"}.__getitem__,
        date: date.isoformat,
        datetime: moment(zone),
        time: time.isoformat,
        timedelta: duration_iso_string,
    }
