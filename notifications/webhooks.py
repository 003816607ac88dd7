"""Tell the owners of webhooks that have ended."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ObjectDoesNotExist

from durable import users
from durable.databases import atomic
from notifications.api import notify
from notifications.links import page_path
from notifications.models import Webhook

BATCH = 100
"""Maximum number of webhooks per sweep."""


def announce_ended() -> int:
    """Notify the owner of each webhook that has ended since the last call. Return the number of webhooks."""
    ended = Webhook.objects.filter(ended_at__isnull=False, announced=False)
    return sum(_announce(webhook) for webhook in ended[:BATCH])


def _announce(webhook: Webhook) -> int:
    with atomic(Webhook):
        told = Webhook.objects.filter(pk=webhook.pk, ended_at__isnull=False, announced=False).update(announced=True)
        for user in _owners(webhook) if told else ():
            notify(
                user,
                "webhook_ended",
                dedupe_key=f"webhook-ended:{webhook.pk}:{webhook.ended_at:%Y%m%d%H%M%S%f}:{user.pk}",
                context={"webhook": webhook.url, "reason": webhook.end_reason},
                link=_page(webhook),
            )
    return told


def _owners(webhook: Webhook) -> Iterable[AbstractBaseUser]:
    """Return the user, or for a webhook of the site the staff who may change it."""
    if webhook.user_id is None:
        return users.staff("notifications.change_webhook")
    with suppress(ObjectDoesNotExist):
        return [webhook.user] if webhook.user else []
    return []


def _page(webhook: Webhook) -> str:
    if webhook.user_id is None:
        return page_path("admin:notifications_webhook_change", webhook.pk)
    return page_path("notifications:webhook", webhook.pk)
