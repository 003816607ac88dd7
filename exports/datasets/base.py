"""Base class of datasets: named columns over one owner's rows, read in key ranges."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cached_property, partial
from typing import Any, ClassVar, cast

from django.apps import apps
from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured
from django.db import connections
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
from django.utils.functional import Promise, classproperty
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from durable.clock import as_stored, aware, bound, now
from exports.datasets import declared, filtering, grouped, inferred, owners, rules
from exports.datasets.coercion import Typed, python_of
from exports.datasets.columns import Column, blank, flat, heading_of, name_of
from exports.datasets.estimate import Rows, estimate
from exports.datasets.files import Files
from exports.datasets.files import faults as faults_of_files
from exports.datasets.grouped import is_grouped
from exports.datasets.key_ranges import SAMPLE, KeyRange, cut, sampled
from exports.datasets.mappings import MappingSource
from exports.datasets.nested import Nested, key_column, nested_doubts, nested_faults
from exports.datasets.owners import Owner, nobody, only_field, rows_of
from exports.datasets.params import Param
from exports.datasets.source import Source
from exports.datasets.streams import Row, RowStream
from exports.errors import BadPeriod, UnfitDataset, UnknownField
from exports.models.selection import Selection

NUMBERS = {int, Decimal, float, timedelta}
ORDERED = (IntegerField, DecimalField, FloatField, DurationField)
"""Types of values, and of model fields, whose minimum and maximum `extremes` returns."""


class Columns:
    """The `columns` of a dataset: on its class as declared, on an instance resolved, once, when they are first used."""

    def __init__(self, declared: Sequence[Any]) -> None:
        self.declared = declared

    def __get__(self, dataset: Dataset | None, kind: type[Dataset]) -> Sequence[Any]:
        if dataset is None:
            return self.declared
        apps.check_models_ready()
        found, dataset.unresolved = inferred.resolve(self.declared, kind.model, kind.exclude, only_field(kind.owner))
        vars(dataset)["columns"] = found  # from now on found before this descriptor
        return found


class Dataset:
    """A kind of data that a user can export. docs/extending.md describes its attributes.

    Subclasses define `columns`, and either `model` and `owner` or `queryset`. `columns` are names of fields, paths,
    Column objects and AUTO; every instance has them as Column objects.

    Periods filter on `date_field`: a date-time or date field, or a path to one, or an annotation. Days are days in the
    user's time zone. If `date_field` is None, the rows have no dates and are exported as a whole. Rows whose date is
    NULL belong to no period except "everything". Rows created after the request are left out; `created_before` defines
    which ones those are.
    """

    key: ClassVar[str] = cast("str", classproperty(lambda kind: kebab(kind.__name__)))
    label: ClassVar[str | Promise] = cast("str", classproperty(lambda kind: label_of(kind)))  # noqa: PLW0108 - defined below
    description: ClassVar[str | Promise] = ""
    model: ClassVar[type[Model] | None] = None
    owner: ClassVar[Owner | None] = None
    owner_model: ClassVar[type[Model] | None] = None
    """The model of the rows' owners if they belong to teams, such as companies or tenants, and not to users."""
    columns: ClassVar[Sequence[Any]]
    exclude: ClassVar[Collection[str]] = ()
    """Fields that AUTO leaves out."""
    date_field: ClassVar[str | None] = None
    params: ClassVar[Sequence[Param]] = ()
    """What users may narrow the rows by, in the order of the form."""
    filterset: ClassVar[type[Any] | None] = None
    """A FilterSet of django-filter, instead of `params`."""
    files: ClassVar[Sequence[Files]] = ()
    """The uploads of the rows, which a bundle holds beside the data."""
    purpose: ClassVar[str | Promise] = ""
    retention: ClassVar[str | Promise] = ""
    recipients: ClassVar[str | Promise] = ""
    source_of_data: ClassVar[str | Promise] = ""
    """What a bundle says of the data: what it is used for, how long it is kept, who receives it, where it is from."""
    personal: ClassVar[bool] = True
    """Whether the rows are data of the user. If not, no form, list or "everything" offers the dataset, and nobody
    exports it on behalf of others: only code that names its key requests it."""
    in_everything: ClassVar[bool] = True
    """Whether "Everything of mine" includes the dataset."""
    unresolved: tuple[str, ...] = ()
    """One sentence for each of `columns` whose label or type could not be inferred."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        declared = vars(cls).get("columns")
        if declared is not None and not isinstance(declared, Columns):
            cls.columns = Columns(declared)  # type: ignore[assignment]

    def __init__(self) -> None:
        if missing := list(self._missing()):
            raise ImproperlyConfigured(f"The dataset {type(self).__name__} {' and '.join(missing)}.")

    def _missing(self) -> Iterator[str]:
        """Yield what the definition lacks, each as the end of a sentence about it, with the fix."""
        if not hasattr(type(self), "columns"):
            yield "lacks columns: name the fields, or set columns = AUTO for all of them"
        if type(self).queryset is not Dataset.queryset:
            return
        if self.model is None:
            yield "lacks a model: set model and owner, or write queryset()"
        elif self.owner is None:
            yield 'does not say whose rows it has: set owner to the path to the user, as in "user", or to EVERYBODY'

    @property
    def home(self) -> str:
        """The key of the dataset whose folder in a bundle holds the files of this one."""
        return self.key

    def queryset(self, user: AbstractBaseUser) -> QuerySet[Any]:
        """Return the rows that `user` may see, and no others: those of the model's default manager, by `owner`."""
        assert self.owner is not None
        return rows_of(self._rows_of_all(), self.owner, user)

    def _rows_of_all(self) -> QuerySet[Any]:
        """Return the rows of all owners, of which `queryset` returns those of one."""
        assert self.model is not None
        return self.model._default_manager.all()

    def filter(self, rows: QuerySet[Any], params: Mapping[str, Any]) -> QuerySet[Any]:
        """Return those of `rows` that `params` select: the chosen values by name, converted by their form fields.

        Override it for what a condition on fields cannot express. Call `super().filter()` with the other values.
        """
        return filtering.Declared(self, None).filtered(rows, params)

    def filtered(self, user: AbstractBaseUser, params: Mapping[str, str]) -> QuerySet[Any]:
        """Return the rows of `user` that these values of parameters select, by name. Raises BadParam.

        It is what an export with the same parameters reads, so a list page that calls it shows the same rows.
        """
        return filtering.narrowed(self, user, params, plain=self._filters_plainly)

    @property
    def _filters_plainly(self) -> bool:
        return type(self).filter is Dataset.filter

    def created_before(self, rows: QuerySet[Any], moment: datetime) -> QuerySet[Any]:
        """Return those of `rows` that existed at `moment`, the time of the request.

        `moment` is what a date-time field of the site holds: aware, or with USE_TZ=False a local time. By default,
        `date_field` is taken as the time of creation, and later rows are left out. Rows without a date are
        kept, and so are all rows if the field holds days or is None, because a day does not give the time. Override it
        if the dates mean something else, such as the dates of bookings, which lie in the future. A returned row is
        exported if the planning, seconds after the request, finds it.
        """
        if self.date_field is None or not self._has_moments(rows):
            return rows
        before = Q(**{f"{self.date_field}__lt": bound(aware(moment), connections[rows.db])})
        if self._always_dated(rows):
            return rows.filter(before)
        return rows.filter(before | Q(**{f"{self.date_field}__isnull": True}))

    def owners(self, user: AbstractBaseUser) -> QuerySet[Any]:
        """Return the teams, of `owner_model`, whose rows `user` may export and whose exports `user` may see.

        Required with an `owner_model`. It is called at the request, by the worker, at the download, and for the list.
        """
        raise NotImplementedError(f"{type(self).__name__} has an owner_model: define owners(user).")

    def permitted(self, user: AbstractBaseUser) -> bool:
        """Return whether `user` may export this dataset. Checked at the request, by the worker and at the download."""
        return True

    def choose(self, names: Sequence[str]) -> list[Column]:
        """Return the columns of `names`, in that order, or all columns if `names` is empty. Raises UnknownField.

        A name may occur only once, so that a small request cannot make a file of a thousand columns. No two columns may
        have the same name in the file, ignoring case: many readers of Parquet and SQL are case-insensitive.
        Raises UnfitDataset for a nested column that cannot be read.
        """
        try:
            columns = self._named(names) if names else list(self.columns)
            columns = [each.bound(self.model_of_rows) if isinstance(each, Nested) else each for each in columns]
        except ImproperlyConfigured as error:
            raise UnfitDataset.because(self.key, [str(error)]) from error
        if pair := declared.clash(columns):
            raise UnknownField(
                _("The fields %(one)s and %(other)s would have the same name in the file. Leave one of them out.")
                % {"one": pair[0].name, "other": pair[1].name}
            )
        return columns

    def _named(self, names: Sequence[str]) -> list[Column]:
        by_name = {column.name: column for column in self.columns}
        joining = self._joining_column()
        unknown = [name for name in names if name not in by_name | joining]
        if unknown:
            raise UnknownField(
                _("The dataset %(key)s has no field %(unknown)s. Choose from: %(known)s.")
                % {"key": self.key, "unknown": ", ".join(unknown[:3]), "known": ", ".join(by_name)}
            )
        if len(names) > len(set(names)):
            twice = next(name for place, name in enumerate(names) if name in names[:place])
            raise UnknownField(_("The request names the field %s more than once. Name it only once.") % twice)
        return [(joining | by_name)[name] for name in names]

    def _joining_column(self) -> dict[str, Column]:
        """Return the key of the rows by its name, if there are nested columns: their tables are joined by it."""
        if not any(isinstance(column, Nested) for column in self.columns):
            return {}
        key = key_column(self.model_of_rows)
        return {key.name: key}

    def faults(self, user: AbstractBaseUser, columns: Sequence[Column]) -> list[str]:
        """Return one sentence for each reason why `columns` cannot be exported, with how to fix it."""
        if found := [*self.unresolved, *self._faults_of_owner()]:
            return found
        rows = self.queryset(user)
        plain = [column for column in columns if not isinstance(column, Nested)]
        return (
            rules.faults(rows, plain)
            or [
                *declared.faults(rows, plain),
                *self._faults_of_dates(rows),
                *nested_faults(rows, columns),
                *faults_of_files(rows, self.files),
                *filtering.faults(self, user, rows, plain=self._filters_plainly),
            ]
            or rules.faults(self.created_before(rows, as_stored(now())), [], "created_before()")
        )

    def doubts(self, user: AbstractBaseUser) -> list[str]:
        """Return one sentence for each column whose type differs from that of its values."""
        rows = self.queryset(user)
        plain = [column for column in self.columns if not isinstance(column, Nested)]
        return [*declared.doubts(rows, plain), *nested_doubts(rows, self.columns)]

    def _faults_of_owner(self) -> list[str]:
        if self.model is None or self.owner is None or type(self).queryset is not Dataset.queryset:
            return []
        return owners.faults(self.model, self.owner, self.owner_model)

    def _faults_of_dates(self, rows: QuerySet[Any]) -> list[str]:
        if self.date_field is None:
            return []
        dates = [Column("date_field", source=self.date_field)]
        if found := grouped.faults_of_filter(rows, self.date_field) if is_grouped(rows) else rules.faults(rows, dates):
            return found
        kind = self._kind_of_dates(rows)
        if isinstance(kind, DateField):  # includes DateTimeField
            return []
        return [f"date_field is {self.date_field!r}, a {type(kind).__name__}: use a date or date-time field, or None."]

    def require_fit(self, user: AbstractBaseUser, columns: Sequence[Column]) -> None:
        """Raise UnfitDataset, with the reasons, if an export of `columns` would fail or contain wrong data."""
        if found := self.faults(user, columns):
            raise UnfitDataset.because(self.key, found)

    def selected(self, selection: Selection) -> QuerySet[Any]:
        """Return the selected rows, ordered by key.

        Raises BadPeriod for a period if the dataset has no dates, and BadParam for a parameter that it does not accept.
        """
        period, rows = selection.period, self.filtered(selection.owner, selection.params_of(self.key))
        rows = rows.using(rows.db)  # a router may choose another replica for each query
        if period.asked_at is not None:
            rows = self.created_before(rows, as_stored(period.asked_at))
        rows = rules.by_key(rows)
        if period.is_everything:
            return rows
        self.refuse_periods()
        bounds: dict[str, datetime | date | None]
        if self._has_moments(rows):
            connection = connections[rows.db]
            bounds = {"gte": bound(period.start, connection), "lt": bound(period.end, connection)}
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

    def estimate(self, selection: Selection) -> Rows | None:
        """Return the number of rows in the period, in some hundredths of a second. The form calls it at each change.

        Override it if a better number is available, for example from a counter. None means that it is unknown.
        """
        return estimate(self.selected(selection))

    def in_parts(self, owner: AbstractBaseUser) -> bool:
        """Return whether the rows are cut by key into parts.

        If not, as for groups, one part has all of them, and they are counted while they are read.
        """
        return not is_grouped(self.queryset(owner))

    def key_ranges(self, selection: Selection, rows_per_part: int | None) -> list[KeyRange]:
        """Cut the period's rows into ranges of `rows_per_part` keys (None: one range), without OFFSET.

        If they do not fit in one range, one pass over the keys numbers them and returns the first and last key of each
        range, and the last range is counted. The list is empty if there are no rows, or if they are not cut.
        """
        rows = self.selected(selection)
        return [] if is_grouped(rows) else cut(rows, rows_per_part)

    def source(self, selection: Selection, columns: Sequence[Column], keys: KeyRange | None) -> RowStream:
        """Return the values of `columns`, row by row, for one range of keys. `keys` of None means no rows.

        For rows that are not cut, `keys` has no meaning.
        """
        rows = self.selected(selection)
        if is_grouped(rows):
            return MappingSource(partial(grouped.read, rows), columns)
        return Source(rows, columns, keys)

    def sample(self, selection: Selection, columns: Sequence[Column], ranges: Sequence[KeyRange]) -> list[Row]:
        """Return up to SAMPLE rows, from SAMPLED_RANGES places spread evenly over the period's rows.

        The sample does not depend on how `ranges` cut the rows. Each key is read at most once. Of rows that are not
        cut, it has the first ones.
        """
        if not self.in_parts(selection.owner):
            return self.source(selection, columns, None).head(SAMPLE)
        chosen = sampled(self.selected(selection), ranges)
        return [row for keys in chosen for row in self.source(selection, columns, keys).head(keys.rows)]

    def extremes(self, selection: Selection, columns: Sequence[Column]) -> list[Row]:
        """Return two rows with the minimum and maximum values of the number and duration columns.

        All other values are None, and so are those of a column that the database does not store as numbers.
        Takes one pass over the period's rows. Of rows that are not cut, nothing is returned.
        """
        if not self.in_parts(selection.owner):
            return []
        slots = [blank(slot) for slot in flat(columns)]
        names = {name_of(place): slot.expression for place, slot in enumerate(slots) if python_of(slot) in NUMBERS}
        rows = self.selected(selection).order_by().annotate(**names)
        kinds = {name: rows.query.annotations[name].output_field for name in names}
        measured = [name for name, kind in kinds.items() if isinstance(kind, ORDERED)]
        ends = {f"{name}_{end.__name__}": end(name) for name in measured for end in (Min, Max)}
        found = rows.aggregate(**ends) if ends else {}
        both = [[found.get(f"{name_of(place)}_{end}") for place in range(len(slots))] for end in ("Min", "Max")]
        typed = [Typed(slot)(values) for slot, values in zip(slots, zip(*both, strict=True), strict=True)]
        return list(zip(*typed, strict=True))

    def model_of(self, owner: AbstractBaseUser) -> type[Model]:
        """Return the model whose primary keys cut the rows."""
        return self.queryset(owner).model

    @cached_property
    def model_of_rows(self) -> type[Model]:
        """The model of every owner's rows. Raises ImproperlyConfigured if queryset() needs a real owner."""
        if self.model is not None:
            return self.model
        try:
            return self.model_of(nobody(self.owner_model))
        except Exception as error:
            raise ImproperlyConfigured(
                f"queryset() fails for an owner that is not in the database ({error!r}), from which the model of "
                "nested columns is found: set model = <the model class>."
            ) from error


def kebab(name: str) -> str:
    """Return the key for a class name: "order-lines" for OrderLines."""
    return heading_of(name).lower().replace(" ", "-")


def label_of(kind: type[Dataset]) -> str | Promise:
    """Return the label for a dataset: the plural name of its model, or the name of the class in words."""
    if kind.model is None:
        return heading_of(kind.__name__)
    return capfirst(kind.model._meta.verbose_name_plural or "")
