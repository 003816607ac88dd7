"""The worker side of the broker: plan an export, render its parts, assemble them, finish.

Each step claims its row, works under the lease, and ends with one fenced write. Losing the lease ends a step quietly:
somebody else has the row. An error decides by itself whether there is another attempt.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection, transaction
from django.db.models import Model, Sum
from django.db.models.functions import Now
from django.utils import translation

from durable.lease import Lease, LeaseLost
from durable.models import Work, backoff
from durable.patience import patiently
from exports import announce, bundle, dispatch, storage
from exports.conf import export_settings
from exports.contexts import context_of, keys_of
from exports.datasets import KeyRange, Source, datasets
from exports.datasets.rules import key_text, key_value
from exports.endings import fail, words_of
from exports.errors import (
    DatasetFailed,
    ExportError,
    FormatFailed,
    Mismatch,
    NoPermission,
    SpoiltPart,
    TooSlow,
    blaming,
    from_exception,
)
from exports.formats import writer
from exports.models import Content, Export, Part, Volume
from exports.rates import rate_of
from exports.states import PartState, State

logger = logging.getLogger(__name__)
W = TypeVar("W", bound=Work)


def plan(export_pk: int) -> None:
    """Cut a queued export into parts, and let the windows choose the next plans and parts."""
    lease = Export.objects.filter(state=State.QUEUED).claim(export_pk)
    _attempt(lease, _plan, DatasetFailed)
    if lease is None:
        dispatch.forget_plan(export_pk)
    else:
        dispatch.finish_rendering(export_pk)
        dispatch.fill_window()
    dispatch.fill_plans()


def render(part_pk: int) -> None:
    """Write one part to the storage; after the export's last one, assembling is due."""
    lease = Part.objects.filter(state=PartState.WAITING).claim(part_pk)
    _attempt(lease, _render, FormatFailed)
    if lease is not None:
        dispatch.finish_rendering(lease.work.export_id)
        dispatch.fill_window()


def assemble(export_pk: int) -> None:
    """Join the parts of an export into its artifact, and tell its owner."""
    _attempt(Export.objects.filter(state=State.ASSEMBLING).claim(export_pk), _assemble, FormatFailed)


def _attempt(lease: Lease[W] | None, work: Callable[[Lease[W]], None], otherwise: type[ExportError]) -> None:
    """One attempt at a claimed row. `otherwise` is the error that stands for one that this tree does not know."""
    if lease is None:
        return
    try:
        with lease, translation.override(_language(lease.work)):
            try:
                work(lease)
            except LeaseLost:
                raise
            except SoftTimeLimitExceeded:
                _end_badly(lease, TooSlow())
            except Exception as error:
                known = from_exception(error, otherwise)
                if known is not error:
                    known.__cause__ = error
                surprise = _surprise(known, error)
                logger.log(
                    logging.ERROR if surprise else logging.WARNING,
                    "%s: attempt %d ended (%s): %r",
                    lease.work,
                    lease.attempt,
                    known.code,
                    error.__cause__ or error,
                    exc_info=surprise,
                )
                _end_badly(lease, known)
    except LeaseLost:
        logger.info("%s: somebody else holds it after attempt %d.", lease.work, lease.attempt)
    except DatabaseError as error:  # it cannot even be written down: the lease runs out and the sweep opens the row
        logger.warning("%s: the database is away (%s); the sweep will try again.", lease.work, error)
        connection.close()


def _language(work: Work) -> str:
    """What the owner reads: labels, words, numbers, and why it failed."""
    export = work.export if isinstance(work, Part) else work
    return getattr(export, "language", "") or settings.LANGUAGE_CODE


def _surprise(known: ExportError, error: Exception) -> bool:
    """A traceback is for errors that nobody foresaw, in the code of this app or of a dataset."""
    return not known.retryable and (known is not error or error.__cause__ is not None)


def _end_badly(lease: Lease[W], error: ExportError) -> None:
    if error.retryable and not lease.last_attempt:
        wait = backoff(lease.work.failures, error.first_wait)
        patiently(partial(lease.retry, wait, **_told(lease.work, error)), lease.work)
    else:
        patiently(partial(fail, lease, error), lease.work)


def _told(work: Work, error: ExportError) -> dict[str, str]:
    """What a row that is tried again says of its last attempt; an export's own words are for its end alone."""
    return words_of(error) if isinstance(work, Part) else {}


# --- plan -----------------------------------------------------------------------------------------------------------


def _plan(lease: Lease[Export]) -> None:
    export = lease.work
    _allowed(export)
    layout = export.layout
    parts: list[Part] = []
    if not export.parts.exists():  # else it is tried again, and what was finished is kept
        layout = [_plan_content(export, number, content, parts) for number, content in enumerate(export.contents)]
    with transaction.atomic():
        Part.objects.bulk_create(parts)
        counted = export.parts.aggregate(rows=Sum("rows"))["rows"]
        lease.finish(state=State.RENDERING, started_at=Now(), rows=counted, layout=layout)


