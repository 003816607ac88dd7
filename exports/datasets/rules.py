"""Rules for the rows and columns of a dataset, so that every part of every format contains the right rows.

Parts are ranges of the primary key that are read independently. So each key must occur once, and no value may depend on
other rows. `faults` finds violations before anything is exported.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.core.exceptions import FieldDoesNotExist, FieldError
from django.db import connections
from django.db.models import (
    Aggregate,
    CompositePrimaryKey,
    DecimalField,
    Exists,
    F,
    Field,
    Func,
    Max,
    Min,
    Model,
    OuterRef,
    QuerySet,
    Subquery,
)
from django.db.models.expressions import Col, RawSQL
from django.db.models.sql import Query
from django.db.models.sql.datastructures import Join
from django.db.models.sql.where import ExtraWhere

from exports.datasets import grouped, mappings
from exports.datasets.columns import Column, flat, values_of
from exports.datasets.grouped import is_grouped
from exports.datasets.paths import UnknownName, follow

OVER = re.compile(r"\bover\s*\(|\bover\s+\w+", re.IGNORECASE)
"""Matches a window function in SQL."""
SUBQUERY = re.compile(r"[(\s]*(select|with)\b", re.IGNORECASE)
"""Matches the start of SQL that is a subquery, which sees the same rows in every part."""


def faults(rows: Any, columns: Sequence[Column], made_by: str = "queryset()") -> list[str]:
    """Return one sentence for each reason why `columns` of `rows` cannot be exported, with how to fix it.

    `made_by` is the method that returned `rows`. Runs no query.
    """
    if not isinstance(rows, QuerySet):
        return [f"{made_by} returns {type(rows).__name__}: return a QuerySet of a model."]
    if is_grouped(rows):
        return (
            [f"{made_by} {fault}" for fault in _faults_of_rows(rows)]
            or list(_faults_of_aggregates(rows))
            or list(mappings.faults(columns, grouped.names_of(rows)))
        )
    return (
        [f"{made_by} {fault}" for fault in (*_faults_of_rows(rows), *_faults_of_joins(rows))]
        or [*_faults_of_annotations(rows), *_faults_of_key(rows)]
        or list(_faults_of_columns(rows, columns))
        or list(_faults_of_aggregates(values_of(rows, flat(columns))))
    )


def faults_of_filter(found: Any, rows: QuerySet[Any], made_by: str) -> list[str]:
    """Return one sentence for each reason why `found`, which `made_by` made of `rows`, cannot narrow them."""
    if not isinstance(found, QuerySet) or found.model._meta.concrete_model is not rows.model._meta.concrete_model:
        return [f"{made_by} must return a QuerySet of {rows.model.__name__}: filter the rows that it receives."]
    return [f"{made_by} {fault}" for fault in _faults_of_rows(found)]


def within(rows: QuerySet[Any], found: QuerySet[Any]) -> QuerySet[Any]:
    """Return those of `rows` that are in `found` too, each once, whatever `found` joins or leaves out."""
    return rows.filter(Exists(found.order_by().filter(pk=OuterRef("pk"))))


def joins_more(found: QuerySet[Any], rows: QuerySet[Any]) -> bool:
    """Return whether `found`, which was made of `rows`, joins further to-many relations, which repeat its rows."""
    return len(list(_many_joins(found))) > len(list(_many_joins(rows)))


def without_distinct(rows: QuerySet[Any]) -> QuerySet[Any]:
    """Return a query for the same rows without DISTINCT, which would be applied after rows are numbered and paged."""
    if not rows.query.distinct:
        return rows
    if any(_many_joins(rows)):
        once: QuerySet[Any] = rows.model._base_manager.using(rows.db).filter(pk__in=rows.order_by().values("pk"))
        once.query.select_related = rows.query.select_related
        return once.prefetch_related(*rows._prefetch_related_lookups)  # type: ignore[attr-defined]
    plain = rows.all()
    plain.query.distinct = False
    return plain


def by_key(rows: QuerySet[Any]) -> QuerySet[Any]:
    """Return a query for the same rows, each once, ordered by key whatever their order was; groups by their columns."""
    if is_grouped(rows):
        return grouped.in_order(rows)
    ordered = without_distinct(rows).order_by("pk")
    ordered.query.standard_ordering = True  # reverse() also inverts later orders
    return ordered


def key_field(model: type[Model]) -> Field[Any, Any]:
    """Return the field that holds the model's primary key, following foreign keys."""
    field: Any = model._meta.pk
    while field.remote_field is not None:
        field = field.target_field
    return field  # type: ignore[no-any-return]


