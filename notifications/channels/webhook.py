"""Webhooks by Standard Webhooks (standardwebhooks.com): a signed POST request for each notification.

`webhook` sends to the URLs of the user, and `site_webhook` to those of the site, which get the notifications of all.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.translation import gettext_lazy as _

from durable import clock
from durable.clock import Now
from durable.databases import atomic, storable
from durable.retries import retry_database
from notifications.channels.base import Channel, channels, inactive
from notifications.conf import notification_settings
from notifications.errors import DeliveryError
from notifications.kinds import Kind
from notifications.links import absolute
from notifications.models import Delivery, Webhook, WebhookAttempt

GONE = 410
PATIENCE = timedelta(days=5)
"""Time after which a webhook ends that has only failed."""
LOG_KEPT = timedelta(days=30)
SLOW, REST = 1.0, 20
"""After a request of more than SLOW seconds, a webhook rests for REST times as long: it delays those of others."""
LONGEST_ANSWER = 500
"""Characters of an answer in the log."""


class _Webhooks(Channel):
    paced = False
    templates = ("in_app.txt",)

    def on_by_default(self, kind: Kind) -> bool:
        """Whoever has set a webhook up wants everything, unless a preference says otherwise."""
        return True

    def wait(self, delivery: Delivery) -> float:
        last = WebhookAttempt.objects.filter(webhook=int(delivery.target)).order_by("-at").first()
        if last is None or last.seconds <= SLOW:
            return 0.0
        rested: timedelta = clock.now() - last.at
        return last.seconds * REST - rested.total_seconds()

    def deliver(self, delivery: Delivery) -> None:
        from notifications.outgoing import NoAnswer, post  # needs httpcore, and the module is imported without it

        webhook = _open(delivery)
        body = payload(delivery)
        headers = {"Content-Type": "application/json", "User-Agent": "Carryall"} | signed(
            str(delivery.message_id), int(time.time()), body, webhook.live_secrets()
        )
        delivery.hold()
        began = time.monotonic()
        status, text = None, ""
        try:
            answer = post(webhook.url, headers, body)
            status, text = answer.status, answer.body.decode(errors="replace")
        except NoAnswer as error:
            text = str(error)
        log = {"seconds": round(time.monotonic() - began, 3), "status": status, "answer": text}
        line = retry_database(partial(_record, webhook, delivery, log), f"{delivery}, which was sent,")
        if not line.accepted:
            raise _refused(line)


@channels.register_with("httpcore", extra="webhooks")
class UserWebhooks(_Webhooks):
    key, label = "webhook", _("By webhook")

    def offered(self, user: AbstractBaseUser) -> bool:
        return Webhook.objects.of(user.pk).exists()

    def targets(self, user: AbstractBaseUser) -> Sequence[str]:
        return Webhook.objects.of(user.pk).live().targets()

    def unreachable(self, user: AbstractBaseUser) -> str:
        return inactive(user)

    def preferences(self, request: HttpRequest) -> str:
        limit = notification_settings().webhooks_per_user
        mine = list(Webhook.objects.of(request.user.pk).order_by("pk"))
        if not limit and not mine:
            return ""
        return render_to_string("notifications/webhooks.html", {"webhooks": mine, "more": len(mine) < limit}, request)


@channels.register_with("httpcore", extra="webhooks")
class SiteWebhooks(_Webhooks):
    key, label = "site_webhook", _("By webhook of the site")

    def offered(self, user: AbstractBaseUser) -> bool:
        return False

    def targets(self, user: AbstractBaseUser) -> Sequence[str]:
        return Webhook.objects.of_site().live().targets()


def _open(delivery: Delivery) -> Webhook:
    """Return the webhook of the delivery. Raises DeliveryError if it has ended or was deleted."""
    webhook = Webhook.objects.live().filter(pk=delivery.target).first()
    if webhook is None:
        raise DeliveryError("The webhook was deleted or switched off.", permanent=True, code="webhook_ended")
    return webhook


def payload(delivery: Delivery) -> bytes:
    """Return the body: the kind, the time, and what the notification is about, as JSON."""
    notification = delivery.notification
    message = {
        "type": notification.kind,
        "timestamp": notification.created_at,
        "data": {
            "user": notification.user_id,
            "text": notification.text,
            "url": absolute(notification.link),
            "context": notification.context,
        },
    }
    return json.dumps(message, cls=DjangoJSONEncoder).encode()


def signed(message_id: str, moment: int, body: bytes, keys: Iterable[str]) -> dict[str, str]:
    """Return the headers of Standard Webhooks, with a signature by each key. `moment` is in seconds since 1970."""
    content = f"{message_id}.{moment}.".encode() + body
    signatures = (hmac.digest(_bytes(key), content, hashlib.sha256) for key in keys)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(moment),
        "webhook-signature": " ".join("v1," + base64.b64encode(signature).decode() for signature in signatures),
    }


def _bytes(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix("whsec_"))


def _record(webhook: Webhook, delivery: Delivery, log: dict[str, Any]) -> WebhookAttempt:
    """Write a line of the log and how the webhook is doing, and end it if it should end."""
    log["answer"] = storable(log["answer"])[:LONGEST_ANSWER]
    mine = Webhook.objects.filter(pk=webhook.pk)
    with atomic(Webhook):
        line = WebhookAttempt.objects.create(webhook=webhook, delivery=delivery, attempt=delivery.attempt, **log)
        webhook.attempts.filter(at__lt=Now() - LOG_KEPT).delete()
        if line.accepted:
            mine.filter(failing_since__isnull=False).update(failing_since=None)
            return line
        mine.update(failing_since=Coalesce("failing_since", Now()))
        if line.status == GONE:
            mine.end("It answered 410 (Gone).")
        elif delivery.attempt >= delivery.attempt_limit:  # not by one failed request five days after another
            mine.filter(failing_since__lt=Now() - PATIENCE).end(f"No request was accepted for {PATIENCE.days} days.")
    return line


def _refused(line: WebhookAttempt) -> DeliveryError:
    """Return the error of an attempt. Any answer but 410 may be another one later."""
    if line.status is None:
        return DeliveryError(f"The webhook did not answer. {line.answer}", permanent=False, code="webhook_unreachable")
    words = f"The webhook answered {line.status}."
    return DeliveryError(words, permanent=line.status == GONE, code="webhook_refused")
