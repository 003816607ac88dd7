"""Delete expired files, orphaned files, old rows and old results. Safe to run at any time and to repeat."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import models, router
from django_celery_results.models import GroupResult, TaskResult

from durable import clock
from durable.clock import Now
from durable.databases import atomic
from durable.fields import UserForeignKey
from exports.conf import export_settings
from exports.models import Export, ExportQuerySet, Part, Slot, UsageReport, Volume
from exports.states import OPEN, PartState, State
from exports.storage import artifacts

logger = logging.getLogger(__name__)
BATCH = 500
"""Maximum number of rows that one statement changes or deletes."""


def purge() -> dict[str, Any]:
    """Remove expired files, parts of failed exports, orphaned files and very old rows. Return the counts."""
    old = clock.now() - export_settings().orphan_age
    return {
        "expired": expire_due(),
        "abandoned": drop_abandoned_parts(),
        "orphans": remove_orphans(),
        "unfinished": artifacts.drop_unfinished(old),
        "scratch": artifacts.clear_scratch(old),
        "forgotten": forget_old_exports(),
        "ownerless": forget_missing_users(),
    }


def expire_due() -> int:
    """Move READY exports past their expiry to EXPIRED and remove their files. Return the number of exports."""
    count = 0
    while batch := list(Export.objects.past_expiry().values_list("pk", flat=True)[:BATCH]):
        for pk in batch:
            keys = Export.objects.past_expiry().filter(pk=pk).expire()
            artifacts.delete(keys)
            count += bool(keys)
    return count


def drop_abandoned_parts() -> int:
    """Remove finished parts of exports that failed or were cancelled more than `keep_days` ago. Return the number."""
    old = Now() - timedelta(days=export_settings().keep_days)
    ended = Export.objects.filter(state__in=[State.FAILED, State.CANCELLED], finished_at__lte=old)
    left = ended.filter(pk__in=Part.objects.filter(state=PartState.DONE).order_by().values("export"))
    count = 0
    while batch := list(left.values_list("pk", flat=True)[:BATCH]):
        count += sum(_drop_parts(ended.filter(pk=pk)) for pk in batch)
    return count


def _drop_parts(abandoned: ExportQuerySet) -> int:
    """Cancel the finished parts of an export and delete their files. Return the number of parts.

    The lock on the export prevents a race with a retry: the retry either keeps the parts or renders them again.
    """
    with atomic(Export):
        export = abandoned.select_for_update(no_key=True).first()
        finished = Part.objects.filter(export=export, state=PartState.DONE)
        keys = list(finished.values_list("artifact", flat=True))
        finished.update(state=PartState.CANCELLED, artifact="", rows_done=0)
    artifacts.delete(keys)
    return len(keys)


def remove_orphans() -> int:
    """Remove stored files that no row references. Younger files may be about to be referenced. Return the number."""
    oldest = clock.now() - export_settings().orphan_age
    count = 0
    for keys in _batches(key for key, changed in artifacts.stored_keys() if changed < oldest):
        wanted = referenced(keys)
        orphans = [key for key in keys if key not in wanted]
        artifacts.delete(orphans)
        count += len(orphans)
    return count


def referenced(keys: list[str]) -> set[str]:
    """Return those of `keys` that a row references."""
    # Parts first: a file may move from a part to its export during these queries, and must be found in one of them.
    # The states are those that can have a file, as in the partial indexes on files.
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
    """Delete the rows of exports that ended more than `history_days` ago. Return the number."""
    old = Now() - timedelta(days=export_settings().history_days)
    return _delete_in_batches(Export.objects.exclude(state__in=[*OPEN, State.READY]).filter(finished_at__lte=old))


def forget_missing_users() -> int:
    """Delete rows whose user no longer exists: one deleted with SQL, or while our own database was away.

    Return the number of users. The rows of a model stay if none of its users is found: then the users' table itself
    cannot be read, as with row-level security.
    """
    fields = (field for model in apps.get_models() for field in model._meta.fields)
    return len(set().union(*(_forget_missing(field) for field in fields if isinstance(field, UserForeignKey))))


def _forget_missing(field: UserForeignKey) -> set[Any]:
    rows = field.model._base_manager.filter(**{f"{field.attname}__isnull": False})
    users = get_user_model()._base_manager.using(router.db_for_write(get_user_model()))
    keys = rows.order_by(field.attname).values_list(field.attname, flat=True).distinct()
    missing: set[Any] = set()
    found = 0
    batch = list(keys[:BATCH])
    while batch:
        known = set(users.filter(pk__in=batch).values_list("pk", flat=True))
        found += len(known)
        missing.update(key for key in batch if key not in known)
        batch = list(keys.filter(**{f"{field.attname}__gt": batch[-1]})[:BATCH])
    if missing and not found:
        logger.error("None of the users of %s is found, so their rows are kept.", field.model._meta.verbose_name_plural)
        return set()
    for key in missing:
        _delete_in_batches(rows.filter(**{field.attname: key}))
    return missing


def clean_up_results() -> dict[str, Any]:
    """Delete task results, group results and closed slots older than `result_keep_days`. Return the counts."""
    age = timedelta(days=export_settings().result_keep_days)
    old, ended = clock.as_stored(clock.now() - age), Now() - age
    return {
        "results": _delete_in_batches(TaskResult.objects.filter(date_done__lt=old)),
        "groups": _delete_in_batches(GroupResult.objects.filter(date_done__lt=old)),
        "slots": _delete_in_batches(Slot.objects.exclude(state=Slot.State.WAITING).filter(slot__lt=ended)),
    }


def _delete_in_batches(rows: models.QuerySet[Any]) -> int:
    count = 0
    while pks := list(rows.values_list("pk", flat=True)[:BATCH]):
        rows.filter(pk__in=pks).delete()  # filtered again: a row may have been reopened in the meantime
        count += len(pks)
    return count
