"""Grouped querysets, such as `Order.objects.values("city").annotate(total=Sum("total"))`.

Their rows have no primary key, so they cannot be cut into parts. One part has all of them, which are few as a rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.db.models import QuerySet
from django.db.models.query import ValuesIterable

from exports.datasets.paths import UnknownName, follow
from exports.datasets.streams import CHUNK

Rows = QuerySet[Any, dict[str, Any]]


def is_grouped(rows: Any) -> bool:
    """Return whether `rows` is a queryset of groups: values() followed by an aggregate in annotate()."""
    if not isinstance(rows, QuerySet):
        return False
    known: Any = rows
    return known._fields is not None and known.query.group_by is not None and known._iterable_class is ValuesIterable


def names_of(rows: Rows) -> list[str]:
    """Return the keys of each row: the columns of the groups, then the annotations."""
    return [*rows.query.values_select, *rows.query.annotation_select]


def in_order(rows: Rows) -> Rows:
    """Return the same rows, ordered by the columns of their groups."""
    aggregates = {name for name, each in rows.query.annotation_select.items() if each.contains_aggregate}
    return rows.order_by(*[name for name in names_of(rows) if name not in aggregates])


def read(rows: Rows) -> Iterable[Mapping[str, Any]]:
    """Return the rows, in order, with a bounded number of them in memory."""
    return in_order(rows).iterator(chunk_size=CHUNK)


def expressions_of(rows: Rows) -> Mapping[str, Any]:
    """Return what each key of the rows stands for: a resolved expression."""
    query = rows.query
    return {name: query.annotations.get(name) or query.clone().resolve_ref(name) for name in names_of(rows)}


def faults_of_filter(rows: Rows, path: str) -> list[str]:
    """Return one sentence if the rows cannot be filtered by `path` before they are grouped."""
    if path in rows.query.annotations:
        return []
    try:
        many = follow(rows.model, path).many
    except UnknownName as unknown:
        return [f"date_field is {path!r}, which cannot be followed: {unknown}"]
    return [f"date_field reads {many}, of which a row may have many: the groups would count it again."] if many else []
