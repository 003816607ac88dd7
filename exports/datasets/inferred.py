"""Columns that take their label, type and choices from the fields of the dataset's model."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

from django.core.exceptions import FieldError
from django.db import models
from django.db.models import Field, Model
from django.utils.text import capfirst

from exports.datasets.columns import Column, ColumnType
from exports.datasets.paths import Step, UnknownName, follow, suggested

EVERY_FIELD = "*"
AUTO: Final[Sequence[Any]] = (EVERY_FIELD,)
"""For `columns`: all fields of the model. `[*AUTO, Column(...)]` adds to them."""
SECRET = "password"  # noqa: S105 - a part of the names of fields
"""Fields with this in their name are left out of AUTO."""

TYPES: Sequence[tuple[type[Field[Any, Any]], ColumnType]] = (
    (models.BooleanField, ColumnType.BOOLEAN),
    (models.IntegerField, ColumnType.INTEGER),
    (models.DecimalField, ColumnType.DECIMAL),
    (models.FloatField, ColumnType.FLOAT),
    (models.DateTimeField, ColumnType.DATETIME),
    (models.DateField, ColumnType.DATE),
    (models.TimeField, ColumnType.TIME),
    (models.DurationField, ColumnType.DURATION),
    (models.UUIDField, ColumnType.UUID),
    (models.GenericIPAddressField, ColumnType.IP),
    (models.BinaryField, ColumnType.BINARY),
    (models.JSONField, ColumnType.JSON),
    (models.URLField, ColumnType.URL),
    (models.EmailField, ColumnType.EMAIL),
    (models.FileField, ColumnType.FILE),
    (models.CharField, ColumnType.TEXT),
    (models.TextField, ColumnType.TEXT),
    (models.FilePathField, ColumnType.TEXT),
)
"""The column type of each class of field; the first match applies."""
POSTGRES_TYPES = {"ArrayField": ColumnType.LIST, "HStoreField": ColumnType.JSON}
"""The same for fields of django.contrib.postgres, which cannot be imported without psycopg."""


class Resolved(NamedTuple):
    """A dataset's columns, and one sentence for each that could not be inferred."""

    columns: tuple[Column, ...]
    faults: tuple[str, ...]


def type_of(field: Any) -> ColumnType | None:
    """Return the column type of a model field; for a relation, that of its key. None if it has none."""
    field = plain(field)
    found = next((kind for known, kind in TYPES if isinstance(field, known)), None)
    return found or POSTGRES_TYPES.get(type(field).__name__)


def plain(field: Any) -> Any:
    """Return the field whose values a foreign key or a generated field has; other fields unchanged."""
    if isinstance(field, models.GeneratedField):
        field = field.output_field
    while isinstance(field, models.ForeignObject):
        field = field.target_field
    return field


def resolve(
    declared: Sequence[str | Column], model: type[Model] | None, exclude: Collection[str], owner: Any
) -> Resolved:
    """Return the columns that `declared` stands for. `owner` is the dataset's path to the owner, which AUTO leaves out.

    Never raises: a column that cannot be inferred becomes one of text, and a fault says what to write instead.
    """
    faults: list[str] = []
    named = {_name(item) for item in declared}
    columns: list[Column] = []
    for item in declared:
        if item != EVERY_FIELD:
            columns.append(_resolved(item if isinstance(item, Column) else Column(item), model, faults))
        elif model is None:
            faults.append("columns has AUTO, which needs the model: set model = <the model class>.")
        else:
            columns += _fields_of(model, {*named, *exclude, owner}, faults)
    if model is not None:
        faults += _unknown_exclusions(model, exclude)
    return Resolved(tuple(columns), tuple(faults))


def _name(item: str | Column) -> str:
    return item.name if isinstance(item, Column) else item


def _fields_of(model: type[Model], without: Collection[Any], faults: list[str]) -> Iterator[Column]:
    for field in model._meta.concrete_fields:
        parent = field.auto_created and field.is_relation  # made by Django for a model that inherits from another
        if parent or SECRET in field.name.lower() or {field.name, field.attname} & set(without):
            continue
        yield _resolved(Column(field.name), model, faults)


def _unknown_exclusions(model: type[Model], exclude: Collection[str]) -> Iterator[str]:
    known = [name for field in model._meta.concrete_fields for name in (field.name, field.attname)]
    for name in exclude:
        if name not in known:
            yield f"exclude has {name!r}, which is no field of {model.__name__}.{suggested(name, dict.fromkeys(known))}"


def _resolved(column: Column, model: type[Model] | None, faults: list[str]) -> Column:
    """Return the column with what it lacks, taken from the model. Adds a sentence to `faults` if that is impossible."""
    if not column.infers:
        return column
    if column.function is not None:
        found: Column | str = _untyped(column, "comes from a function")
    elif not isinstance(column.source, str | None):
        found = _of_expression(column, model)
    elif model is None:
        found = _untyped(column, "has no model to be taken from")
    else:
        found = _of_path(column, model)
    if isinstance(found, str):
        if "type" in column.infers:
            faults.append(found)
        return column
    return found


def _untyped(column: Column, why: str) -> str:
    return (
        f"The type of the column {column.name!r} cannot be inferred, because it {why}: give it, as in "
        f'Column("{column.name}", "{column.label}", ColumnType.TEXT).'
    )


def _of_expression(column: Column, model: type[Model] | None) -> Column | str:
    why = "comes from an expression without an output_field"
    if model is None:
        return _untyped(column, "has no model to be taken from")
    try:
        made = model._base_manager.annotate(carryall_value=column.source)
        kind = type_of(made.query.annotations["carryall_value"].output_field)
    except (FieldError, TypeError, ValueError, AttributeError):
        return _untyped(column, why)
    if kind is None:
        return _untyped(column, why)
    return replace(column, type=kind if "type" in column.infers else column.type)


def _of_path(column: Column, model: type[Model]) -> Column | str:
    path = str(column.source or column.name)
    try:
        step = follow(model, path)
    except UnknownName as unknown:
        return f"The column {column.name!r} cannot be inferred: {unknown}"
    kind = _type_at(step, model, path)
    if kind is None and step.field.is_relation:
        return f"The column {column.name!r} is a relation: name one of its fields{_example(column.name, step.field)}."
    if kind is None:
        return _untyped(column, f"is a {type(step.field).__name__}")
    label = column.label
    if "label" in column.infers and not step.rest:
        label = capfirst(getattr(step.field, "verbose_name", "")) or label
    choices = column.choices
    if "type" in column.infers:
        choices = choices or (None if step.rest or step.field.is_relation else step.field.choices)
        kind = ColumnType.CHOICE if choices else kind
    else:
        kind = column.type
    return replace(column, name=_name_of_key(column, step.field), label=label, type=kind, choices=choices)


def _example(path: str, relation: Any) -> str:
    other = relation.related_model
    fields = [field.name for field in other._meta.concrete_fields if not field.primary_key] if other else []
    return f", as in {f'{path}__{fields[0]}'!r}" if fields else ""


def _type_at(step: Step, model: type[Model], path: str) -> ColumnType | None:
    if not step.rest:
        return type_of(step.field)
    try:  # a transform, such as placed_at__year
        return type_of(model._base_manager.all().query.clone().resolve_ref(path).output_field)
    except FieldError:
        return None


def _name_of_key(column: Column, field: Any) -> str:
    """Return the name of a relation's column: `customer_id` for `customer`. Other names are unchanged."""
    if column.source is None and isinstance(field, models.ForeignKey) and not column.name.endswith(field.attname):
        return column.name.removesuffix(field.name) + field.attname
    return column.name
