"""Datasets of querysets: the columns are those of values(), or else all fields and annotations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from django.db.models import QuerySet
from django.db.models.expressions import Col
from django.db.models.query import ModelIterable, ValuesIterable

from exports.adapters.attributes import type_of_annotation
from exports.adapters.definition import Definition
from exports.datasets import AUTO, Column, Dataset, grouped
from exports.datasets.columns import heading_of
from exports.datasets.owners import Owner


def dataset_of(queryset: Any, owner: Owner | None, attributes: Mapping[str, Any]) -> type[Dataset]:
    model = getattr(queryset, "model", None)
    call = f"dataset_from_queryset({model.__name__ if model else getattr(queryset, '__name__', queryset)})"
    definition = Definition(call, queryset, owner, attributes)
    rows = definition.example()
    if fault := _fault(rows):
        raise definition.refused(fault)
    columns = list(_columns(definition, rows))
    return replace(definition, change=as_instances).dataset(rows.model.__name__, columns, rows.model)


def _fault(rows: Any) -> str:
    """Return why these rows cannot be exported, as the end of a sentence, or an empty string."""
    if rows._iterable_class not in (ModelIterable, ValuesIterable):
        return "has values_list(), dates() or datetimes(): use values()"
    if rows._fields is not None and rows.query.distinct:
        return (
            "has values() with distinct(), whose rows have no key: group them, as in "
            'values("city").annotate(rows=Count("pk"))'
        )
    if rows.query.extra_select:
        return "has extra(select=...): use annotate()"
    return ""


def _columns(definition: Definition, rows: Any) -> Iterator[Any]:
    names = rows.query.annotation_select if not rows._fields else rows.query.selected or grouped.names_of(rows)
    if not rows._fields:  # values() without names too: all fields except secret ones
        yield from AUTO
    for name in names:
        if name not in rows.query.annotations:
            yield Column(name, source=name)
        elif kind := type_of_annotation(rows, name):
            yield Column(name, heading_of(name), kind)
        else:
            raise definition.refused(f"cannot tell the type of the annotation {name!r}: give it an output_field")


def as_instances(rows: QuerySet[Any]) -> QuerySet[Any]:
    """Return the same rows as instances of the model, which are cut into parts by key; groups unchanged."""
    found: Any = rows.all()
    if grouped.is_grouped(found) and not _by_key(found.query):
        return found  # type: ignore[no-any-return]
    found._fields, found._iterable_class = None, ModelIterable
    found.query.clear_select_fields()
    found.query.default_cols = True
    return found  # type: ignore[no-any-return]


def _by_key(query: Any) -> bool:
    """Return whether each group is one row of the model, as after annotate(lines=Count("lines")).values("number")."""
    columns = [each for each in query.group_by if isinstance(each, Col) and each.alias == query.get_initial_alias()]
    return len(columns) == len(query.group_by) and any(column.target.primary_key for column in columns)
