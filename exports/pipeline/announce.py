"""Notify owners of the state of their exports. Each notification is written in the transaction of the state change."""

from __future__ import annotations

import logging
from contextlib import suppress
from datetime import datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ObjectDoesNotExist
from django.template.defaultfilters import filesizeformat
from django.utils import translation

from durable.users import name_of
from exports.formats.labels import dataset_label, filter_line, format_label
from exports.models import Export
from exports.models.export import subject_model
from notifications.api import notify
from notifications.dates import moment_with_zone
from notifications.links import page_path

logger = logging.getLogger(__name__)


def ready(export: Export) -> None:
    """Notify the owner that the file can be downloaded."""
    _notify(
        export,
        "export_ready",
        dedupe_key=f"export-ready:{export.uuid}:{export.attempt}",
        context={
            "dataset_label": dataset_label(export),
            "filters": filter_line(export),
            "format_label": format_label(export),
            "filename": export.filename,
            "rows": export.rows,
            "size_text": filesizeformat(export.total_size or 0),
            "period": export.period_label,
            "expires_at": _expiry(export),
        },
    )


def on_behalf(export: Export) -> None:
    """Tell a user that somebody else has requested an export of their data. Teams are not told."""
    if export.subject_model != subject_model(get_user_model()):
        return
    logger.info("User %s exports the data of user %s: %s.", export.owner_id, export.subject_key, export)
    notify(
        export.data_owner,
        "export_on_behalf",
        dedupe_key=f"export-on-behalf:{export.uuid}",
        context={
            "dataset_label": dataset_label(export),
            "by": name_of(export.owner),
            "requested_at": _local(export, export.requested_at),
            "period": export.period_label,
        },
    )


def failed(export: Export) -> None:
    """Notify the owner that the export failed, with the reason."""
    _notify(
        export,
        "export_failed",
        dedupe_key=f"export-failed:{export.uuid}:{export.attempt}",
        context={
            "dataset_label": dataset_label(export),
            "filters": filter_line(export),
            "format_label": format_label(export),
            "period": export.period_label,
            "reason": export.error_message,
        },
    )


def expiring(export: Export) -> None:
    """Notify the owner that the file will be deleted soon and has not been downloaded."""
    _notify(
        export,
        "export_expiring",
        dedupe_key=f"export-expiring:{export.uuid}:{export.attempt}",
        context={
            "dataset_label": dataset_label(export),
            "filters": filter_line(export),
            "filename": export.filename,
            "expires_at": _expiry(export),
        },
    )


def _notify(export: Export, kind: str, **message: Any) -> None:
    with suppress(ObjectDoesNotExist):  # the owner was deleted; the export will be too
        notify(export.owner, kind, link=_link(export), **message)


def _link(export: Export) -> str:
    """Return the path of the export's page, in the language of the request if the site's URLs have one."""
    with translation.override(export.language or None):
        return page_path("exports:detail", export.uuid)


def _expiry(export: Export) -> str:
    """Return the expiry time in the export's time zone, as "27 November 2026, 14:00 CET"."""
    return _local(export, export.expires_at) if export.expires_at else ""


def _local(export: Export, value: datetime) -> str:
    return moment_with_zone(value.astimezone(export.zone))
