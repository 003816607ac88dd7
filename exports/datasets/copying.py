"""COPY: rows that PostgreSQL itself reads and formats, through Django's own connection."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast
from weakref import ref

from django.core.exceptions import EmptyResultSet
from django.db import connections, transaction
from django.db.models import F, QuerySet
from django.db.models.expressions import BaseExpression
from django.db.models.sql.compiler import SQLCompiler

from exports.datasets.coercion import KINDS, python_of
from exports.datasets.columns import Column, ColumnType, values_of
from exports.datasets.key_ranges import KeyRange
from exports.datasets.marked import Base64, Email, FileName, IpText, Marked, Url, UuidText
from exports.errors import DatasetFailed, errors_as

if TYPE_CHECKING:
    from psycopg import Copy
    from psycopg.pq.abc import PGconn

PIECE = 200_000
"""Approximate rows of one COPY. Between two of them the connection is free, and the rows so far are reported."""

BOOL, BYTEA, INT8, INT2, INT4, TEXT, INET, VARCHAR, DATE, TIMESTAMPTZ, NUMERIC, UUID = (
    16, 17, 20, 21, 23, 25, 869, 1043, 1082, 1184, 1700, 2950,
)  # fmt: skip
INTEGERS = (INT2, INT4, INT8)
SAME: dict[type, Mapping[int, str]] = {
    bool: {BOOL: "{}"},
    int: dict.fromkeys(INTEGERS, "{}"),
    Decimal: dict.fromkeys((*INTEGERS, NUMERIC), "{}"),
    date: {DATE: "{}"},
    datetime: {TIMESTAMPTZ: "{}"},
    str: {
        **dict.fromkeys((TEXT, VARCHAR), "{}"),
        **dict.fromkeys((*INTEGERS, NUMERIC, BOOL, DATE, UUID), "{}::text"),
        BYTEA: "encode({}, 'hex')",
    },
    UuidText: {UUID: "{}::text"},
    IpText: {INET: "abbrev({})"},
    Base64: {BYTEA: "translate(encode({}, 'base64'), E'\\n', '')"},
    **dict.fromkeys((Url, Email, FileName), dict.fromkeys((TEXT, VARCHAR), "{}")),
}
"""Python type of a slot to the server types that it may have, each with SQL whose text equals that of the Python value.

