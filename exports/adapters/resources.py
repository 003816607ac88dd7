"""Datasets of the ModelResources of django-import-export 4."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from django.db.models import QuerySet
from import_export import fields, widgets
from import_export.resources import ModelResource, Resource

from exports.adapters.attributes import attribute_of, column_of, returned
from exports.adapters.definition import Computed, Definition, once
from exports.datasets import Column, ColumnType, Dataset
from exports.datasets.columns import Text
from exports.datasets.inferred import SECRET
from exports.datasets.owners import Owner
from exports.datasets.paths import UnknownName

WIDGETS: Mapping[type, ColumnType] = {
    widgets.IntegerWidget: ColumnType.INTEGER,
    widgets.DecimalWidget: ColumnType.DECIMAL,
    widgets.FloatWidget: ColumnType.FLOAT,
    widgets.BooleanWidget: ColumnType.BOOLEAN,
    widgets.DateTimeWidget: ColumnType.DATETIME,
    widgets.DateWidget: ColumnType.DATE,
    widgets.TimeWidget: ColumnType.TIME,
    widgets.DurationWidget: ColumnType.DURATION,
    widgets.JSONWidget: ColumnType.JSON,
    widgets.SimpleArrayWidget: ColumnType.LIST,
    widgets.ForeignKeyWidget: ColumnType.TEXT,
    widgets.CharWidget: ColumnType.TEXT,
    widgets.Widget: ColumnType.TEXT,
}
"""The type of the values that each widget is for; TEXT for any. The first class that a widget is of counts."""
OPTIONS = ("formats", "separator")
"""Options of widgets that change the text."""


def dataset_of(kind: Any, queryset: Any, owner: Owner | None, attributes: Mapping[str, Any]) -> type[Dataset]:
    name = getattr(kind, "__name__", repr(kind))
    definition = Definition(
        f"dataset_from_resource({name})",
        queryset,
        owner,
        attributes,
        default=lambda: kind().get_queryset(),
        change=lambda rows: kind().filter_export(rows),
    )
    if not (isinstance(kind, type) and issubclass(kind, ModelResource) and kind._meta.model):  # type: ignore[attr-defined]
        raise definition.refused("needs the class of a ModelResource, with the model in its Meta")
    with definition.calling("the resource", "correct it; it is made without arguments"):
        rows = definition.example()
        columns = list(_columns(kind(), rows))
    return definition.dataset(name.removesuffix("Resource") or name, columns, rows.model, lambda _owner: kind())


def _columns(resource: Any, rows: QuerySet[Any]) -> Iterator[Column]:
    shown = resource.get_export_fields()
    labels: list[Text] = [field.column_name for field in shown]  # which get_export_headers() would translate now
    if _overrides(resource, "get_export_headers", Resource):
        labels = resource.get_export_headers()
    for place, (field, label) in enumerate(zip(shown, labels, strict=True)):
        name = resource.get_field_name(field)
        if resource._meta.fields is None and SECRET in name.lower():  # as AUTO leaves them out
            continue
        if _overrides(resource, "export_resource", Resource):
            yield _computed(name, label, partial(_in_whole_row, place))
        elif _overrides(resource, "export_field", Resource):
            yield _computed(name, label, partial(_exported, name))
        else:
            yield _column(resource, rows, name, field, label)


def _column(resource: Any, rows: QuerySet[Any], name: str, field: Any, label: Text) -> Column:
    method = field.get_dehydrate_method(name)
    if method := method if callable(method) else getattr(resource, method, None):
        return _computed(name, label, partial(_exported, name), returned(method))
    if field.attribute is None or any(_overrides(field, each, fields.Field) for each in ("export", "get_value")):
        return _computed(name, label, partial(_exported, name))
    path, kind = _path_of(field), _type_of(field.widget)
    plain = column_of(rows, name, label, path)
    if plain is not None and kind is not None and _same(kind, plain.type):
        return plain
    try:
        known = returned(attribute_of(rows, path.split("__")))
    except UnknownName:
        return Column(name, label, source=path)  # manage.py check reports it
    if known is None and kind is not ColumnType.TEXT:
        known = kind
    if known is None or kind is None or not _same(kind, known) or isinstance(field.widget, widgets.ForeignKeyWidget):
        return _computed(name, label, partial(_exported, name))
    return _computed(name, label, partial(_value, name), known)


def _path_of(field: Any) -> str:
    widget = field.widget
    to_object = isinstance(widget, widgets.ForeignKeyWidget) and not widget.key_is_id
    return f"{field.attribute}__{widget.field}" if to_object else field.attribute


def _type_of(widget: Any) -> ColumnType | None:
    """Return the type of the values that a widget is for; None if it does not export them as they are."""
    known = next(each for each in WIDGETS if isinstance(widget, each))
    if _overrides(widget, "render", known) or getattr(widget, "use_natural_foreign_keys", False):
        return None
    if any(getattr(widget, option) != getattr(known(), option) for option in OPTIONS if hasattr(widget, option)):
        return None
    return WIDGETS[known]


def _same(kind: ColumnType, given: ColumnType) -> bool:
    """Return whether a widget for values of `kind` exports values of the type `given` as they are."""
    return kind in (ColumnType.TEXT, given) or given is ColumnType.CHOICE or (kind.numeric and given.numeric)


def _overrides(item: Any, method: str, base: type) -> bool:
    return getattr(type(item), method) is not getattr(base, method)


# --- values of one row ----------------------------------------------------------------------------------------------


def _computed(name: str, label: Text, compute: Any, kind: ColumnType | None = None) -> Column:
    return Column(name, label, kind or ColumnType.TEXT, function=Computed(compute))


def _exported(name: str, resource: Any, row: Any) -> Any:
    return resource.export_field(resource.fields[name], row)


def _value(name: str, resource: Any, row: Any) -> Any:
    return resource.fields[name].get_value(row)


def _in_whole_row(place: int, resource: Any, row: Any) -> Any:
    return once(row, resource.export_resource)[place]
