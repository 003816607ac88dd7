"""Parquet: typed columns, for data analysis. Needs pyarrow, an optional dependency."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, BinaryIO

from django.db.models import DecimalField, Field, IntegerField
from django.utils.text import Truncator
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from exports.datasets import Column, Row, RowStream, flat
from exports.datasets.coercion import python_of
from exports.datasets.marked import Base64
from exports.datasets.texts import as_text
from exports.errors import FormatFailed
from exports.formats import register_with
from exports.formats.base import Format, OpenPart, RenderContext, Written
from exports.formats.values import Writers, batches, converters, encode

if TYPE_CHECKING:
    import pyarrow as pa

GROUP_ROWS, GROUP_BYTES = 100_000, 32 << 20
"""A row group is full when it reaches one of these limits: rows, or bytes in memory."""
BLOCK_ROWS = 250
"""Row groups consist of whole blocks of this many rows."""
MOST_DIGITS = 38
"""Digits of the longest decimal that all readers support. Some read longer ones as floats, or not at all."""


@register_with("pyarrow", extra="parquet")
class Parquet(Format):
    """One table with a schema: text, 64-bit integers, exact decimals, doubles, booleans, dates, times, UTC timestamps.

    A column's type depends only on its declaration, so all parts have the same schema. A DECIMAL is written as a
    decimal if its column is a model field of up to 38 digits, as a 64-bit integer if it is an integer field, and
    otherwise as text with all its digits. Choices are their stored values, bytes are binary, JSON is text. Parquet has
    no type for durations: they are 64-bit integers that count microseconds, marked as Arrow durations for readers that
    support them. A value that does not fit its type raises FormatFailed.

    A part's body is an Arrow IPC stream, which needs no encoding. `assemble` cuts and compresses the row groups once,
    independently of where parts begin.
    """

    key = "parquet"
    label = _("Parquet")
    hint = _("For data analysis: typed, compressed, fast to read")
    extension = "parquet"
    content_type = "application/vnd.apache.parquet"
    rows_per_second = 100_000
    bytes_per_row = 60

    def write(self, rows: Iterable[Row], out: BinaryIO, context: RenderContext) -> Written:
        import pyarrow as pa

        schema = _schema(rows, context)
        columns = list(map(_Cells, flat(context.columns), schema.types))
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

        rows = 0

        def batches() -> Iterator[pa.RecordBatch]:
            nonlocal rows
            for part in parts:
                stream = pa.ipc.open_stream(part.file)
                if not rows:
                    yield pa.RecordBatch.from_pylist([], schema=stream.schema)
                yield from stream
                rows += part.rows

        with ExitStack() as stack:
            writer = None
            for group in _groups(batches()):
                if writer is None:
                    writer = stack.enter_context(parquet.ParquetWriter(out, group.schema, compression="zstd"))
                if group.num_rows:
                    writer.write_table(group.combine_chunks())
        return Written(rows)


def _groups(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Yield the row groups of a file. Their boundaries depend only on the rows, not on how these are batched."""
    import pyarrow as pa

    group: list[pa.Table] = []
    rows = size = 0
    for block in _blocks(batches):
        group.append(block)
        rows += block.num_rows
        size += _size(block)
        if rows >= GROUP_ROWS or size >= GROUP_BYTES:
            yield pa.concat_tables(group)
            group, rows, size = [], 0, 0
    if group:
        yield pa.concat_tables(group)


