"""Datasets of the serializers of Django REST framework."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured
from django.db.models import ForeignKey, QuerySet
from django.http import HttpRequest
from rest_framework import fields, relations, serializers

from exports.adapters.attributes import attribute_of, column_of, prefetches, returned
from exports.adapters.definition import Computed, Definition, once
from exports.datasets import Column, ColumnType, Dataset, Nested
from exports.datasets.inferred import SECRET
from exports.datasets.nested import to_many
from exports.datasets.owners import Owner, nobody
from exports.datasets.paths import UnknownName, follow
from notifications.links import absolute, inside

TYPES: Sequence[tuple[type, ColumnType]] = (
    (fields.BooleanField, ColumnType.BOOLEAN),
    (fields.IntegerField, ColumnType.INTEGER),
    (fields.FloatField, ColumnType.FLOAT),
    (fields.DecimalField, ColumnType.DECIMAL),
    (fields.DateTimeField, ColumnType.DATETIME),
    (fields.DateField, ColumnType.DATE),
    (fields.TimeField, ColumnType.TIME),
    (fields.DurationField, ColumnType.DURATION),
    (fields.UUIDField, ColumnType.UUID),
    (fields.IPAddressField, ColumnType.IP),
    (fields.EmailField, ColumnType.EMAIL),
    (fields.URLField, ColumnType.URL),
    (relations.HyperlinkedRelatedField, ColumnType.URL),
    (relations.ManyRelatedField, ColumnType.LIST),
    (fields.MultipleChoiceField, ColumnType.LIST),
    (fields.ListField, ColumnType.LIST),
    (fields.DictField, ColumnType.JSON),
    (fields.JSONField, ColumnType.JSON),
    (serializers.BaseSerializer, ColumnType.JSON),
)
"""The column type of the values of each class of field; the first match applies. All other fields hold text."""
AS_STORED = (
    fields.CharField,
    fields.ChoiceField,
    fields.FileField,
    fields.ReadOnlyField,
    fields.ModelField,
    relations.PrimaryKeyRelatedField,
    relations.SlugRelatedField,
)
"""Fields whose value is that of a model's field, of any type."""
WITH_FORMAT = (fields.DateTimeField, fields.DateField, fields.TimeField, fields.DurationField)
LIBRARY = "rest_framework."
CHOOSES_FIELDS = ("__init__", "fields", "get_fields", "get_field_names", "get_extra_kwargs")
"""What a serializer overrides to have other fields for some users."""


class OwnersRequest(HttpRequest):
    """The request in the context of serializers. Its user is the owner of the rows, unless a team owns them."""

    def __init__(self, owner: Any) -> None:
        super().__init__()
        self.method = "GET"
        if isinstance(owner, get_user_model()):
            self.user = owner

    def build_absolute_uri(self, location: str | None = None) -> str:
        """Return a URL of the site, by SITE_URL."""
        if urlsplit(location or "").netloc:
            return str(location)
        return absolute(inside(location or "/"))


class Computer:
    """A serializer that computes columns. Where a field has a type, the value has it too, instead of being a text."""

    def __init__(self, kind: Any, owner: Any) -> None:
        self.serializer = kind(context={"request": OwnersRequest(owner)})
        self.fields = {field.field_name: field for field in self.serializer._readable_fields}
        if not _is_custom(self.serializer):
            for field in self.fields.values():
                if not _is_changed(field):
                    _keep_types(field)

    def value(self, name: str, row: Any) -> Any:
        """Return the value of one field, as `Serializer.to_representation` does of all."""
        if name not in self.fields:  # which depends on the owner
            return None
        field = self.fields[name]
        try:
            given = field.get_attribute(row)
        except fields.SkipField:
            return None
        if given is None or (isinstance(given, relations.PKOnlyObject) and given.pk is None):
            return None
        is_moment = isinstance(field, WITH_FORMAT) and not _is_changed(field)
        return given if is_moment else field.to_representation(given)

    def value_in_whole_row(self, name: str, row: Any) -> Any:
        return once(row, self.serializer.to_representation).get(name)


def _keep_types(field: Any) -> None:
    if isinstance(field, fields.DecimalField | fields.IntegerField):
        field.coerce_to_string = False
    elif isinstance(field, fields.JSONField):
        field.binary = False


def dataset_of(kind: Any, queryset: Any, owner: Owner | None, attributes: Mapping[str, Any]) -> type[Dataset]:
    name = getattr(kind, "__name__", repr(kind))
    model = getattr(getattr(kind, "Meta", None), "model", None)
    default = model._default_manager.all if model is not None else None
    definition = Definition(f"dataset_from_serializer({name})", queryset, owner, attributes, default=default)
    if not (isinstance(kind, type) and issubclass(kind, serializers.Serializer)):
        raise definition.refused("needs the class of a Serializer")
    if queryset is None and model is None:
        raise definition.refused("needs the rows: set queryset, as in queryset=Order.objects.all()")
    rows = definition.example()
    with definition.calling("the serializer", 'correct it; its context is {"request": ...} and no more'):
        computer = Computer(kind, nobody(attributes.get("owner_model")))
        columns = list(_columns(computer.serializer, rows))
    return definition.dataset(name.removesuffix("Serializer") or name, columns, rows.model, partial(Computer, kind))


def _columns(serializer: Any, rows: QuerySet[Any]) -> Iterator[Column]:
    is_fixed = not _overrides(serializer, *CHOOSES_FIELDS)  # otherwise the serializer of the owner decides
    for field in _shown(serializer):
        if _is_custom(serializer):
            yield _in_whole_row(field)
        else:
            yield (is_fixed and (_nested(field, rows) or _plain(field, rows))) or _computed(field, rows)


