"""Send the daily summaries: a step of the sweep collects what is due and notifies the user of it once."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from django.core.exceptions import ObjectDoesNotExist

from durable.clock import Now
from durable.databases import atomic
from durable.models import WorkQuerySet
from notifications.api import notify
from notifications.kinds import DAILY, DAILY_SUMMARY
from notifications.links import page_path
from notifications.models import Delivery, Notification

BATCH = 100
"""Maximum number of users per sweep. The next sweep takes the next ones."""
LINES = 50
"""Maximum number of notifications that a summary lists. It counts the others."""
State = Delivery.State


def send_due() -> int:
    """Send the summary of each user who has a due delivery of the channel. Return the number of users."""
    waiting = _due().values_list("notification__user_id", flat=True).distinct()
    return sum(_send(user_pk) for user_pk in waiting[:BATCH])


def _due() -> WorkQuerySet[Delivery]:
    return Delivery.objects.due().filter(channel=DAILY, state=State.PENDING)


def _send(user_pk: Any) -> int:
    """Close the user's due deliveries, and create the notification whose e-mail is the summary, in one transaction."""
    with atomic(Delivery):
        of_user = Notification.objects.of(user_pk).values("pk")
        due = list(_due().filter(notification__in=of_user).select_for_update(skip_locked=True).order_by("pk"))
        told = Notification.objects.in_bulk([delivery.notification_id for delivery in due])
        read = [delivery for delivery in due if told[delivery.notification_id].read_at]
        unread = [delivery for delivery in due if not told[delivery.notification_id].read_at]
        _close(read, state=State.SKIPPED, error_code="read", error_message="The user has read it on the site.")
        if unread:  # none if another worker has them
            _summarise([told[delivery.notification_id] for delivery in unread], key=f"daily:{unread[0].message_id}")
            _close(unread, state=State.SENT, sent_at=Now())
    return int(bool(unread))


def _close(deliveries: list[Delivery], **fields: Any) -> None:
    rows = Delivery.objects.filter(pk__in=[delivery.pk for delivery in deliveries])
    rows.update(next_attempt_at=None, **fields)


def _summarise(told: list[Notification], key: str) -> None:
    lines = [{"text": notification.text, "link": notification.link} for notification in told[:LINES]]
    context = {"lines": lines, "count": len(told), "more": len(told) - len(lines)}
    with suppress(ObjectDoesNotExist):  # the user was deleted
        notify(told[0].user, DAILY_SUMMARY, dedupe_key=key, context=context, link=page_path("notifications:list"))
