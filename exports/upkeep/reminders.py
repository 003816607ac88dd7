"""Remind owners of files that expire soon and were never downloaded. Safe to run at any time and to repeat."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Exists, OuterRef

from durable.clock import Now
from durable.databases import atomic
from exports.conf import export_settings
from exports.models import Download, Export, Volume
from exports.pipeline import announce

BATCH = 500
"""Maximum number of exports per run."""


def remind() -> dict[str, Any]:
    """Remind owners of files that expire soon and were never downloaded completely. Return the count."""
    soon = Now() + export_settings().remind_before
    due = Export.objects.downloadable().filter(_not_downloaded(), reminded_at__isnull=True, expires_at__lte=soon)
    return {"reminded": sum(_remind(export) for export in due[:BATCH])}


def _not_downloaded() -> models.Q:
    """Return the condition for exports with a file (their own or a further volume) never downloaded completely."""
    complete = Download.objects.filter(finished_at__isnull=False)
    missing = Volume.objects.filter(
        ~Exists(complete.filter(export=OuterRef("export"), volume=OuterRef("index"))), export=OuterRef("pk")
    )
    return ~models.Q(Exists(complete.filter(export=OuterRef("pk"), volume=1))) | models.Q(Exists(missing))


def _remind(export: Export) -> int:
    with atomic(Export):
        mine = Export.objects.downloadable().filter(pk=export.pk, reminded_at__isnull=True).update(reminded_at=Now())
        if mine:
            announce.expiring(export)
    return mine
