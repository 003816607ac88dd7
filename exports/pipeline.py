"""The worker side of the broker: plan an export, render its parts, assemble them, finish.

Each step claims its row, works under the lease, and ends with one fenced write. Losing the lease ends a step quietly:
somebody else has the row. An error decides by itself whether there is another attempt.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import BinaryIO, TypeVar

from celery.exceptions import SoftTimeLimitExceeded
from django.db import Error as DatabaseError
from django.db import connection, transaction
from django.db.models import Sum
from django.db.models.functions import Now
from django.utils.text import slugify

from durable.lease import Lease, LeaseLost
from durable.models import Work, backoff
from exports import announce, dispatch, storage
from exports.conf import export_settings
from exports.datasets import Dataset, KeyRange, datasets
from exports.endings import fail, words_of
from exports.errors import (
    DatasetFailed,
    ExportError,
    FormatFailed,
    Mismatch,
    NoPermission,
    TooSlow,
    blaming,
    from_exception,
)
from exports.formats import Format, RenderContext, Row, Written, formats
from exports.models import Export, Part
from exports.states import PartState, State

logger = logging.getLogger(__name__)
W = TypeVar("W", bound=Work)


def plan(export_pk: int) -> None:
    """Cut a queued export into parts and let the window choose among them."""
    _attempt(Export.objects.filter(state=State.QUEUED).claim(export_pk), _plan, DatasetFailed)


def render(part_pk: int) -> None:
    """Write one part to the storage; after the export's last one, assembling is due."""
    lease = Part.objects.claim(part_pk)
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
        with lease:
            try:
                work(lease)
            except LeaseLost:
                raise
            except SoftTimeLimitExceeded:
                _end_badly(lease, TooSlow())
            except Exception as error:
                known = from_exception(error, otherwise)
                logger.warning(
                    "%s: attempt %d ended (%s): %r",
                    lease.work,
                    lease.attempt,
                    known.code,
                    error.__cause__ or error,
                    exc_info=_surprise(known, error),
                )
                _end_badly(lease, known)
    except LeaseLost:
        logger.info("%s: somebody else holds it after attempt %d.", lease.work, lease.attempt)
    except DatabaseError as error:  # it cannot even be written down: the lease runs out and the sweep opens the row
        logger.warning("%s: the database is away (%s); the sweep will try again.", lease.work, error)
        connection.close()


def _surprise(known: ExportError, error: Exception) -> bool:
    """A traceback is for errors that nobody foresaw, in the code of this app or of a dataset."""
    return not known.retryable and (known is not error or error.__cause__ is not None)


def _end_badly(lease: Lease[W], error: ExportError) -> None:
    if error.retryable and not lease.last_attempt:
        lease.retry(backoff(lease.work.failures), **_told(lease.work, error))
    else:
        fail(lease, error)


def _told(work: Work, error: ExportError) -> dict[str, str]:
    """What a row that is tried again says of its last attempt; an export's own words are for its end alone."""
    return words_of(error) if isinstance(work, Part) else {}


# --- plan -----------------------------------------------------------------------------------------------------------


def _plan(lease: Lease[Export]) -> None:
    export = lease.work
    dataset, kind = _parties(export)
    if not export.parts.exists():
        rows_per_part = export_settings().rows_per_part if kind.splittable else None
        with blaming(DatasetFailed):
            ranges = dataset.key_ranges(export.owner, export.period, rows_per_part)
        parts = [_part(export, index, keys) for index, keys in enumerate(ranges or [None])]
    else:  # tried again: what was finished is kept
        parts = []
    with transaction.atomic():
        Part.objects.bulk_create(parts)
        counted = export.parts.aggregate(rows=Sum("rows"))["rows"]
        lease.finish(state=State.RENDERING, started_at=Now(), rows=counted)
    if not dispatch.finish_rendering(export.pk):
        dispatch.fill_window()


def _part(export: Export, index: int, keys: KeyRange | None) -> Part:
    part = Part(export=export, owner_id=export.owner_id, index=index, attempt_limit=export_settings().max_attempts)
    if keys is not None:
        part.first_key, part.last_key, part.rows = str(keys.first), str(keys.last), keys.rows
    return part


def _parties(export: Export) -> tuple[Dataset, Format]:
    """The export's dataset and format. Raises NoPermission when its owner may not have it any more."""
    dataset, kind = datasets.get(export.dataset), formats.get(export.format)
    with blaming(DatasetFailed):
        if not export.owner.is_active or not dataset.permitted(export.owner):
            raise NoPermission
    return dataset, kind


