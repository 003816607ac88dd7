"""Remind owners of files that expire soon and were never downloaded. Safe to run at any time and twice."""

from __future__ import annotations

from typing import Any

from django.db import models, transaction
from django.db.models import Exists, OuterRef
from django.db.models.functions import Now

from exports.conf import export_settings
from exports.models import Download, Export, Volume
from exports.pipeline import announce

BATCH = 500
"""Exports that one run reminds of."""


def remind() -> dict[str, Any]:
    """Tell owners of files that expire soon and that nobody has fetched whole."""
    soon = Now() + export_settings().remind_before
    due = Export.objects.downloadable().filter(_unfetched(), reminded_at__isnull=True, expires_at__lte=soon)
    return {"reminded": sum(_remind(export) for export in due.select_related("owner")[:BATCH])}


def _unfetched() -> models.Q:
    """Exports of which a file was never fetched whole: their own, or a further volume."""
    whole = Download.objects.filter(finished_at__isnull=False)
    missing = Volume.objects.filter(
        ~Exists(whole.filter(export=OuterRef("export"), volume=OuterRef("index"))), export=OuterRef("pk")
    )
    return ~models.Q(Exists(whole.filter(export=OuterRef("pk"), volume=1))) | models.Q(Exists(missing))


def _remind(export: Export) -> int:
    with transaction.atomic():
        mine = Export.objects.downloadable().filter(pk=export.pk, reminded_at__isnull=True).update(reminded_at=Now())
        if mine:
            announce.expiring(export)
    return mine
