"""The contract of a dataset: named columns over one queryset for one user, read in key ranges."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractBaseUser
from django.db.models import Count, F, Model, Q, QuerySet, Window
from django.db.models.expressions import Combinable
from django.db.models.functions import Mod, RowNumber
from django.utils.functional import Promise
from django.utils.translation import gettext as _

from exports.errors import UnknownField
from exports.periods import Period

CHUNK = 2_000
"""Rows that one fetch from the database holds in memory."""


class ColumnType(Enum):
    """How a column's values are written. Every value may also be None."""

    TEXT = "text"
    INTEGER = "integer"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    DATE = "date"
    DATETIME = "datetime"

    @property
    def numeric(self) -> bool:
        return self in (ColumnType.INTEGER, ColumnType.DECIMAL)


@dataclass(frozen=True)
class Column:
    """One column: key, heading, type, and where its value comes from (default: the field of the same name)."""

    name: str
    label: str | Promise
    type: ColumnType = ColumnType.TEXT
    source: str | Combinable | None = None

    @property
    def expression(self) -> str | Combinable:
        return self.source or self.name


@dataclass(frozen=True)
class KeyRange:
    """A part's rows: primary keys from `first` to `last`, both included, and how many they were at planning."""

    first: Any
    last: Any
    rows: int


class Dataset(ABC):
    """One thing that a user can export. Subclasses name `key`, `label`, `columns`, `date_field` and `queryset`.

    `date_field` is the date-time field that periods filter on. Rows that are created after the planning have keys
    beyond the last range's or lie between two ranges' keys only when keys do not grow; they are not in the export.
    """

    key: ClassVar[str]
    label: ClassVar[str | Promise]
    description: ClassVar[str | Promise] = ""
    columns: ClassVar[Sequence[Column]]
    date_field: ClassVar[str]

    @abstractmethod
    def queryset(self, user: AbstractBaseUser) -> QuerySet[Any]:
        """The rows that `user` may see, and no others."""

    def permitted(self, user: AbstractBaseUser) -> bool:
        """May `user` export this at all? Asked at the click, by the worker, and again at the download."""
        return True

    def choose(self, names: Sequence[str]) -> list[Column]:
        """The columns of `names`, in that order; all of them for an empty choice. Raises UnknownField.

        Each is taken once: a small request must not make a file of a thousand columns.
        """
        if not names:
            return list(self.columns)
        by_name = {column.name: column for column in self.columns}
        unknown = [name for name in names if name not in by_name]
        if unknown:
            raise UnknownField(
                _("The dataset %(key)s has no field %(unknown)s. Choose from: %(known)s.")
                % {"key": self.key, "unknown": ", ".join(unknown[:3]), "known": ", ".join(by_name)}
            )
        if len(names) > len(set(names)):
            twice = next(name for place, name in enumerate(names) if name in names[:place])
            raise UnknownField(_("The request names the field %s more than once. Leave the others out.") % twice)
        return [by_name[name] for name in names]

    def selected(self, user: AbstractBaseUser, period: Period) -> QuerySet[Any]:
        """The user's rows of the period, in the order of their keys."""
        rows = self.queryset(user).order_by("pk")
        if period.start is not None:
            rows = rows.filter(**{f"{self.date_field}__gte": period.start})
        if period.end is not None:
            rows = rows.filter(**{f"{self.date_field}__lt": period.end})
        return rows

    def count_up_to(self, user: AbstractBaseUser, period: Period, limit: int) -> int:
        """How many rows the period has; counting stops at `limit`, so that the click can afford it."""
        return self.selected(user, period)[:limit].count()

    def key_ranges(self, user: AbstractBaseUser, period: Period, rows_per_part: int | None) -> list[KeyRange]:
        """Cut the period's rows into ranges of `rows_per_part` keys (None: one range), in one pass and without OFFSET.

        Empty when there are no rows.
        """
        row, total = Window(RowNumber(), order_by=F("pk").asc()), Window(Count("pk"))
        numbered = self.selected(user, period).annotate(_row=row, _total=total)
        if rows_per_part is None:
            ends = numbered.filter(Q(_row=1) | Q(_row=F("_total")))
        else:
            place = _Place(F("_row") - 1, rows_per_part)
            ends = numbered.annotate(_place=place).filter(
                Q(_place=0) | Q(_place=rows_per_part - 1) | Q(_row=F("_total"))
            )
        return _pair(list(ends.values_list("pk", "_row", "_total")), rows_per_part)

    def rows(
        self, user: AbstractBaseUser, period: Period, columns: Sequence[Column], keys: KeyRange | None
    ) -> Iterator[tuple[Any, ...]]:
        """The values of `columns`, row after row, for one range of keys. None means no rows at all.

        Each CHUNK of rows is a query of its own, ended before its first row comes out. A cursor left open over
        the whole range would hold SQLite's snapshot: once anybody else had written, this connection's own next
        write (a part's progress) would fail with "database is locked", at once and whatever the timeout.
        """
        if keys is None:
            return
        # F, because values_list() drops the second of two equal names, and two columns may have one source.
        values = [F(source) if isinstance(source := column.expression, str) else source for column in columns]
        left = self.selected(user, period).filter(pk__lte=keys.last).values_list(*values, F("pk"))
        page = list(left.filter(pk__gte=keys.first)[:CHUNK])
        while page:
            yield from (row[:-1] for row in page)
            page = list(left.filter(pk__gt=page[-1][-1])[:CHUNK]) if len(page) == CHUNK else []

    def model(self, user: AbstractBaseUser) -> type[Model]:
        return self.queryset(user).model


class _Place(Mod):
    """A remainder of a window's value, which exists only after grouping; Django would group by it."""

    def get_group_by_cols(self) -> list[Any]:
        return []


def _pair(ends: list[tuple[Any, int, int]], rows_per_part: int | None) -> list[KeyRange]:
    """Ranges from their first and last rows, each (key, number from 1, total)."""
    ranges: list[KeyRange] = []
    for key, row, total in ends:
        size = rows_per_part or total
        if (row - 1) % size == 0:
            ranges.append(KeyRange(key, key, 1))
        if row % size == 0 or row == total:
            first = ranges[-1]
            ranges[-1] = KeyRange(first.first, key, (row - 1) % size + 1)
    return ranges
