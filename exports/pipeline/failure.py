"""The bad end of an export: it fails with all that follows from it, in one transaction, and its owner is told once."""

from __future__ import annotations

import logging
from typing import TypeVar

from django.db import transaction
from django.db.models.functions import Now

from durable.lease import Lease
from durable.models import Work
from exports.errors import ExportError, WorkerDied
from exports.models import Export, ExportQuerySet, Part
from exports.pipeline import announce
from exports.states import PartState, State

logger = logging.getLogger(__name__)
W = TypeVar("W", bound=Work)


def fail(lease: Lease[W], error: ExportError) -> None:
    """End a held part or export for good, and its owner is told why; all of it in one transaction."""
    work, words = lease.work, words_of(error)
    with transaction.atomic():
        _lock_export_of(work)
        if isinstance(work, Part):
            lease.park(state=PartState.FAILED, **words)
            _stop(Export.objects.filter(pk=work.export_id), words)
        else:
            lease.save()  # the fence; the move closes the row
            _stop(Export.objects.filter(pk=work.pk), words)


def park(work: Work) -> None:
    """Fail a row whose last attempt ended without reporting a result. Does nothing when a worker holds it again."""
    words = words_of(WorkerDied())
    with transaction.atomic():
        _lock_export_of(work)
        if isinstance(work, Part):
            closed = {"next_attempt_at": None, "lease_until": None}
            if work.dead_rows().update(state=PartState.FAILED, **closed, **words):
                _stop(Export.objects.filter(pk=work.export_id), words)
        else:
            _stop(Export.objects.exhausted().filter(pk=work.pk, attempt=work.attempt), words)
    logger.error("%s: failed; attempt %d ended without reporting a result.", work, work.attempt)


def _lock_export_of(work: Work) -> None:
    """The export before its parts, as cancelling does: or two parts that fail at once wait for each other for ever."""
    pk = work.export_id if isinstance(work, Part) else work.pk
    Export.objects.select_for_update(no_key=True).filter(pk=pk).values("pk").first()


def words_of(error: ExportError) -> dict[str, str]:
    """An error as a row keeps it."""
    return {"error_code": error.code, "error_message": error.message, "error_detail": error.detail}


def _stop(exports: ExportQuerySet, words: dict[str, str]) -> None:
    """Fail the one export of `exports`, close its parts that wait, and tell its owner, once."""
    export = exports.first()
    if export is None or not exports.move(
        State.FAILED, finished_at=Now(), next_attempt_at=None, lease_until=None, **words
    ):
        return
    export.parts.call_off()
    export.refresh_from_db()
    announce.failed(export)