# --- render ---------------------------------------------------------------------------------------------------------


def _render(lease: Lease[Part]) -> None:
    part = lease.work
    export = part.export
    dataset, kind = _parties(export)
    with storage.scratch(f".{kind.extension}") as file:
        written = kind.write(_rows(lease, dataset), file, _context(part, dataset))
        lease.check()
        stored = storage.store(file, f"{export.uuid}/part-{part.index}-{part.attempt}.{kind.extension}")
    lease.finish(
        state=PartState.DONE,
        rows_done=written.rows,
        pages=written.pages,
        artifact=stored.key,
        size=stored.size,
        sha256=stored.sha256,
        error_code="",
        error_message="",
    )


def _rows(lease: Lease[Part], dataset: Dataset) -> Iterator[Row]:
    """The part's rows, with the progress written on the way; what raises in here is the dataset's fault."""
    part, export = lease.work, lease.work.export
    with blaming(DatasetFailed):
        columns = dataset.choose(export.fields)
        rows = dataset.rows(export.owner, export.period, columns, _keys(part, dataset))
    told = time.monotonic()
    pause = export_settings().progress_every
    count = 0
    while True:
        with blaming(DatasetFailed):
            row = next(rows, None)
        if row is None:
            return
        count += 1
        yield row
        if count % 256 == 0 and time.monotonic() - told >= pause:
            lease.save(rows_done=count)
            told = time.monotonic()


def _keys(part: Part, dataset: Dataset) -> KeyRange | None:
    if not part.first_key:
        return None
    key = dataset.model(part.export.owner)._meta.pk
    assert key is not None
    return KeyRange(key.to_python(part.first_key), key.to_python(part.last_key), part.rows)


def _context(part: Part, dataset: Dataset) -> RenderContext:
    export = part.export
    return RenderContext(
        title=str(dataset.label),
        owner=export.owner.get_full_name() or export.owner.get_username(),
        period=export.period_label,
        columns=dataset.choose(export.fields),
        zone=export.zone,
        requested_at=export.requested_at,
        first=part.index == 0,
    )


# --- assemble -------------------------------------------------------------------------------------------------------


def _assemble(lease: Lease[Export]) -> None:
    export = lease.work
    dataset, kind = _parties(export)
    parts = list(export.parts.order_by("index"))
    written = Written(sum(part.rows_done for part in parts), sum(part.pages or 0 for part in parts) or None)
    if not parts or any(part.state != PartState.DONE for part in parts):
        raise Mismatch
    stored = _whole(lease, kind, parts)
    name = filename(export, kind)
    with transaction.atomic():
        lease.finish(
            state=State.READY,
            finished_at=Now(),
            expires_at=Now() + timedelta(days=export_settings().keep_days),
            rows=written.rows,
            pages=written.pages,
            artifact=stored.key,
            size=stored.size,
            sha256=stored.sha256,
            filename=name,
        )
        Part.objects.filter(export=export).update(artifact="", state=PartState.JOINED)
        export.refresh_from_db()
        announce.ready(export, dataset, kind)
    storage.delete([part.artifact for part in parts if part.artifact != stored.key])


def _whole(lease: Lease[Export], kind: Format, parts: list[Part]) -> storage.Stored:
    """The finished file: a single part is it already, several are joined."""
    if len(parts) == 1:
        only = storage.Stored(parts[0].artifact, parts[0].size or 0, parts[0].sha256)
        storage.verify(only)
        return only
    export = lease.work
    with storage.scratch(f".{kind.extension}") as file:
        kind.assemble(_checked(lease, parts), file)
        return storage.store(file, f"{export.uuid}/export-{export.attempt}.{kind.extension}")


def _checked(lease: Lease[Export], parts: list[Part]) -> Iterator[BinaryIO]:
    """The parts' files, each open until the next one is asked for: a process may open only so many at a time."""
    for part in parts:
        lease.check()
        with storage.open_artifact(part.artifact) as file:
            if storage.digest(file) != (part.size, part.sha256):
                raise Mismatch
            file.seek(0)
            yield file


def filename(export: Export, kind: Format) -> str:
    """A name that any browser and file system takes: ASCII letters, digits, dots and hyphens."""
    first = f"{export.period_start.astimezone(export.zone):%Y-%m-%d}-to-" if export.period_start else ""
    end = export.period_end - timedelta(microseconds=1) if export.period_end else export.requested_at
    last = f"{end.astimezone(export.zone):%Y-%m-%d}"
    return f"{slugify(export.dataset) or 'export'}-{first or 'to-'}{last}.{kind.extension}"