def _blocks(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Yield the rows in tables of BLOCK_ROWS. Only the last table may have fewer rows, or no rows."""
    import pyarrow as pa

    held: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        held.append(batch)
        rows += batch.num_rows
        if rows < BLOCK_ROWS:
            continue
        table = pa.Table.from_batches(held)
        whole = rows - rows % BLOCK_ROWS
        yield from (table.slice(at, BLOCK_ROWS) for at in range(0, whole, BLOCK_ROWS))
        held, rows = table.slice(whole).to_batches() or [batch.slice(batch.num_rows)], rows - whole
    if held:
        yield pa.Table.from_batches(held)


def _size(table: pa.Table) -> int:
    """Return the approximate size of `table` in bytes, computed from its values: the size of Arrow's buffers depends on
    how the table was cut.
    """
    import pyarrow as pa
    from pyarrow import compute

    texts = [column for column in table.columns if pa.types.is_string(column.type) or pa.types.is_binary(column.type)]
    letters: list[int] = [compute.sum(compute.binary_length(text)).as_py() or 0 for text in texts]
    cells: int = table.num_rows * table.num_columns
    return sum(letters) + 8 * cells


def _schema(rows: Iterable[Row], context: RenderContext) -> pa.Schema:
    import pyarrow as pa

    slots = flat(context.columns)
    fields = rows.fields() if isinstance(rows, RowStream) else [None] * len(slots)
    return pa.schema([_named(slot, _kind(slot, field)) for slot, field in zip(slots, fields, strict=True)])


def _named(slot: Column, kind: pa.DataType) -> pa.Field:
    import pyarrow as pa

    return pa.field(encode(slot.name).decode(), kind, metadata={"label": encode(str(slot.label))})


def _kind(slot: Column, field: Field[Any, Any] | None) -> pa.DataType:
    """Return the Arrow type of a slot's column. `field` is the model field that it shows, if any."""
    import pyarrow as pa

    python = python_of(slot)
    if python is Decimal and isinstance(field, IntegerField):
        return pa.int64()
    if python is Decimal and isinstance(field, DecimalField) and (field.max_digits or 99) <= MOST_DIGITS:
        return pa.decimal128(field.max_digits, field.decimal_places)
    usual = {
        int: pa.int64(),
        float: pa.float64(),
        bool: pa.bool_(),
        date: pa.date32(),
        datetime: pa.timestamp("us", "UTC"),
        time: pa.time64("us"),
        timedelta: pa.duration("us"),
    }
    return pa.binary() if python is Base64 else usual.get(python, pa.string())


class _Cells:
    """Converts a slot's values to arrays of its Arrow type."""

    def __init__(self, slot: Column, kind: pa.DataType) -> None:
        self._slot = slot
        self._kind = kind
        [self._write] = converters([slot], _writers(kind), none=None)

    def array(self, values: Sequence[Any]) -> pa.Array:
        """Return the values as an array. Raises FormatFailed, with the first value that does not fit the type."""
        import pyarrow as pa

        written = self._write(values)
        try:
            return pa.array(written, type=self._kind)
        except (TypeError, ValueError, OverflowError) as error:
            raise self._misfit(written) from error

    def _misfit(self, values: Sequence[Any]) -> FormatFailed:
        import pyarrow as pa

        for value in values:
            try:
                pa.array([value], type=self._kind)
            except (TypeError, ValueError, OverflowError):
                return FormatFailed(
                    gettext(
                        "The column “%(column)s” has the Parquet type %(type)s, which cannot hold the value "
                        "%(value)s. Choose CSV or JSON Lines, which accept any value."
                    )
                    % {"column": self._slot.label, "type": self._kind, "value": Truncator(value).chars(60)}
                )
        return FormatFailed()


def _writers(kind: pa.DataType) -> Writers[Any]:
    """Return the functions that prepare values of each Python type for an Arrow column of type `kind`."""
    import pyarrow as pa

    def itself(value: Any) -> Any:
        return value

    if kind == pa.binary():
        return {Base64: b64decode}
    types: tuple[type, ...] = (int, Decimal, float, bool, date, datetime, time, timedelta)
    if kind == pa.string():
        return {str: lambda text: encode(text).decode(), **dict.fromkeys(types, as_text)}
    return {**dict.fromkeys(types, itself), **({Decimal: int} if kind == pa.int64() else {})}
