"""Render one part: write its rows to a file, and move the file to the storage."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing

from django.db.models import Sum

from durable.lease import Lease
from exports.conf import export_settings
from exports.datasets import Column, RowStream, datasets
from exports.errors import DatasetFailed, FormatFailed, Mismatch, errors_as
from exports.formats import writer
from exports.formats.context import context_of, keys_of
from exports.models import Part
from exports.pipeline import window
from exports.pipeline.attempt import attempt, require_params, require_permission
from exports.states import PartState
from exports.storage import artifacts


def run(part_pk: int) -> None:
    """Write one part to the storage. After the last part of an export, its assembling becomes due."""
    lease = Part.objects.filter(state=PartState.WAITING).claim(part_pk)
    attempt(lease, _render, FormatFailed)
    if lease is not None:
        window.finish_rendering(lease.work.export_id)
        window.fill_window()


def _render(lease: Lease[Part]) -> None:
    part = lease.work
    export = part.export
    require_permission(export)
    require_params(export)
    content = export.contents[part.content]
    kind = writer(content.format)
    context = context_of(export, part.content, index=part.index, before=_rows_before(part))
    source = _source(lease, content.dataset, context.columns)
    with closing(source), artifacts.scratch(f".{kind.extension}") as file:
        written = kind.write(source, file, context)
        lease.check()
        if written.rows != source.read:
            raise Mismatch
        stored = artifacts.store(file, f"{export.uuid}/part-{part.index}-{part.attempt}.{kind.extension}")
    lease.finish(
        state=PartState.DONE,
        rows_done=written.rows,
        pages=written.pages,
        meta=written.meta,
        artifact=stored.key,
        size=stored.size,
        sha256=stored.sha256,
        error_code="",
        error_message="",
        error_detail="",
    )


def _rows_before(part: Part) -> int:
    """Return the planned number of rows in the parts of the same file before this one."""
    before = Part.objects.filter(export=part.export_id, content=part.content, index__lt=part.index)
    return int(before.aggregate(rows=Sum("rows", default=0))["rows"])


def _source(lease: Lease[Part], key: str, columns: Sequence[Column]) -> RowStream:
    """Return the source of the part's rows, which also records progress. Errors in it are raised as DatasetFailed."""
    part, export = lease.work, lease.work.export
    dataset = datasets.get(key)
    with errors_as(DatasetFailed):
        dataset.require_fit(export.data_owner, columns)
        source = dataset.source(export.selection, columns, keys_of(part, dataset))
    source.each = _Progress(lease)
    return source


class _Progress:
    """Records the number of rows read, every `progress_every` seconds. Called between two batches."""

    def __init__(self, lease: Lease[Part]) -> None:
        self._lease = lease
        self._saved_at = time.monotonic()
        self._pause = export_settings().progress_every

    def __call__(self, rows: int) -> None:
        self._lease.check()
        if time.monotonic() - self._saved_at >= self._pause:
            self._lease.save(rows_done=rows)
            self._saved_at = time.monotonic()
