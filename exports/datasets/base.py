"""Base class of datasets: named columns over a queryset of one user's rows, read in key ranges."""

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
"""Types of values, and of model fields, whose minimum and maximum `extremes` returns."""


class Dataset(ABC):
    """A kind of data that a user can export. Subclasses define `key`, `label`, `columns`, `date_field` and `queryset`.

    Periods filter on `date_field`: a date-time or date field, or a path to one, or an annotation. Days are days in the
    user's time zone. If `date_field` is None, the rows have no dates and are exported as a whole. Rows whose date is
    NULL belong to no period except "everything". Rows created after the request are left out; `created_before` defines
    which ones those are.
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
                f"The dataset {type(self).__name__} lacks {', '.join(missing)}. Without dates, set date_field = None."
            )

    @abstractmethod
    def queryset(self, user: AbstractBaseUser) -> QuerySet[Any]:
        """Return the rows that `user` may see, and no others."""

    def created_before(self, rows: QuerySet[Any], moment: datetime) -> QuerySet[Any]:
        """Return those of `rows` that existed at `moment`, the time of the request.

        By default, `date_field` is taken as the time of creation, and later rows are left out. Rows without a date are
        kept, and so are all rows if the field holds days or is None, because a day does not give the time. Override it
        if the dates mean something else, such as the dates of bookings, which lie in the future. A returned row is
        exported if the planning, seconds after the request, finds it.
        """
        if self.date_field is None or not self._has_moments(rows):
            return rows
        before = Q(**{f"{self.date_field}__lt": moment})
        if self._always_dated(rows):
            return rows.filter(before)
        return rows.filter(before | Q(**{f"{self.date_field}__isnull": True}))

    def permitted(self, user: AbstractBaseUser) -> bool:
        """Return whether `user` may export this dataset. Checked at the request, by the worker and at the download."""
        return True

    def choose(self, names: Sequence[str]) -> list[Column]:
        """Return the columns of `names`, in that order, or all columns if `names` is empty. Raises UnknownField.

        A name may occur only once, so that a small request cannot make a file of a thousand columns. No two columns may
        have the same name in the file, ignoring case: many readers of Parquet and SQL are case-insensitive.
        """
        columns = self._named(names) if names else list(self.columns)
        if pair := declared.clash(columns):
            raise UnknownField(
                _("The fields %(one)s and %(other)s would have the same name in the file. Leave one of them out.")
                % {"one": pair[0].name, "other": pair[1].name}
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
            raise UnknownField(_("The request names the field %s more than once. Name it only once.") % twice)
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
        """Return one sentence for each column whose type differs from that of its values."""
        return declared.doubts(self.queryset(user), self.columns)

    def _faults_of_dates(self, rows: QuerySet[Any]) -> list[str]:
        if self.date_field is None:
            return []
        if found := rules.faults(rows, [Column("date_field", "", source=self.date_field)]):
            return found
        kind = self._kind_of_dates(rows)
        if isinstance(kind, DateField):  # includes DateTimeField
            return []
        return [f"date_field is {self.date_field!r}, a {type(kind).__name__}: use a date or date-time field, or None."]

    def require_fit(self, user: AbstractBaseUser, columns: Sequence[Column]) -> None:
        """Raise UnfitDataset, with the reasons, if an export of `columns` would fail or contain wrong data."""
        if found := self.faults(user, columns):
            raise UnfitDataset.because(self.key, found)

    def selected(self, user: AbstractBaseUser, period: Period) -> QuerySet[Any]:
        """Return the user's rows of the period, ordered by key. Raises BadPeriod if the dataset has no dates."""
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
        """Raise BadPeriod if the dataset has no dates. Called at the request for any period except "everything"."""
        if self.date_field is None:
            raise BadPeriod(_("“%s” has no dates to choose a period by. Choose everything.") % self.label)

    def _has_moments(self, rows: QuerySet[Any]) -> bool:
        """Return whether `date_field` holds date-times. If not, it holds days."""
        return isinstance(self._kind_of_dates(rows), DateTimeField)

    def _kind_of_dates(self, rows: QuerySet[Any]) -> Field[Any, Any]:
        """Return the output field of `date_field`: a field of this or a related model, or that of an annotation."""
        field: Field[Any, Any] = rows.query.clone().resolve_ref(str(self.date_field)).output_field
        return field

    def _always_dated(self, rows: QuerySet[Any]) -> bool:
        """Return whether `date_field` is a field of the model itself that is never NULL."""
        try:
            return not rows.model._meta.get_field(str(self.date_field)).null
        except FieldDoesNotExist:
            return False

    def estimate(self, user: AbstractBaseUser, period: Period) -> Rows:
        """Return the number of rows in the period, in some hundredths of a second. The form calls it at each change.

        Override it if a better number is available, for example from a counter.
        """
        return estimate(self.selected(user, period))

    def key_ranges(self, user: AbstractBaseUser, period: Period, rows_per_part: int | None) -> list[KeyRange]:
        """Cut the period's rows into ranges of `rows_per_part` keys (None: one range), without OFFSET.

        If they do not fit in one range, one pass over the keys numbers them and returns the first and last key of each
        range, and the last range is counted. The list is empty if there are no rows.
        """
        return cut(self.selected(user, period), rows_per_part)

    def source(
        self, user: AbstractBaseUser, period: Period, columns: Sequence[Column], keys: KeyRange | None
    ) -> Source:
        """Return the values of `columns`, row by row, for one range of keys. `keys` of None means no rows."""
        return Source(self.selected(user, period), columns, keys)

    def sample(
        self, user: AbstractBaseUser, period: Period, columns: Sequence[Column], ranges: Sequence[KeyRange]
    ) -> list[Row]:
        """Return up to SAMPLE rows, from SAMPLED_RANGES places spread evenly over the period's rows.

        The sample does not depend on how `ranges` cut the rows. Each key is read at most once.
        """
        chosen = sampled(self.selected(user, period), ranges)
        return [row for keys in chosen for row in self.source(user, period, columns, keys).head(keys.rows)]

    def extremes(self, user: AbstractBaseUser, period: Period, columns: Sequence[Column]) -> list[Row]:
        """Return two rows with the minimum and maximum values of the number and duration columns.

        All other values are None, and so are those of a column that the database does not store as numbers.
        Takes one pass over the period's rows.
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
