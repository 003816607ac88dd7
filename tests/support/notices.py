"""Users and notifications for tests, with contexts like those of the exports app."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User

from notifications.api import notify
from notifications.models import Delivery, Notification

CONTEXTS: dict[str, dict[str, Any]] = {
    "export_ready": {
        "dataset_label": "Orders",
        "format_label": "CSV",
        "filename": "orders-2026.csv",
        "rows": 160_000,
        "size_text": "21.4 MB",
        "expires_at": "2026-08-03T14:00:00+00:00",
        "period": "1 January to 27 July 2026",
    },
    "export_failed": {
        "dataset_label": "Orders",
        "format_label": "PDF",
        "period": "2026",
        "reason": "There was no room left to store the file.",
    },
    "export_on_behalf": {
        "dataset_label": "Orders",
        "by": "Sam Staff",
        "period": "2026",
        "requested_at": "27 July 2026, 14:00 CEST",
    },
    "export_expiring": {
        "dataset_label": "Orders",
        "filename": "orders-2026.csv",
        "expires_at": "2026-08-03T14:00:00+00:00",
    },
    "daily_summary": {"lines": [{"text": "An export is ready.", "link": "/exports/1/"}], "count": 1, "more": 0},
    "webhook_ended": {"webhook": "https://example.com/hook", "reason": "It answered 410 (Gone)."},
    "weekly_report": {"week": "2026-W30", "exports": 12, "rows": 1_000_000, "bytes_text": "1.2 GB"},
}


def make_user(name: str = "ada", email: str | None = None, **fields: Any) -> User:
    """Create a user, with the address `<name>@example.com` unless `email` is given."""
    address = f"{name}@example.com" if email is None else email
    return User.objects.create_user(name, address, "password", **fields)


def tell(user: User, kind: str = "export_failed", key: str = "fact", **options: Any) -> Notification:
    """Call `notify` with a context that fits the templates of the kind."""
    context = CONTEXTS[kind] | options.pop("context", {})
    link = "/exports/1/" if key == "fact" else f"/exports/{key}/"  # another key is about another export
    notification = notify(user, kind, dedupe_key=key, context=context, **({"link": link} | options))
    assert notification is not None
    return notification


def mail_of(notification: Notification) -> Delivery:
    """Return the notification's e-mail delivery, read from the database."""
    return Delivery.objects.get(notification=notification, channel="email")
