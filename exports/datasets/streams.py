"""Streams of rows: they bring the rows of one part to a format, and count them."""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from celery.exceptions import SoftTimeLimitExceeded
from django.db.models import Field

from exports.datasets.coercion import Typed
from exports.datasets.columns import Column, blank, flat
from exports.errors import DatasetFailed, ExportError, errors_as, of_cell

if TYPE_CHECKING:
    from exports.datasets.copying import Copying

Row = tuple[Any, ...]
"""One value per slot, of the type that its column declares (`coercion.PYTHON`), or None. Date-times are aware.

The value of a nested column is a list of rows: one value for each slot of its own columns.
"""

CHUNK = 2_000
"""Rows of one query, which are held in memory."""


class RowStream(ABC):
    """The values of `columns`, row by row.

    `read` is the number of rows returned so far; `each` is called with it after every batch. Exceptions of the
    dataset's own code and of the database are raised as ExportError.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        self.columns = columns
        self.read = 0
        self.each: Callable[[int], None] = _ignore_progress
        self._slots = list(map(blank, flat(columns)))
        self._typed = [Typed(slot) for slot in self._slots]

    @abstractmethod
    def _pages(self, size: int | None = None) -> Iterator[list[Row]]:
        """Yield all rows in lists of up to `size`, or of up to CHUNK."""

    def __iter__(self) -> Iterator[Row]:
        for batch in self.batches():
            yield from batch

    def batches(self) -> Iterator[list[Row]]:
        """Yield the rows, in lists of up to CHUNK."""
        pages = self._pages()
        while True:
            with errors_as(DatasetFailed):
                page = next(pages, None)
            if page is None:
                return
            self._count(len(page))
            yield page

    def head(self, count: int) -> list[Row]:
        """Return the first rows, up to `count` (1 to CHUNK). They are not counted, and `batches` yields them again."""
        with errors_as(DatasetFailed):
            return next(self._pages(count), [])

    def fields(self) -> list[Field[Any, Any] | None]:
        """Return for each slot the model field that it shows unchanged; None for functions and other expressions."""
        return [None] * len(self._slots)

    def copying(self) -> Copying | None:
        """Return a COPY of the same rows, formatted by PostgreSQL; None if Python has to process them."""
        return None

    def close(self) -> None:  # noqa: B027 - most streams have nothing to stop
        """Stop reading, so that the connection is free for other queries."""

    def _count(self, rows: int) -> None:
        self.read += rows
        self.each(self.read)

    def _in_types(self, rows: list[Row], keys: Sequence[Any]) -> list[Row]:
        """Return the rows with each value of its column's type. `keys` are for errors. Raises DatasetFailed."""
        columns = list(zip(*rows, strict=True))
        typed = [convert(values, keys) for convert, values in zip(self._typed, columns, strict=True)]
        if all(map(operator.is_, typed, columns)):  # the usual case: nothing converted
            return rows
        return list(zip(*typed, strict=True))


def computed(column: Column, row: Any, key: Any) -> Any:
    """Return the value of a column's function for one row. Raises DatasetFailed, which names the row by `key`."""
    assert column.function is not None
    try:
        return column.function(row)
    except (ExportError, SoftTimeLimitExceeded):
        raise
    except Exception as error:
        raise of_cell(error, key, column.label) from error


def _ignore_progress(count: int) -> None:
    """No-op progress callback."""