Left out: floats, which Python writes with other zeros and exponents; intervals, times, JSON and arrays, which Python
writes differently; char(n), which loses its spaces; extension types; and values that may not fit, such as a numeric in
an integer column.
"""
SETTINGS = {"DateStyle": "ISO", "server_encoding": "UTF8", "client_encoding": "UTF8"}
"""Session parameters that the expected text output requires, each with the prefix of its value."""

HEADED, HEADER, TRAILER = b"P", 19, b"\xff\xff"
"""Start of the first block of COPY BINARY, length of the header in it, and the last block."""
FRAME = 6
"""Bytes before the text of a row: the number of fields and the length of the text."""

PLANNING = "SET LOCAL jit = off; SET LOCAL max_parallel_workers_per_gather = 0"
"""The planner adds up the cost of all changes of a time zone, and would compile them with JIT, or sort on disk."""


class Copying:
    """COPY of the rows of one part; create it with `of`. Every error is raised as an ExportError.

    `names` are SQL for the values of `slots`, any of which may be NULL. `types` are their column types; a CHOICE has
    the type of its stored values, and a marked text such as a UUID is TEXT.
    While a COPY runs, the connection is busy, and a query on it from the same thread would block forever: leave the
    loop over the blocks first. Leaving the loop early cancels the COPY, and the connection stays usable. But after an
    exception the generator lives as long as the exception does, so call `close` when you stop reading.
    """

    def __init__(
        self,
        rows: QuerySet[Any],
        slots: Sequence[Column],
        sql: Sequence[str],
        keys: KeyRange,
        count: Callable[[int], None],
    ) -> None:
        self.slots = slots
        self.types = [_type_of(python_of(slot)) for slot in slots]
        self.names = [each.format(f"r.c{place}") for place, each in enumerate(sql)]
        self.done = 0
        """Rows of the completed pieces."""
        self._rows = rows
        self._keys = keys
        self._count = count
        self._running: ref[Generator[list[memoryview], None, None]] | None = None

    @classmethod
    def of(
        cls, rows: QuerySet[Any], slots: Sequence[Column], keys: KeyRange, count: Callable[[int], None]
    ) -> Copying | None:
        """Return a COPY of `slots` for one key range of `rows`, or None if Python would write a value differently.

        `count` is called with the number of rows of each piece, once it is complete and the connection is free.
        """
        try:
            sql = _same_sql(rows, slots)
        except EmptyResultSet:
            return None
        return cls(rows, slots, sql, keys, count) if sql else None

    def run(self, select: str, options: str = "") -> Iterator[list[memoryview]]:
        """Run COPY (SELECT <select> FROM <rows> AS r) TO STDOUT <options>. Yield lists of blocks, one per row."""
        running = self._run(select, options)
        self._running = ref(running)  # weak, so that it ends with the loop that holds it
        return running

    def close(self) -> None:
        """Cancel a COPY that was not read to its end."""
        running = self._running() if self._running else None
        if running is not None:
            running.close()

    def _run(self, select: str, options: str) -> Generator[list[memoryview], None, None]:
        for piece in self._pieces():
            with errors_as(DatasetFailed):
                rows = yield from self._copy(piece, select, options)
            self.done += rows
            self._count(rows)
        if self.done > self._keys.rows:
            with errors_as(DatasetFailed):
                self._require_keys_once()

    def _require_keys_once(self) -> None:
        """Raise DatasetFailed if a key occurs more than once. Rows added since planning are accepted."""
        inner = _compiled(self._rows.filter(pk__gte=self._keys.first, pk__lte=self._keys.last), self.slots)[0]
        names = ", ".join([*(f"c{place}" for place in range(len(self.slots))), "k"])
        with connections[self._rows.db].cursor() as cursor:
            cursor.execute(
                f"SELECT k FROM ({inner}) AS r({names}) GROUP BY k HAVING count(*) > 1 ORDER BY k LIMIT 1"  # noqa: S608
            )
            if found := cursor.fetchone():
                raise ValueError(f"The primary key {found[0]!r} occurs more than once.")

    def texts(self, select: str) -> Iterator[list[memoryview]]:
        """Yield lists of blocks, one per row: only the bytes of the text of `select`, which must not be NULL."""
        for blocks in self.run(select, "(FORMAT binary)"):
            if blocks[0][:1] == HEADED:
                blocks[0] = blocks[0][HEADER:]
            if blocks[-1] == TRAILER:
                blocks.pop()
            yield [block[FRAME:] for block in blocks]

    def _pieces(self) -> Iterator[QuerySet[Any]]:
        """Yield the rows in key ranges, of about PIECE rows each if the keys are numbers without large gaps."""
        keys, rows = self._keys, self._rows
        if isinstance(keys.first, int) and isinstance(keys.last, int):
            step = (keys.last - keys.first) // max(1, round(keys.rows / PIECE)) + 1
            for first in range(keys.first, keys.last + 1, step):
                yield rows.filter(pk__gte=first, pk__lte=min(first + step - 1, keys.last))
        else:
            yield rows.filter(pk__gte=keys.first, pk__lte=keys.last)

    def _copy(self, rows: QuerySet[Any], select: str, options: str) -> Generator[list[memoryview], None, int]:
        """Yield the blocks of one COPY. Return the number of rows."""
        connection = connections[rows.db]
        inner = _compiled(rows, self.slots)[0]
        aliases = ", ".join([*(f"c{place}" for place in range(len(self.slots))), "k"])
        statement = f"COPY (SELECT {select} FROM ({inner}) AS r({aliases}) ORDER BY r.k) TO STDOUT {options}"  # noqa: S608
        with transaction.atomic(using=rows.db), connection.cursor() as cursor:
            cursor.execute(PLANNING)
            with connection.wrap_database_errors, cursor.copy(statement) as copy:
                return (yield from _blocks(copy))


def _blocks(copy: Copy) -> Generator[list[memoryview], None, int]:
    """Yield the blocks of a COPY, in lists of what libpq has buffered, some 50 KB. Return the number of rows.

    psycopg's own loop waits for each block separately, which takes longer than all other Python work for a row.
    """
    pgconn = copy.connection.pgconn
    while first := copy.read():
        blocks = [cast("memoryview", first)]
        size, block = pgconn.get_copy_data(1)
        while size > 0:
            blocks.append(block)
            size, block = pgconn.get_copy_data(1)
        rows = _end(pgconn) if size < 0 else None
        yield blocks
        if rows is not None:
            return rows
    return copy.cursor.rowcount


def _end(pgconn: PGconn) -> int:
    """Read the result of a COPY that has sent its last block. Return the number of rows."""
    from psycopg.errors import error_from_result
    from psycopg.pq import ExecStatus

    result = pgconn.get_result()
    while pgconn.get_result():
        pass
    assert result is not None
    if result.status != ExecStatus.COMMAND_OK:
        raise error_from_result(result)
    return result.command_tuples or 0


def quoted(text: str) -> str:
    """Return `text` as an SQL literal."""
    return "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def _compiled(rows: QuerySet[Any], slots: Sequence[Column]) -> tuple[str, SQLCompiler]:
    """Return the SQL of the slots' values and the key, and its compiler. Raises EmptyResultSet.

    An ORDER BY keeps PostgreSQL from merging it into the outer query, which would compute an expression wherever its
    name is used. Plain fields are faster when merged.
    """
    merged = all(isinstance(slot.expression, F) for slot in slots)
    chosen = values_of(rows.order_by(*([] if merged else ["pk"])), slots)
    compiler = chosen.query.get_compiler(using=rows.db)
    operations: Any = connections[rows.db].ops
    return operations.compose_sql(*compiler.as_sql()), compiler


def _same_sql(rows: QuerySet[Any], slots: Sequence[Column]) -> list[str] | None:
    """Return SQL for the values of each slot, or None if the text of one differs from what Python writes."""
    connection = connections[rows.db]
    connection.ensure_connection()
    session = connection.connection.info.parameter_status
    if not all((session(name) or "").startswith(value) for name, value in SETTINGS.items()):
        return None
    inner, compiler = _compiled(rows, slots)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM ({inner}) AS r LIMIT 0")  # noqa: S608
        oids = [column.type_code for column in cursor.description or ()]
    converted = compiler.get_converters([expression for expression, _, _ in compiler.select])
    usual = all(_usual(*converted[place], oids[place]) for place in range(len(slots)) if place in converted)
    if not usual or any(slot.function is not None or not _words_found(slot) for slot in slots):
        return None
    sql = [SAME.get(python_of(slot), {}).get(oid) for slot, oid in zip(slots, oids, strict=False)]
    return None if None in sql else cast("list[str]", sql)


def _type_of(python: type) -> ColumnType:
    return ColumnType.TEXT if issubclass(python, Marked) else KINDS[python]


def _words_found(slot: Column) -> bool:
    """Return whether a choice's label can be found by the stored value's text. 1.5 has several, such as 1.50."""
    return slot.type is not ColumnType.CHOICE or not slot.words or python_of(slot) in (str, int, bool)


def _usual(converters: Sequence[Callable[..., Any]], expression: Any, oid: int) -> bool:
    """Return whether these are Django's own converters for numbers, which leave a value of this type unchanged."""
    own = type(expression).convert_value is BaseExpression.convert_value
    if not own or converters != [expression.convert_value]:
        return False
    kind = expression.output_field.get_internal_type()
    return oid in INTEGERS if kind.endswith("IntegerField") else kind == "DecimalField" and oid in (*INTEGERS, NUMERIC)