def key_text(model: type[Model], key: Any) -> str:
    """Return a primary key as text, for `key_value` to parse."""
    field = key_field(model)
    return field.value_to_string(field.model(**{field.attname: key}))


def key_value(model: type[Model], text: str) -> Any:
    """Return the primary key from the text that `key_text` returned."""
    return key_field(model).to_python(text)


def _faults_of_rows(rows: QuerySet[Any]) -> Iterator[str]:
    query = rows.query
    if query.combinator:
        yield f"is made with {query.combinator}(): join the conditions with Q(...) | Q(...) in one filter()."
    if query.is_sliced:
        yield "is a slice ([:n]): filter the rows instead."
    if rows._fields is not None and not is_grouped(rows):  # type: ignore[attr-defined]
        yield (
            "uses values() or values_list(): return model instances, with annotate() for what you compute; or groups, "
            'with values() and then an aggregate, as in values("city").annotate(total=Sum("amount")).'
        )
    if query.distinct_fields:
        yield "uses distinct() with fields: filter with Exists(...) or pk__in=... instead."
    if query.extra_tables:
        yield "uses extra(tables=...): filter with Exists(...) instead."
    if query.select_for_update:
        yield "uses select_for_update(): leave it out, because an export changes no rows."
    if _sees_other_rows(query.where) or any(_is_window(str(sql)) for sql, _ in query.extra.values()):
        yield "uses a Window(), which sees the rows of one part only: use a Subquery(...)."


def _faults_of_joins(rows: QuerySet[Any]) -> Iterator[str]:
    query, many = rows.query, ", ".join(sorted(set(_many_joins(rows))))
    if many and query.distinct and query.annotations:
        yield (
            f"joins {many}, and uses annotate() with distinct(): "
            "filter with Exists(...) or pk__in=... instead of distinct()."
        )
    elif many and not query.distinct and query.group_by is None:
        yield f"joins {many}, so a row may occur more than once: add distinct(), or filter with Exists(...)."


def _faults_of_annotations(rows: QuerySet[Any]) -> Iterator[str]:
    for name, expression in rows.query.annotations.items():
        if _sees_other_rows(expression):
            yield f"The annotation {name!r} is a Window(), which sees the rows of one part only: use a Subquery(...)."
        elif _makes_rows(expression):
            yield f"The annotation {name!r} returns several rows for one: aggregate it in a Subquery(...)."
        elif rows.query.group_by is not None and (many := _names(_many_used(rows, expression))):
            yield f"The annotation {name!r} reads {many}, of which a row may have many: aggregate it."


def _faults_of_key(rows: QuerySet[Any]) -> Iterator[str]:
    name = rows.model.__name__
    if isinstance(rows.model._meta.pk, CompositePrimaryKey):
        yield f"{name} has a composite primary key: export a model whose key is one field."
    elif isinstance(key_field(rows.model), DecimalField) and connections[rows.db].vendor == "sqlite":
        yield f"{name} has a decimal primary key, which SQLite rounds: use PostgreSQL, or another key."


def _faults_of_columns(rows: QuerySet[Any], columns: Sequence[Column]) -> Iterator[str]:
    for column in columns:
        for slot in flat([column]):
            try:
                known = rows.annotate(_carryall_value=slot.expression)
                _ = known.query.annotations["_carryall_value"].output_field  # required for reading
            except (FieldError, FieldDoesNotExist, TypeError, ValueError, AttributeError) as error:
                yield f"The column {column.name!r} cannot be read: {_reason(rows, slot, error)}"
                break
            expression = known.query.annotations["_carryall_value"]
            if _sees_other_rows(expression):
                yield (
                    f"The column {column.name!r} is a Window(), which sees the rows of one part only: "
                    "use a Subquery(...)."
                )
            elif _makes_rows(expression):
                yield f"The column {column.name!r} returns several rows for one: aggregate it in a Subquery(...)."
            elif many := _names(_many_used(known, expression)):
                yield (
                    f"The column {column.name!r} reads {many}, of which a row may have many: use {_nested(slot)}, "
                    "aggregate it, or export the other model with a column of this one."
                )


def _reason(rows: QuerySet[Any], slot: Column, error: Exception) -> str:
    """Return why the source of a slot cannot be resolved, with a suggestion if it is a path with an unknown name."""
    if isinstance(slot.expression, F):
        try:
            follow(rows.model, slot.expression.name)  # type: ignore[attr-defined]
        except UnknownName as unknown:
            return str(unknown)
    return f"{str(error).rstrip('.')}."


def _nested(slot: Column) -> str:
    """Return the nested column to use instead of a column with a path over a to-many relation."""
    source: Any = slot.source or slot.name
    path = source.name if isinstance(source, F) else source  # type: ignore[attr-defined]
    first, _, rest = path.partition("__") if isinstance(path, str) else ("", "", "")
    return f"Nested({first!r}, [{rest!r}])" if rest else "Nested(...)"