def _plan_content(export: Export, number: int, content: Content, parts: list[Part]) -> Mapping[str, Any]:
    """Append the parts of one of the export's files, and return what they must agree on."""
    dataset, kind = datasets.get(content.dataset), writer(content.format)
    columns = dataset.choose(content.fields)
    rows_per_part = rate_of(content.dataset, content.format, len(columns)).rows_per_part
    with blaming(DatasetFailed):
        dataset.require_fit(export.owner, columns)
        ranges = dataset.key_ranges(export.owner, export.period, rows_per_part)
        sample = dataset.sample(export.owner, export.period, columns, ranges) if kind.prepares else []
        if kind.wants_extremes:
            sample += dataset.extremes(export.owner, export.period, columns)
        model = dataset.model(export.owner)
        parts += [_part(export, len(parts) + place, number, model, keys) for place, keys in enumerate(ranges or [None])]
    return {"columns": [column.name for column in columns], **kind.prepare(sample, context_of(export, number))}


def _part(export: Export, index: int, content: int, model: type[Model], keys: KeyRange | None) -> Part:
    part = Part(export=export, owner_id=export.owner_id, index=index, content=content)
    if keys is not None:
        part.first_key, part.last_key = (_lasting(model, key) for key in (keys.first, keys.last))
        part.rows = keys.rows
    return part


def _lasting(model: type[Model], key: object) -> str:
    """A key as its part's row keeps it. Raises DatasetFailed when it could not be read back."""
    text = key_text(model, key)
    if key_value(model, text) != key:
        raise DatasetFailed from ValueError(f"The primary key {key!r} of {model.__name__} cannot be written as text.")
    return text


def _allowed(export: Export) -> None:
    """Raise NoPermission when the owner may not have it any more."""
    with blaming(DatasetFailed):
        permitted = (datasets.get(key).permitted(export.owner) for key in export.datasets)
        if not export.owner.is_active or not all(permitted):
            raise NoPermission


# --- render ---------------------------------------------------------------------------------------------------------


def _render(lease: Lease[Part]) -> None:
    part = lease.work
    export = part.export
    _allowed(export)
    content = export.contents[part.content]
    kind = writer(content.format)
    context = context_of(export, part.content, index=part.index, before=_rows_before(part))
    with closing(_source(lease, content)) as source, storage.scratch(f".{kind.extension}") as file:
        written = kind.write(source, file, context)
        lease.check()
        if written.rows != source.read:
            raise Mismatch
        stored = storage.store(file, f"{export.uuid}/part-{part.index}-{part.attempt}.{kind.extension}")
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
    """The rows of the parts before this one in its file, as planned."""
    before = Part.objects.filter(export=part.export_id, content=part.content, index__lt=part.index)
    return int(before.aggregate(rows=Sum("rows", default=0))["rows"])


def _source(lease: Lease[Part], content: Content) -> Source:
    """The part's rows, with the progress written on the way; what raises in them is the dataset's fault."""
    part, export = lease.work, lease.work.export
    dataset = datasets.get(content.dataset)
    with blaming(DatasetFailed):
        columns = dataset.choose(content.fields)
        dataset.require_fit(export.owner, columns)
        source = dataset.source(export.owner, export.period, columns, keys_of(part, dataset))
    source.each = _Progress(lease)
    return source


class _Progress:
    """Writes how many rows of a part are read, every `progress_every` seconds; called between two batches."""

    def __init__(self, lease: Lease[Part]) -> None:
        self._lease = lease
        self._told = time.monotonic()
        self._pause = export_settings().progress_every

    def __call__(self, rows: int) -> None:
        self._lease.check()
        if time.monotonic() - self._told >= self._pause:
            self._lease.save(rows_done=rows)
            self._told = time.monotonic()


# --- assemble -------------------------------------------------------------------------------------------------------


def _assemble(lease: Lease[Export]) -> None:
    export = lease.work
    _allowed(export)
    parts = list(export.parts.order_by("index"))
    if not parts or any(part.state != PartState.DONE for part in parts):
        raise Mismatch
    try:
        made = bundle.make(lease, parts)
    except SpoiltPart as error:
        if _render_again(lease, error.part):
            return
        raise
    try:
        _finish(lease, made)
    except LeaseLost:
        storage.delete([stored.key for stored, _ in made.files])
        raise
    storage.clear(str(export.uuid), keep={stored.key for stored, _ in made.files})  # what lost attempts left goes too


def _render_again(lease: Lease[Export], part_pk: int) -> bool:
    """Have one part written anew before joining, with the attempts that it has left. False: it has none."""
    part = lease.work.parts.get(pk=part_pk)
    left = part.attempt_limit - part.attempt - 1
    if left < 1:
        return False
    logger.warning("%s: its file %s is spoilt, so it is written again.", part, part.artifact)
    with transaction.atomic():
        lease.finish(state=State.RENDERING)
        Part.objects.filter(pk=part_pk).reopen(
            left, published_at=None, state=PartState.WAITING, rows_done=0, artifact=""
        )
    storage.delete([part.artifact])
    dispatch.fill_window()
    return True


def _finish(lease: Lease[Export], made: bundle.Made) -> None:
    """Make it visible: the export with all of its files, and what its owner is told."""
    export = lease.work
    (first, filename), *further = made.files
    with transaction.atomic():
        lease.finish(
            state=State.READY,
            finished_at=Now(),
            expires_at=Now() + timedelta(days=export_settings().keep_days),
            rows=made.rows,
            pages=made.pages,
            artifact=first.key,
            size=first.size,
            sha256=first.sha256,
            filename=filename,
        )
        Volume.objects.bulk_create(
            Volume(export=export, index=index, artifact=more.key, filename=name, size=more.size, sha256=more.sha256)
            for index, (more, name) in enumerate(further, start=2)
        )
        Part.objects.filter(export=export).update(artifact="", state=PartState.JOINED)
        export.refresh_from_db()
        announce.ready(export)
