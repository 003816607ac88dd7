"""Base class of datasets whose rows come from the site's own code: an API, raw SQL, a computation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from functools import partial
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from exports.datasets import declared, mappings
from exports.datasets.base import Dataset
from exports.datasets.columns import Column
from exports.datasets.estimate import Rows
from exports.datasets.key_ranges import KeyRange
from exports.datasets.mappings import MappingSource
from exports.datasets.streams import RowStream
from exports.errors import DatasetFailed
from exports.models.period import Period
from exports.models.selection import Selection


class RowsDataset(Dataset, ABC):
    """A dataset whose rows `rows` yields as dictionaries. Its columns have explicit types.

    One part has all rows. They are streamed, and counted while they are read. `date_field` is a key of the rows; those
    outside the period, and those from after the request, are left out, so `rows` may yield more than the period has.
    """

    @abstractmethod
    def rows(self, selection: Selection) -> Iterable[Mapping[str, Any]]:
        """Yield the rows of `selection.owner` as dictionaries, always in the same order.

        Called for each file, once more to plan a workbook or a PDF (of which the first SAMPLE rows are read), once more
        for the preview of a bundle, and again for every retry. The time limit of a part applies.
        """

    def _missing(self) -> Iterator[str]:
        if not hasattr(type(self), "columns"):
            yield "lacks columns: give each a name, a label and a type"

    def queryset(self, user: AbstractBaseUser) -> QuerySet[Any]:
        raise TypeError(f"{type(self).__name__} has no queryset: its rows come from rows().")

    def faults(self, user: AbstractBaseUser, columns: Sequence[Column]) -> list[str]:
        found = [*self.unresolved, *mappings.faults(columns), *declared.faults_of_choices(columns)]
        if self.files:
            found.append("The rows are not those of a model, so they have no uploads: leave files out.")
        return found

    def doubts(self, user: AbstractBaseUser) -> list[str]:
        return []

    def estimate(self, selection: Selection) -> Rows | None:
        return None

    def in_parts(self, owner: AbstractBaseUser) -> bool:
        return False

    def key_ranges(self, selection: Selection, rows_per_part: int | None) -> list[KeyRange]:
        return []

    def source(self, selection: Selection, columns: Sequence[Column], keys: KeyRange | None) -> RowStream:
        return MappingSource(partial(self._selected, selection), columns)

    def _selected(self, selection: Selection) -> Iterator[Mapping[str, Any]]:
        if not selection.period.is_everything:
            self.refuse_periods()
        for row in self.rows(selection):
            if self.date_field is None or self._is_within(row, selection.period):
                yield row

    def _is_within(self, row: Mapping[str, Any], period: Period) -> bool:
        """Return whether a row is in the period and existed at the request, as for rows of a model."""
        when = row.get(str(self.date_field))
        if when is None:
            return period.is_everything
        if isinstance(when, datetime):
            if when.tzinfo is None:
                raise self._bad_date(when)
            known = period.asked_at is None or when < period.asked_at
            return known and _between(when, period.start, period.end) and when != period.end
        if isinstance(when, date):
            return _between(when, period.first_day, period.last_day)
        raise self._bad_date(when)

    def _bad_date(self, value: object) -> DatasetFailed:
        words = _("“%(field)s” of a row is %(value)r: return a date, or a date-time with a time zone, or None.")
        return DatasetFailed(words % {"field": self.date_field, "value": value})


def _between(when: Any, first: Any, last: Any) -> bool:
    return (first is None or first <= when) and (last is None or when <= last)