def _faults_of_aggregates(rows: QuerySet[Any]) -> Iterator[str]:
    """Find aggregates over a to-many relation that are wrong because the query also joins another one.

    In groups, those over the rows themselves are wrong too, which count a row again for each row of the relation.
    """
    joined = {alias for alias, join in _joins(rows) if _many(join)}
    for expression in rows.query.annotations.values():
        for aggregate in _aggregates(expression):
            behind = {alias for alias, _ in _many_used(rows, *aggregate.get_source_expressions())}
            if (behind or is_grouped(rows)) and behind != joined:
                names = ", ".join(sorted({_many(rows.query.alias_map[alias]) for alias in joined | behind}))
                yield f"{type(aggregate).__name__}() is wrong while {names} are joined together: use a Subquery(...)."
                return


def _aggregates(expression: Any) -> Iterator[Any]:
    """Yield the aggregates in an expression that count a row again for each row of another join."""
    for part in _parts(expression):
        if isinstance(part, Aggregate) and not isinstance(part, Max | Min) and not getattr(part, "distinct", False):
            yield part


def _many_joins(rows: QuerySet[Any]) -> Iterator[str]:
    """Return the names of the to-many relations that the rows are joined with."""
    return (name for _, join in _joins(rows) if (name := _many(join)))


def _joins(rows: QuerySet[Any]) -> Iterator[tuple[str, Any]]:
    query = rows.query
    return ((alias, join) for alias, join in query.alias_map.items() if query.alias_refcount.get(alias))


def _many_used(rows: QuerySet[Any], *expressions: Any) -> Iterator[tuple[str, str]]:
    """Yield aliases and names of the to-many relations that resolved expressions use outside aggregates."""
    for expression in expressions:
        if isinstance(expression, Col):
            alias: str | None = expression.alias
            while alias is not None:
                join = rows.query.alias_map[alias]
                if name := _many(join):
                    yield alias, name
                alias = join.parent_alias
        elif expression is not None and not isinstance(expression, Aggregate | Subquery):
            yield from _many_used(rows, *expression.get_source_expressions())


def _names(used: Iterable[tuple[str, str]]) -> str:
    return ", ".join(sorted({name for _, name in used}))


def _sees_other_rows(expression: Any) -> bool:
    """Return whether a value depends on other rows of the query, also if it is raw SQL."""
    if getattr(expression, "contains_over_clause", False):
        return True
    return any(_is_window(sql) for part in _parts(expression) for sql in _raw_sql(part))


def _makes_rows(expression: Any) -> bool:
    """Return whether it returns several rows for one, as PostgreSQL's unnest() does."""
    return any(getattr(part, "set_returning", False) for part in _parts(expression))


def _parts(expression: Any) -> Iterator[Any]:
    """Yield the expression and its subexpressions, except those of a subquery."""
    yield expression
    if not isinstance(expression, Subquery | Query) and hasattr(expression, "get_source_expressions"):
        for part in filter(None, expression.get_source_expressions()):
            yield from _parts(part)


def _raw_sql(part: Any) -> Iterator[str]:
    """Yield the hand-written SQL of one expression."""
    if isinstance(part, RawSQL):
        yield part.sql
    elif isinstance(part, ExtraWhere):
        yield from part.sqls
    elif isinstance(part, Func):
        yield str(part.extra.get("template", part.template))


def _is_window(sql: str) -> bool:
    return bool(OVER.search(sql)) and not SUBQUERY.match(sql)


def _many(join: Any) -> str:
    """Return the name of a join's relation if it is to-many, otherwise an empty string."""
    if not isinstance(join, Join):
        return ""
    fields: Sequence[tuple[Any, Any]] = join.join_fields  # type: ignore[attr-defined]
    ours, theirs = zip(*fields, strict=True)
    if _are_unique(theirs):
        return ""
    relation, other = join.join_field, theirs[0].model
    for field in ours[0].model._meta.get_fields():
        through = getattr(field, "through", None) or getattr(field.remote_field, "through", None)
        if relation in (field, field.remote_field) or other is through:
            return str(field.name)
    return str(other.__name__)


def _are_unique(fields: Sequence[Any]) -> bool:
    """Return whether the model has at most one row for each value of these fields."""
    options, names = fields[0].model._meta, {field.name for field in fields}
    together = [*(constraint.fields for constraint in options.total_unique_constraints), *options.unique_together]
    return any(field.unique for field in fields) or any(names.issuperset(each) for each in together)
