"""Nested columns: the rows of a to-many relation, as objects in their row or as a table of their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured
from django.db import connections, models
from django.db.models import CharField, F, Field, ForeignObjectRel, Model, QuerySet
from django.db.models.expressions import Combinable
from django.db.models.functions import Cast
from django.utils.text import capfirst, format_lazy

from exports.datasets import inferred
from exports.datasets.columns import Column, ColumnType, Text
from exports.datasets.declared import clash
from exports.datasets.declared import doubts as doubts_of_types
from exports.datasets.declared import faults as faults_of_types
from exports.datasets.rules import by_key, key_field
from exports.datasets.rules import faults as faults_of_rows


@dataclass(frozen=True)
class Relation:
    """The rows behind a nested column, each of which belongs to one row of the dataset, its parent."""

    parent: type[Model]
    model: type[Model]
    """The model of the rows; for a many-to-many relation, that of the table between both sides."""
    path: str
    """The field of `model` that names the parent: a foreign key, or the object id of a generic relation."""
    columns: Sequence[Column]
    fixed: dict[str, str] = field(default_factory=dict)
    """Conditions on the rows: the content type of a generic relation."""
    other: str = ""
    """The foreign key to the other side of a many-to-many relation."""

    @property
    def generic(self) -> bool:
        return bool(self.fixed)

    @property
    def key(self) -> Column:
        """The column with the key of the parent."""
        parent = key_column(self.parent)
        if not self.generic:
            return replace(parent, source=f"{self.path}__pk")
        if self._compares_texts and parent.type is ColumnType.INTEGER:
            return replace(parent, source=Cast(self.path, models.BigIntegerField()))
        return replace(parent, type=_type_of(_field(self.model, self.path)), source=self.path)

    @property
    def keyed(self) -> list[Column]:
        """The columns of the table of these rows: those of the nested column, after the key of the parent."""
        return list(self.columns) if self.shown_key(self.columns) else [self.key, *self.columns]

    def shown_key(self, columns: Sequence[Column]) -> str:
        """Return the name of the column that shows the key of the parent, or an empty string."""
        if self.generic:
            return _shown(columns, {self.path}, self.key.type)
        names = {f"{self.path}__pk", f"{self.path}__{self.parent._meta.pk.name}"}
        if _field(self.model, self.path).target_field.primary_key:
            names |= {self.path, f"{self.path}_id"}
        return _shown(columns, names, self.key.type)

    def of(self, parents: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows of `parents`, ordered by their own key."""
        keys: QuerySet[Any, Any] = parents.order_by().values("pk")
        if self._compares_texts:
            keys = parents.order_by().annotate(carryall_key=Cast("pk", CharField())).values("carryall_key")
        return self._where(keys, parents.db)

    def of_keys(self, keys: Sequence[Any], using: str) -> QuerySet[Any]:
        """Return the rows of the parents with these keys, ordered by their own key."""
        return self._where(keys, using)

    def faults(self, using: str) -> Iterator[str]:
        """Yield one sentence for each reason why the rows cannot be exported. Runs no query."""
        if pair := clash(self.keyed):
            yield f"The columns {pair[0].name!r} and {pair[1].name!r} would have the same name: rename one of them."
        features: Any = connections[using].features
        is_uuid = isinstance(key_field(self.parent), models.UUIDField)
        if self._compares_texts and is_uuid and not features.has_native_uuid_field:
            yield (
                f"{self.path!r} holds UUIDs as text, which {connections[using].vendor} cannot compare with the keys of "
                f"{self.parent.__name__}: make it a UUIDField, or use PostgreSQL."
            )
        rows = self._where([], using)
        yield from faults_of_rows(rows, self.keyed, f"The default manager of {self.model.__name__}")
        yield from faults_of_types(rows, self.columns)

    def doubts(self, using: str) -> list[str]:
        """Return one sentence for each column whose type differs from that of its values."""
        return doubts_of_types(self._where([], using), self.columns)

    @property
    def _compares_texts(self) -> bool:
        """Whether a generic relation holds the keys as text, which databases do not compare with other types."""
        if not self.generic:
            return False
        return not isinstance(key_field(self.parent), CharField) and isinstance(
            _field(self.model, self.path), CharField | models.TextField
        )

    def _where(self, keys: Any, using: str) -> QuerySet[Any]:
        rows = (self.model._base_manager if self.other else self.model._default_manager).using(using).all()
        path = self.path if self.generic else f"{self.path}__pk"
        rows = by_key(rows).filter(**self.fixed, **{f"{path}__in": keys})
        if not self.other:
            return rows
        shown = _field(self.model, self.other).related_model._default_manager.using(using).all()
        if shown.query.where:  # what the manager hides, the accessor hides too
            rows = rows.filter(**{f"{self.other}__in": shown})
        computed = any(column.function is not None for column in self.columns)
        return rows.select_related(self.other) if computed else rows


