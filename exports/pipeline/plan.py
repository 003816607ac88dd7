"""Plan an export: split its rows into parts by their primary keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.db.models import Model, Sum

from durable.clock import Now
from durable.databases import atomic
from durable.lease import Lease
from exports.datasets import KeyRange, datasets
from exports.datasets.rules import key_text, key_value
from exports.datasets.tables import tables
from exports.errors import DatasetFailed, errors_as
from exports.formats import writer
from exports.formats.context import columns_of, context_of
from exports.models import Content, Export, Part
from exports.pipeline import window
from exports.pipeline.attempt import attempt, require_params, require_permission
from exports.pipeline.rates import rate_of
from exports.states import State


def run(export_pk: int) -> None:
    """Split a queued export into parts, then fill the windows of plans and parts."""
    lease = Export.objects.filter(state=State.QUEUED).claim(export_pk)
    attempt(lease, _plan, DatasetFailed)
    if lease is None:
        window.forget_plan(export_pk)
    else:
        window.finish_rendering(export_pk)
        window.fill_window()
    window.fill_plans()


def _plan(lease: Lease[Export]) -> None:
    export = lease.work
    require_permission(export)
    require_params(export)
    layout = export.layout
    parts: list[Part] = []
    if not export.parts.exists():  # otherwise this is a retry, and finished parts are kept
        export.layout = [file for content in export.contents for file in _files(content)]
        layout = [_plan_content(export, number, content, parts) for number, content in enumerate(export.contents)]
    with atomic(Export):
        Part.objects.bulk_create(parts)
        lease.finish(state=State.RENDERING, started_at=Now(), rows=_counted(export), layout=layout)


def _counted(export: Export) -> int | None:
    """Return the number of rows of all parts, or None if a dataset only counts its rows while they are read."""
    if not all(datasets.get(key).in_parts(export.data_owner) for key in export.datasets):
        return None
    rows: int | None = export.parts.aggregate(rows=Sum("rows"))["rows"]
    return rows


def _files(content: Content) -> Iterator[dict[str, Any]]:
    """Yield what the layout records of each file: several for nested columns, if the format is flat."""
    dataset, objects = datasets.get(content.dataset), writer(content.format).holds_objects
    for table, columns in tables(dataset, dataset.choose(content.fields), objects=objects):
        names = [column.name for column in columns]
        yield {"dataset": table.key, "format": content.format, "columns": names}


def _plan_content(export: Export, number: int, content: Content, parts: list[Part]) -> Mapping[str, Any]:
    """Append the parts of one of the export's files to `parts`, and return the layout that they share."""
    dataset, kind = datasets.get(content.dataset), writer(content.format)
    columns = columns_of(export, number)
    rows_per_part = rate_of(content.dataset, content.format, len(columns)).rows_per_part
    with errors_as(DatasetFailed):
        dataset.require_fit(export.data_owner, columns)
        ranges = dataset.key_ranges(export.selection, rows_per_part)
        sample = dataset.sample(export.selection, columns, ranges) if kind.prepares else []
        if kind.wants_extremes:
            sample += dataset.extremes(export.selection, columns)
        parts += [_part(export, len(parts) + place, number, keys) for place, keys in enumerate(ranges or [None])]
    return {**export.layout[number], **kind.prepare(sample, context_of(export, number))}


def _part(export: Export, index: int, content: int, keys: KeyRange | None) -> Part:
    part = Part(export=export, owner_id=export.owner_id, index=index, content=content)
    if keys is not None:
        model = datasets.get(export.contents[content].dataset).model_of(export.data_owner)
        part.first_key, part.last_key = (_key_as_text(model, key) for key in (keys.first, keys.last))
        part.rows = keys.rows
    return part


def _key_as_text(model: type[Model], key: object) -> str:
    """Return a key as text for the part's row. Raises DatasetFailed if the text cannot be converted back."""
    text = key_text(model, key)
    if key_value(model, text) != key:
        raise DatasetFailed from ValueError(f"The primary key {key!r} of {model.__name__} cannot be written as text.")
    return text
