"""The contract of a dataset: named columns over one queryset for one user, read in key ranges."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured
from django.db.models import (
    DateField,
    DateTimeField,
    DecimalField,
    DurationField,
    Field,
    FloatField,
    IntegerField,
    Max,
    Min,
    Model,
    Q,
    QuerySet,
)
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _

from exports.datasets import declared, rules
from exports.datasets.coercion import Typed, python_of
from exports.datasets.columns import Column, flat, name_of
from exports.datasets.estimate import Rows, estimate
from exports.datasets.key_ranges import KeyRange, cut, sampled
from exports.datasets.source import Row, Source
from exports.errors import BadPeriod, UnfitDataset, UnknownField
from exports.models.period import Period

NUMBERS = {int, Decimal, float, timedelta}
ORDERED = (IntegerField, DecimalField, FloatField, DurationField)
"""Types of values, and of a database's fields, whose least and greatest value `extremes` gives."""


class Dataset(ABC):
    """One thing that a user can export. Subclasses name `key`, `label`, `columns`, `date_field` and `queryset`.

    `date_field` is what periods filter on: a date-time field, or a date field, or a path or annotation of one. Days are
    days in the person's zone. None is for rows without dates: they are exported as a whole. Rows without a date are in
    no period but "everything". Rows that come to be after the click are not in the export: `created_before` says which
    those are.
    """

    key: ClassVar[str]
    label: ClassVar[str | Promise]
    description: ClassVar[str | Promise] = ""
    columns: ClassVar[Sequence[Column]]
    date_field: ClassVar[str | None]

    def __init__(self) -> None:
        needed = ("key", "label", "columns", "date_field")
        if missing := [name for name in needed if not hasattr(self, name)]:
            raise ImproperlyConfigured(
                f"The dataset {type(self).__name__} lacks {', '.join(missing)}. Without dates, date_field is None."
            )

    @abstractmethod
    def queryset(self, user: AbstractBaseUser) -> QuerySet[Any]:
        """The rows that `user` may see, and no others."""

    def created_before(self, rows: QuerySet[Any], moment: datetime) -> QuerySet[Any]:
        """Those of `rows` that were there at `moment`, the click.

        By default `date_field` is taken for the moment of creation, and rows of later moments are left out. A row that
        has no date stays, and so do all rows where the field holds days or where there is none: a day says nothing
        about the moment. Override it where dates mean something else, as those of bookings, which lie ahead. Rows that
        it lets through are in the export when the planning, seconds after the click, finds them.
        """
        if self.date_field is None or not self._has_moments(rows):
            return rows
        before = Q(**{f"{self.date_field}__lt": moment})
        if self._always_dated(rows):
            return rows.filter(before)
        return rows.filter(before | Q(**{f"{self.date_field}__isnull": True}))

    def permitted(self, user: AbstractBaseUser) -> bool:
        """May `user` export this at all? Asked at the click, by the worker, and again at the download."""
        return True

    def choose(self, names: Sequence[str]) -> list[Column]:
        """The columns of `names`, in that order; all of them for an empty choice. Raises UnknownField.

        Each is taken once, a small request must not make a file of a thousand columns; and no two have one name in the
        file, in capitals or not: many readers of Parquet and SQL do not tell those apart.
        """
        columns = self._named(names) if names else list(self.columns)
        if two := declared.clash(columns):
            raise UnknownField(
                _("The fields %(one)s and %(other)s would have one name in the file. Leave one of them out.")
                % {"one": two[0].name, "other": two[1].name}
            )
        return columns

    def _named(self, names: Sequence[str]) -> list[Column]:
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

    def faults(self, user: AbstractBaseUser, columns: Sequence[Column]) -> list[str]:
        """Return one sentence for each reason why `columns` cannot be exported, with how to fix it."""
        rows = self.queryset(user)
        return (
            rules.faults(rows, columns)
            or [*declared.faults(rows, columns), *self._faults_of_dates(rows)]
            or rules.faults(self.created_before(rows, timezone.now()), [], "created_before()")
        )

    def doubts(self, user: AbstractBaseUser) -> list[str]:
        """Return one sentence for each column of another type than its values."""
        return declared.doubts(self.queryset(user), self.columns)

    def _faults_of_dates(self, rows: QuerySet[Any]) -> list[str]:
        if self.date_field is None:
            return []
        if found := rules.faults(rows, [Column("date_field", "", source=self.date_field)]):
            return found
        kind = self._kind_of_dates(rows)
        if isinstance(kind, DateField):  # a DateTimeField is one, too
            return []
        return [f"date_field is {self.date_field!r}, a {type(kind).__name__}: name a field of dates, or None."]

    def require_fit(self, user: AbstractBaseUser, columns: Sequence[Column]) -> None:
        """Raise UnfitDataset, with the reasons, when the export of `columns` would be wrong or would fail."""
        if found := self.faults(user, columns):
            raise UnfitDataset.because(self.key, found)

    def selected(self, user: AbstractBaseUser, period: Period) -> QuerySet[Any]:
        """The user's rows of the period, in the order of their keys. Raises BadPeriod where they have no dates."""
        rows = self.queryset(user)
        if period.asked_at is not None:
            rows = self.created_before(rows, period.asked_at)
        rows = rules.by_key(rows)
        if period.is_everything:
            return rows
        self.refuse_periods()
        bounds: dict[str, datetime | date | None]
        if self._has_moments(rows):
            bounds = {"gte": period.start, "lt": period.end}
        else:
            bounds = {"gte": period.first_day, "lte": period.last_day}
        return rows.filter(**{f"{self.date_field}__{at}": bound for at, bound in bounds.items() if bound is not None})

    def refuse_periods(self) -> None:
        """Raise BadPeriod where rows have no dates. Asked at the click for any period but "everything"."""
        if self.date_field is None:
            raise BadPeriod(_("“%s” has no dates to choose a period by. Choose everything.") % self.label)

    def _has_moments(self, rows: QuerySet[Any]) -> bool:
        """Does `date_field` hold date-times? Else it holds days."""
        return isinstance(self._kind_of_dates(rows), DateTimeField)

    def _kind_of_dates(self, rows: QuerySet[Any]) -> Field[Any, Any]:
        """The field that says what `date_field` holds, be it of the model, of another one, or an annotation."""
        field: Field[Any, Any] = rows.query.clone().resolve_ref(str(self.date_field)).output_field
        return field

    def _always_dated(self, rows: QuerySet[Any]) -> bool:
        """Is `date_field` a field of the model itself that is never NULL?"""
        try:
            return not rows.model._meta.get_field(str(self.date_field)).null
        except FieldDoesNotExist:
            return False

    def estimate(self, user: AbstractBaseUser, period: Period) -> Rows:
        """How many rows the period has, for the form, which asks at each change: some hundredths of a second at most.

        Override it where the table knows better, for example from a counter.
        """
        return estimate(self.selected(user, period))

    def key_ranges(self, user: AbstractBaseUser, period: Period, rows_per_part: int | None) -> list[KeyRange]:
        """Cut the period's rows into ranges of `rows_per_part` keys (None: one range), without OFFSET.

        Where they do not all fit in one range, a pass over the keys numbers them as they come and gives back the first
        and last of each range, and the last range is counted. Empty when there are no rows.
        """
        return cut(self.selected(user, period), rows_per_part)

    def source(
        self, user: AbstractBaseUser, period: Period, columns: Sequence[Column], keys: KeyRange | None
    ) -> Source:
        """The values of `columns`, row after row, for one range of keys. None means no rows at all."""
        return Source(self.selected(user, period), columns, keys)

    def sample(
        self, user: AbstractBaseUser, period: Period, columns: Sequence[Column], ranges: Sequence[KeyRange]
    ) -> list[Row]:
        """Return up to SAMPLE rows, from SAMPLED_RANGES places that lie evenly among the period's rows.

        The same for the same rows, however `ranges` cut them. It reads each key at most once.
        """
        chosen = sampled(self.selected(user, period), ranges)
        return [row for keys in chosen for row in self.source(user, period, columns, keys).head(keys.rows)]

    def extremes(self, user: AbstractBaseUser, period: Period, columns: Sequence[Column]) -> list[Row]:
        """Return two rows with the least and the greatest values of the columns of numbers and durations.

        All other values are None, and so are those of a column that the database does not hold as numbers.
        It takes one pass over the period's rows.
        """
        slots = flat(columns)
        names = {name_of(place): slot.expression for place, slot in enumerate(slots) if python_of(slot) in NUMBERS}
        rows = self.selected(user, period).order_by().annotate(**names)
        kinds = {name: rows.query.annotations[name].output_field for name in names}
        measured = [name for name, kind in kinds.items() if isinstance(kind, ORDERED)]
        ends = {f"{name}_{end.__name__}": end(name) for name in measured for end in (Min, Max)}
        found = rows.aggregate(**ends) if ends else {}
        both = [[found.get(f"{name_of(place)}_{end}") for place in range(len(slots))] for end in ("Min", "Max")]
        typed = [Typed(slot)(values) for slot, values in zip(slots, zip(*both, strict=True), strict=True)]
        return list(zip(*typed, strict=True))

    def model(self, user: AbstractBaseUser) -> type[Model]:
        return self.queryset(user).model