def _shown(serializer: Any) -> Iterator[Any]:
    """Yield the fields to export: the readable ones, except secrets that no line of the site names, as AUTO does."""
    every = getattr(getattr(serializer, "Meta", None), "fields", None) in (None, serializers.ALL_FIELDS)
    for field in serializer._readable_fields:
        if not (every and SECRET in field.field_name.lower() and field.field_name not in serializer._declared_fields):
            yield field


def _nested(field: Any, rows: QuerySet[Any]) -> Nested | None:
    """Return a nested column for a serializer with many=True, if each of its fields is plain."""
    if (
        not isinstance(field, serializers.ListSerializer)
        or _is_changed(field)
        or _overrides(field.child, *CHOOSES_FIELDS)
    ):
        return None
    accessor = ".".join(field.source_attrs).removesuffix(".all")
    if any(each.queryset is not None and each.prefetch_through.split("__")[0] == accessor for each in prefetches(rows)):
        return None  # it may hold back objects
    try:
        model: Any = to_many(rows.model, accessor).related_model
    except ImproperlyConfigured:
        return None
    found = [_plain(each, model._default_manager.all()) for each in _shown(field.child)]
    columns = [column for column in found if column is not None]
    return Nested(accessor, columns, field.label) if found and len(columns) == len(found) else None


def _plain(field: Any, rows: QuerySet[Any]) -> Column | None:
    """Return a column that the database reads, if the field shows a field of a model or an annotation as it is."""
    if _is_changed(field):
        return None
    path, kind = _path_of(field, rows), _type_of(field)
    column = column_of(rows, field.field_name, field.label, path)
    if column is None:
        return None
    if isinstance(field, AS_STORED) and kind is not ColumnType.LIST:
        if kind is not None and kind.linked and column.type is ColumnType.TEXT:
            return replace(column, type=kind)
        return column
    return column if kind is column.type and not _is_rounded(field, rows, path) else None


def _computed(field: Any, rows: QuerySet[Any]) -> Column:
    name = field.field_name
    try:
        attribute = attribute_of(rows, field.source_attrs)
    except UnknownName:
        return Column(name, field.label, source="__".join(field.source_attrs))  # manage.py check reports it
    if isinstance(field, fields.SerializerMethodField):
        kind = returned(getattr(field.parent, field.method_name))
    elif _is_custom(field) and not isinstance(field, serializers.BaseSerializer):
        kind = returned(type(field).to_representation)
    elif isinstance(field, fields.ReadOnlyField):
        kind = returned(attribute)
    else:
        kind = _type_of(field)
    return _column(field, kind, lambda computer, row: computer.value(name, row))


def _in_whole_row(field: Any) -> Column:
    name, is_json = field.field_name, _type_of(field) in (ColumnType.JSON, ColumnType.LIST)
    kind = ColumnType.JSON if is_json else ColumnType.TEXT
    return _column(field, kind, lambda computer, row: computer.value_in_whole_row(name, row))


def _column(field: Any, kind: ColumnType | None, compute: Callable[[Computer, Any], Any]) -> Column:
    return Column(field.field_name, field.label, kind or ColumnType.TEXT, function=Computed(compute))


def _path_of(field: Any, rows: QuerySet[Any]) -> str:
    """Return the path to the value of a field that shows a value or a key; "" if there is none."""
    names = list(field.source_attrs)
    if isinstance(field, relations.SlugRelatedField):
        names.append(field.slug_field)
    elif isinstance(field, relations.PrimaryKeyRelatedField):
        try:
            relation = follow(rows.model, "__".join(names)).field
        except UnknownName:
            return ""
        if isinstance(relation, ForeignKey):
            names[-1] = relation.attname
        else:
            names.append("pk")
    return "__".join(names)


def _type_of(field: Any) -> ColumnType | None:
    """Return the type of a field's values; None for text."""
    if _is_formatted(field):
        return None
    return next((kind for known, kind in TYPES if isinstance(field, known)), None)


def _is_changed(field: Any) -> bool:
    """Return whether a field shows values in its own way, or a serializer does."""
    if _is_custom(field) or _is_formatted(field) or getattr(field, "pk_field", None):
        return True
    child = getattr(field, "child", None)
    return child is not None and _is_changed(child)


def _is_custom(field: Any) -> bool:
    """Return whether a class of the site makes or finds the value of a field or serializer."""
    return _overrides(field, "to_representation", "get_attribute")


def _overrides(item: Any, *names: str) -> bool:
    """Return whether a class of the site, and not of the library, defines one of these attributes of an object."""
    found = (next((kind for kind in type(item).__mro__ if name in vars(kind)), None) for name in names)
    return not all(kind is None or kind.__module__.startswith(LIBRARY) for kind in found)


def _is_formatted(field: Any) -> bool:
    """Return whether the field makes a text in a format of its own."""
    if isinstance(field, WITH_FORMAT):
        return getattr(field, "format", None) not in (None, fields.ISO_8601)
    return getattr(field, "localize", False) or getattr(field, "uuid_format", "hex_verbose") != "hex_verbose"


def _is_rounded(field: Any, rows: QuerySet[Any], path: str) -> bool:
    """Return whether a DecimalField may show fewer places than the database has."""
    if not isinstance(field, fields.DecimalField) or field.decimal_places is None:
        return False
    stored: Any = rows.query.clone().resolve_ref(path).output_field
    return stored.decimal_places is None or stored.decimal_places > field.decimal_places
