"""Rows that are mappings, from a grouped queryset or from a dataset's own code, as typed rows of a part."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any

from celery.exceptions import SoftTimeLimitExceeded
from django.db import connection
from django.db.models import F, Value
from django.utils.translation import gettext as _

from exports.datasets.columns import Column, ColumnType, flat
from exports.datasets.paths import suggested
from exports.datasets.streams import CHUNK, Row, RowStream, computed
from exports.errors import DatasetFailed, ExportError, SourceAway

Rows = Iterable[Mapping[str, Any]]


class MappingSource(RowStream):
    """The values of `columns` for the rows that `read` returns. Each iteration calls it again.

    Errors name the row by its number, from 1. On SQLite, the rows are first read to their end: a query left open would
    hold its snapshot, and the next write of this connection could fail (see `Source.batches`).
    """

    def __init__(self, read: Callable[[], Rows], columns: Sequence[Column]) -> None:
        super().__init__(columns)
        self._read = read
        self._takes = [_take(slot) for slot in self._slots]

    def _pages(self, size: int | None = None) -> Iterator[list[Row]]:
        pages = self._typed_pages(size or CHUNK)
        return _spooled(pages) if size is None and connection.vendor == "sqlite" else pages

    def _typed_pages(self, size: int) -> Iterator[list[Row]]:
        rows = enumerate(self._rows(), start=1)
        while page := list(islice(rows, size)):
            numbers = [number for number, _ in page]
            taken = [[take(row, number) for number, row in page] for take in self._takes]
            yield self._in_types(list(zip(*taken, strict=True)), numbers)

    def _rows(self) -> Iterator[Mapping[str, Any]]:
        try:
            yield from self._read()
        except (ExportError, SoftTimeLimitExceeded):
            raise
        except (ConnectionError, TimeoutError) as error:
            raise SourceAway from error


def name_in_rows(slot: Column) -> str | None:
    """Return the key of a slot's value in the rows; None if its source is an expression."""
    source = slot.source or slot.name
    if isinstance(source, F):
        return str(source.name)  # type: ignore[attr-defined]
    return source if isinstance(source, str) else None


def faults(columns: Iterable[Column], known: Sequence[str] = ()) -> Iterator[str]:
    """Yield one sentence for each column whose value cannot be taken from a mapping with the keys `known`, if given."""
    for slot in flat(columns):
        if slot.function is not None or slot.type is ColumnType.NULL or isinstance(slot.source, Value):
            continue
        name = name_in_rows(slot)
        if name is None:
            yield f"The column {slot.name!r} has an expression as its source: name a key of the rows, or a function."
        elif known and name not in known:
            yield f"The column {slot.name!r} cannot be read: the rows have no {name!r}.{suggested(name, known)}"


def _take(slot: Column) -> Callable[[Mapping[str, Any], int], Any]:
    """Return a function that takes the slot's value from a row with a number."""
    if slot.function is not None:
        return partial(computed, slot)
    if slot.type is ColumnType.NULL:
        return partial(_fixed, None)
    if isinstance(slot.source, Value):
        return partial(_fixed, slot.source.value)
    return partial(_found, slot, name_in_rows(slot))


def _found(slot: Column, name: str | None, row: Mapping[str | None, Any], number: int) -> Any:
    try:
        return row[name]
    except (KeyError, TypeError) as error:
        raise _missing(slot, name, row, number) from error


def _fixed(value: Any, _row: Any, _number: int) -> Any:
    return value


def _missing(slot: Column, name: str | None, row: Any, number: int) -> ExportError:
    if not isinstance(row, Mapping):
        words = _("The row %(number)s is a %(type)s: rows() must yield dictionaries.")
        return DatasetFailed(words % {"number": number, "type": type(row).__name__})
    words = _("The row %(number)s has no “%(name)s” for the column “%(column)s”. It may be None.%(hint)s")
    hint = suggested(str(name), map(str, row))
    return DatasetFailed(words % {"number": number, "name": name, "column": slot.label, "hint": hint})


def _spooled(pages: Iterator[list[Row]]) -> Iterator[list[Row]]:
    """Yield the pages after writing all of them to a temporary file, so that no query is open between two of them."""
    with tempfile.TemporaryFile() as file:
        count = 0
        for page in pages:
            pickle.dump(page, file)
            count += 1
        file.seek(0)
        for _page in range(count):
            yield pickle.load(file)  # noqa: S301 - written above
