"""Delete what is past its time: expired files, orphans, old rows and old results. Safe to run at any time and twice."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.db import models, transaction
from django.db.models.functions import Now
from django.utils import timezone
from django_celery_results.models import GroupResult, TaskResult

from exports.conf import export_settings
from exports.models import Export, ExportQuerySet, Part, Slot, UsageReport, Volume
from exports.states import OPEN, PartState, State
from exports.storage import artifacts

logger = logging.getLogger(__name__)
BATCH = 500
"""Rows that one statement changes or deletes."""


def purge() -> dict[str, Any]:
    """Expire what is past its date, drop the parts of what ended badly, remove orphaned files and very old rows."""
    old = timezone.now() - export_settings().orphan_age
    return {
        "expired": expire_due(),
        "abandoned": drop_abandoned_parts(),
        "orphans": remove_orphans(),
        "unfinished": artifacts.drop_unfinished(old),
        "scratch": artifacts.clear_scratch(old),
        "forgotten": forget_old_exports(),
    }


def expire_due() -> int:
    """Move READY exports past their date to EXPIRED, and remove their files. Returns how many."""
    count = 0
    while batch := list(Export.objects.past_expiry().values_list("pk", flat=True)[:BATCH]):
        for pk in batch:
            keys = Export.objects.past_expiry().filter(pk=pk).expire()
            artifacts.delete(keys)
            count += bool(keys)
    return count


def drop_abandoned_parts() -> int:
    """Remove the finished parts of exports that failed or were cancelled longer ago than a file is kept."""
    old = Now() - timedelta(days=export_settings().keep_days)
    ended = Export.objects.filter(state__in=[State.FAILED, State.CANCELLED], finished_at__lte=old)
    left = ended.filter(pk__in=Part.objects.filter(state=PartState.DONE).order_by().values("export"))
    count = 0
    while batch := list(left.values_list("pk", flat=True)[:BATCH]):
        count += sum(_drop_parts(ended.filter(pk=pk)) for pk in batch)
    return count


def _drop_parts(abandoned: ExportQuerySet) -> int:
    """Under the export's lock: an owner who tries again just now keeps the parts, or finds them to be done anew."""
    with transaction.atomic():
        export = abandoned.select_for_update(no_key=True).first()
        finished = Part.objects.filter(export=export, state=PartState.DONE)
        keys = list(finished.values_list("artifact", flat=True))
        finished.update(state=PartState.CANCELLED, artifact="", rows_done=0)
    artifacts.delete(keys)
    return len(keys)


def remove_orphans() -> int:
    """Remove stored files that no row points to and that are old enough not to be about to be pointed to."""
    oldest = timezone.now() - export_settings().orphan_age
    count = 0
    for keys in _batches(key for key, changed in artifacts.stored_keys() if changed < oldest):
        wanted = referenced(keys)
        orphans = [key for key in keys if key not in wanted]
        artifacts.delete(orphans)
        count += len(orphans)
    return count


def referenced(keys: list[str]) -> set[str]:
    """Those of `keys` that some row points to."""
    # Parts first: a file passes from a part to its export, and must not be missed at both while we look.
    # The states are those that may have a file; the indexes of files know no others.
    pointers: tuple[models.QuerySet[Any], ...] = (
        Part.objects.filter(state=PartState.DONE),
        Export.objects.filter(state=State.READY),
        Volume.objects.filter(artifact__gt=""),
        UsageReport.objects.all(),
    )
    return {
        key for rows in pointers for key in rows.order_by().filter(artifact__in=keys).values_list("artifact", flat=True)
    }


def _batches(keys: Iterable[str]) -> Iterable[list[str]]:
    batch: list[str] = []
    for key in keys:
        batch.append(key)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def forget_old_exports() -> int:
    """Delete the rows of exports that ended longer ago than the history is kept."""
    old = Now() - timedelta(days=export_settings().history_days)
    return _delete_in_batches(Export.objects.exclude(state__in=[*OPEN, State.READY]).filter(finished_at__lte=old))


def clean_up_results() -> dict[str, Any]:
    """Delete stored task results, group results and closed slots past their age, some hundred rows a statement."""
    old = Now() - timedelta(days=export_settings().result_keep_days)
    return {
        "results": _delete_in_batches(TaskResult.objects.filter(date_done__lt=old)),
        "groups": _delete_in_batches(GroupResult.objects.filter(date_done__lt=old)),
        "slots": _delete_in_batches(Slot.objects.exclude(state=Slot.State.WAITING).filter(slot__lt=old)),
    }


def _delete_in_batches(rows: models.QuerySet[Any]) -> int:
    count = 0
    while pks := list(rows.values_list("pk", flat=True)[:BATCH]):
        rows.filter(pk__in=pks).delete()  # asked again: one may have been opened meanwhile
        count += len(pks)
    return count
