"""Fail exports: with all consequences in one transaction, and one notification to the owner."""

from __future__ import annotations

import logging
from typing import TypeVar

from durable.clock import Now
from durable.databases import atomic
from durable.lease import Lease
from durable.models import Work
from exports.errors import ExportError, WorkerDied
from exports.models import Export, ExportQuerySet, Part
from exports.pipeline import announce
from exports.states import PartState, State

logger = logging.getLogger(__name__)
W = TypeVar("W", bound=Work)


def fail(lease: Lease[W], error: ExportError) -> None:
    """Fail a held part or export for good, and notify the owner of the reason, in one transaction."""
    work, words = lease.work, words_of(error)
    with atomic(Export):
        _lock_export_of(work)
        if isinstance(work, Part):
            lease.park(state=PartState.FAILED, **words)
            _stop(Export.objects.filter(pk=work.export_id), words)
        else:
            lease.save()  # checks the fence; `_stop` closes the row
            _stop(Export.objects.filter(pk=work.pk), words)


def park(work: Work) -> None:
    """Fail a row whose last attempt ended without reporting a result. Do nothing if a worker holds it again."""
    words = words_of(WorkerDied())
    with atomic(Export):
        _lock_export_of(work)
        if isinstance(work, Part):
            closed = {"next_attempt_at": None, "lease_until": None}
            if work.dead_rows().update(state=PartState.FAILED, **closed, **words):
                _stop(Export.objects.filter(pk=work.export_id), words)
        else:
            _stop(Export.objects.exhausted().filter(pk=work.pk, attempt=work.attempt), words)
    logger.error("%s: failed; attempt %d ended without reporting a result.", work, work.attempt)


def _lock_export_of(work: Work) -> None:
    """Lock the export before its parts, as cancelling does. Otherwise two parts that fail at once would deadlock."""
    pk = work.export_id if isinstance(work, Part) else work.pk
    Export.objects.select_for_update(no_key=True).filter(pk=pk).values("pk").first()


def words_of(error: ExportError) -> dict[str, str]:
    """Return the error fields of a row for `error`."""
    return {"error_code": error.code, "error_message": error.message, "error_detail": error.detail}


def _stop(exports: ExportQuerySet, words: dict[str, str]) -> None:
    """Fail the only export in `exports`, close its waiting parts, and notify its owner, unless it is closed already."""
    export = exports.first()
    if export is None or not exports.move(
        State.FAILED, finished_at=Now(), next_attempt_at=None, lease_until=None, **words
    ):
        return
    export.parts.cancel_waiting()
    export.refresh_from_db()
    announce.failed(export)
