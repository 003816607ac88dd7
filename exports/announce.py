"""What owners are told, and when: one notification a fact, written in the transaction that makes the fact."""

from __future__ import annotations

from typing import Any

from django.template.defaultfilters import filesizeformat
from django.utils.formats import date_format

from exports.datasets import Dataset, datasets
from exports.errors import ExportError
from exports.formats import Format, formats
from exports.models import Export
from exports.registry import Registry
from notifications.api import notify


def ready(export: Export, dataset: Dataset, kind: Format) -> None:
    """The file can be fetched."""
    notify(
        export.owner,
        "export_ready",
        dedupe_key=f"export-ready:{export.uuid}:{export.attempt}",
        context={
            "dataset_label": str(dataset.label),
            "format_label": str(kind.label),
            "filename": export.filename,
            "rows": export.rows,
            "size_text": filesizeformat(export.size or 0),
            "period": export.period_label,
            "expires_at": _expiry(export),
        },
        link=export.get_absolute_url(),
    )


def failed(export: Export) -> None:
    """It will not come, and why."""
    notify(
        export.owner,
        "export_failed",
        dedupe_key=f"export-failed:{export.uuid}:{export.attempt}",
        context={
            "dataset_label": _label(datasets, export.dataset),
            "format_label": _label(formats, export.format),
            "period": export.period_label,
            "reason": export.error_message,
        },
        link=export.get_absolute_url(),
    )


def expiring(export: Export) -> None:
    """The file goes soon and nobody has fetched it."""
    notify(
        export.owner,
        "export_expiring",
        dedupe_key=f"export-expiring:{export.uuid}:{export.attempt}",
        context={
            "dataset_label": _label(datasets, export.dataset),
            "filename": export.filename,
            "expires_at": _expiry(export),
        },
        link=export.get_absolute_url(),
    )


def _expiry(export: Export) -> str:
    """The moment on the owner's clock, in words: "27 November 2026, 14:00 CET"."""
    if export.expires_at is None:
        return ""
    local = export.expires_at.astimezone(export.zone)
    return f"{date_format(local, 'j F Y, H:i')} {local.tzname()}"


def _label(registry: Registry[Any], key: str) -> str:
    """The label of `key`, or the key itself when its code is gone."""
    try:
        return str(registry.get(key).label)
    except ExportError:
        return key