@dataclass(frozen=True, init=False)
class Nested(Column):
    """A column that holds several objects for each row: those that the accessor `name` of the dataset's model returns.

    `name` is the accessor of a reverse foreign key, a many-to-many relation or a generic relation. `columns` are
    columns of the other model, or names of its fields. JSON and JSON Lines write a list of objects in each row; all
    other formats write a table of its own, which begins with the key of the dataset's row.
    """

    columns: Sequence[Column | str] = ()
    relation: Relation | None = None
    """Set in the columns that `Dataset.choose` returns."""

    def __init__(self, name: str, columns: Sequence[Column | str], label: Text | None = None) -> None:
        super().__init__(name, label or capfirst(name.removesuffix("_set").replace("_", " ")), ColumnType.NESTED)
        object.__setattr__(self, "columns", tuple(columns))
        object.__setattr__(self, "relation", None)

    @property
    def inner(self) -> Sequence[Column]:
        """The columns of the objects. Only of a bound column."""
        return self.bound_relation.columns

    @property
    def bound_relation(self) -> Relation:
        assert self.relation is not None, f"{self.name} is not bound: take it from Dataset.choose()."
        return self.relation

    def bound(self, model: type[Model]) -> Nested:
        """Return this column for a dataset of `model`. Raises ImproperlyConfigured, with the fix."""
        found = copy(self)
        object.__setattr__(found, "relation", _relation(model, self))
        return found


def key_column(model: type[Model]) -> Column:
    """Return the column with the key of a row, for tables that are joined by it."""
    options = model._meta
    label = format_lazy("{} {}", capfirst(options.verbose_name or ""), options.pk.verbose_name)
    return Column(f"{options.model_name}_{options.pk.name}", label, _type_of(key_field(model)), source="pk")


def shown_key(columns: Sequence[Column], model: type[Model]) -> str:
    """Return the name of the first column that shows the primary key of `model`, or an empty string."""
    key = model._meta.pk
    return _shown(columns, {"pk", key.name, key.attname}, key_column(model).type)


def _shown(columns: Sequence[Column], fields: set[str], kind: ColumnType) -> str:
    for column in columns:
        source = column.source or column.name
        if isinstance(source, str) and source in fields and column.function is None and column.type is kind:
            return column.name
    return ""


def nested_faults(rows: QuerySet[Any], columns: Sequence[Column]) -> Iterator[str]:
    """Yield one sentence, with a fix, for each reason why a nested column of `rows` cannot be exported."""
    nested = [column for column in columns if isinstance(column, Nested)]
    key = key_column(rows.model)
    taken = [column for column in columns if column.name.casefold() == key.name.casefold()]
    if nested and taken and not shown_key(taken, rows.model):
        yield f"The column {taken[0].name!r} has the name of the key that tables are joined by: rename it."
    for column in nested:
        try:
            relation = column.bound(rows.model).bound_relation
        except ImproperlyConfigured as error:
            yield str(error)
        else:
            yield from (f"In the nested column {column.name!r}: {fault}" for fault in relation.faults(rows.db))


