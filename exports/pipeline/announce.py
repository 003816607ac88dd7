"""Notify owners of the state of their exports. Each notification is written in the transaction of the state change."""

from __future__ import annotations

from django.template.defaultfilters import filesizeformat
from django.utils.formats import date_format

from exports.formats.labels import dataset_label, format_label
from exports.models import Export
from notifications.api import notify


def ready(export: Export) -> None:
    """Notify the owner that the file can be downloaded."""
    notify(
        export.owner,
        "export_ready",
        dedupe_key=f"export-ready:{export.uuid}:{export.attempt}",
        context={
            "dataset_label": dataset_label(export),
            "format_label": format_label(export),
            "filename": export.filename,
            "rows": export.rows,
            "size_text": filesizeformat(export.total_size or 0),
            "period": export.period_label,
            "expires_at": _expiry(export),
        },
        link=export.get_absolute_url(),
    )


def failed(export: Export) -> None:
    """Notify the owner that the export failed, with the reason."""
    notify(
        export.owner,
        "export_failed",
        dedupe_key=f"export-failed:{export.uuid}:{export.attempt}",
        context={
            "dataset_label": dataset_label(export),
            "format_label": format_label(export),
            "period": export.period_label,
            "reason": export.error_message,
        },
        link=export.get_absolute_url(),
    )


def expiring(export: Export) -> None:
    """Notify the owner that the file will be deleted soon and has not been downloaded."""
    notify(
        export.owner,
        "export_expiring",
        dedupe_key=f"export-expiring:{export.uuid}:{export.attempt}",
        context={
            "dataset_label": dataset_label(export),
            "filename": export.filename,
            "expires_at": _expiry(export),
        },
        link=export.get_absolute_url(),
    )


def _expiry(export: Export) -> str:
    """Return the expiry time in the export's time zone, as "27 November 2026, 14:00 CET"."""
    if export.expires_at is None:
        return ""
    local = export.expires_at.astimezone(export.zone)
    return f"{date_format(local, 'j F Y, H:i')} {local.tzname()}"