def nested_doubts(rows: QuerySet[Any], columns: Sequence[Column]) -> Iterator[str]:
    """Yield one sentence for each column inside a nested one whose type differs from that of its values."""
    for column in columns:
        if isinstance(column, Nested):
            relation = column.bound(rows.model).bound_relation
            yield from (f"In the nested column {column.name!r}: {doubt}" for doubt in relation.doubts(rows.db))


def _relation(model: type[Model], nested: Nested) -> Relation:
    """Return the relation of a nested column. Raises ImproperlyConfigured, with the fix."""
    relation = to_many(model, nested.name)
    where = f"The nested column {nested.name!r}"
    if relation.related_model is None:
        raise ImproperlyConfigured(f"{where} cannot be read: its model is not installed.")
    columns, faults = inferred.resolve(nested.columns, relation.related_model, (), None)
    if faults:
        raise ImproperlyConfigured(f"{where} cannot be read: {' '.join(faults)}")
    if not columns or any(isinstance(column, Nested) for column in columns):
        raise ImproperlyConfigured(f"{where} needs columns, none of which is nested itself.")
    if hasattr(relation, "object_id_field_name"):
        owner = (model._meta.concrete_model or model)._meta if relation.for_concrete_model else model._meta
        kind = relation.content_type_field_name
        fixed = {f"{kind}__app_label": owner.app_label, f"{kind}__model": str(owner.model_name)}
        return Relation(model, relation.related_model, relation.object_id_field_name, columns, fixed)
    if relation.one_to_many:
        return Relation(model, relation.related_model, relation.field.name, columns)
    sides: Any = relation if isinstance(relation, Field) else relation.field
    ours, theirs = sides.m2m_field_name(), sides.m2m_reverse_field_name()
    if sides is not relation:
        ours, theirs = theirs, ours
    return Relation(model, sides.remote_field.through, ours, [_behind(each, theirs) for each in columns], other=theirs)


def to_many(model: type[Model], name: str) -> Any:
    """Return the to-many relation of an accessor. Raises ImproperlyConfigured if there is none."""
    every: dict[str, Any] = {_name_of(field): field for field in model._meta.get_fields()}
    many = {name: field for name, field in every.items() if field.one_to_many or field.many_to_many}
    if name in many:
        return many[name]
    if name in every and every[name].is_relation:
        raise ImproperlyConfigured(
            f"The nested column {name!r} leads to one row at most: use a column with source='{name}__...'."
        )
    known = ", ".join(sorted(many)) or "none"
    raise ImproperlyConfigured(f"{model.__name__} has no to-many relation {name!r}. Nested() takes one of: {known}.")


def _name_of(field: Any) -> str:
    return str(field.get_accessor_name() or field.name) if isinstance(field, ForeignObjectRel) else str(field.name)


def _behind(column: Column, path: str) -> Column:
    """Return a column of the model that the foreign key `path` leads to, for the rows that have this key."""
    if column.function is not None:
        return replace(column, function=partial(_call, column.function, path))
    currency = None if column.currency is None or isinstance(column.currency, str) else column.currency
    return replace(
        column,
        source=_reached(column, column.source or column.name, path),
        currency=_reached(column, currency, path) if currency else column.currency,
    )


def _call(function: Any, path: str, row: Any) -> Any:
    return function(getattr(row, path))


def _reached(column: Column, source: str | Combinable, path: str) -> Any:
    if isinstance(source, str):
        return f"{path}__{source}"
    if type(source) is F:
        return F(f"{path}__{source.name}")  # type: ignore[attr-defined]
    raise ImproperlyConfigured(
        f"The column {column.name!r} of a many-to-many relation has an expression: use a path, F(...) or a function, "
        "or nest the relation to its `through` model instead."
    )


def _type_of(field: Any) -> ColumnType:
    return inferred.type_of(field) or ColumnType.TEXT


def _field(model: Any, *path: str) -> Any:
    """Return the field at the end of a path. Raises FieldDoesNotExist."""
    *relations, last = path
    for name in relations:
        model = model._meta.get_field(name).related_model
        if model is None:
            raise FieldDoesNotExist(f"{name!r} in {'__'.join(path)!r} is not a relation")
    return model._meta.pk if last == "pk" else model._meta.get_field(last)
