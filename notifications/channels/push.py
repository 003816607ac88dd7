"""Web push: messages that browsers show, also when no page of the site is open (RFC 8030, 8291, 8292)."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from email.utils import parseaddr
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.translation import gettext_lazy as _

from notifications.channels.base import Channel, channels, inactive
from notifications.conf import notification_settings
from notifications.errors import DeliveryError
from notifications.kinds import Kind
from notifications.links import absolute, page_path
from notifications.models import Delivery, PushSubscription
from notifications.rendering import one_line, render

KEPT = 24 * 60 * 60
"""Seconds for which the push service keeps a message for a browser that is off."""
TITLE, TEXT = 150, 500
"""Characters of a message. A push service must accept 4096 bytes, and a character may have 4."""
GONE = (404, 410)
OURS = (401, 403, 408, 429)
"""Answers of the 400s that another attempt may change: the key can be corrected, and a limit passes."""


@channels.register_with("http_ece", extra="push")
class Push(Channel):
    key, label = "push", _("In browsers")
    quiet = True
    templates = ("subject.txt", "in_app.txt")

    def on_by_default(self, kind: Kind) -> bool:
        """Whoever subscribes wants everything, unless a preference says otherwise."""
        return True

    def offered(self, user: AbstractBaseUser) -> bool:
        return PushSubscription.objects.of(user.pk).exists()

    def targets(self, user: AbstractBaseUser) -> Sequence[str]:
        return PushSubscription.objects.of(user.pk).targets()

    def unreachable(self, user: AbstractBaseUser) -> str:
        return inactive(user)

    def fault(self) -> str:
        return key_fault()

    def preferences(self, request: HttpRequest) -> str:
        if not notification_settings().vapid_private_key or key_fault():
            return ""
        mine = PushSubscription.objects.of(request.user.pk).order_by("pk")
        return render_to_string("notifications/push.html", {"browsers": mine, "public_key": public_key()}, request)

    def deliver(self, delivery: Delivery) -> None:
        from notifications.outgoing import NoAnswer, post  # needs httpcore, and the module is imported without it

        subscription = PushSubscription.objects.filter(pk=delivery.target).first()
        if subscription is None:
            raise DeliveryError("The browser is no longer subscribed.", permanent=True, code="push_gone")
        headers = {
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
            "TTL": str(KEPT),
            "Topic": delivery.message_id.hex,  # a copy replaces the message that waits at the push service
            "Urgency": "normal",
            "Authorization": _authorization(subscription.endpoint),
        }
        body = encrypted(_message(delivery), subscription)
        delivery.hold()
        try:
            answer = post(subscription.endpoint, headers, body)
        except NoAnswer as error:
            words = f"The push service did not answer. {error}"
            raise DeliveryError(words, permanent=False, code="push_unreachable") from error
        if answer.status in GONE:
            subscription.delete()
            raise DeliveryError("The browser has ended its subscription.", permanent=True, code="push_gone")
        if not 200 <= answer.status < 300:
            words = f"The push service answered {answer.status}: {one_line(answer.body.decode(errors='replace'))}"
            permanent = 400 <= answer.status < 500 and answer.status not in OURS
            raise DeliveryError(words, permanent=permanent, code="push_refused")


def _message(delivery: Delivery) -> bytes:
    """Return what the service worker shows: the title, and the options of showNotification()."""
    notification = delivery.notification
    title = one_line(render(notification.kind, "subject.txt", notification.context))
    message = {
        "title": title[:TITLE],
        "body": notification.text[:TEXT],
        "tag": delivery.message_id.hex,
        "data": absolute(page_path("notifications:open", notification.pk)),
    }
    return json.dumps(message, ensure_ascii=False).encode()


def encrypted(message: bytes, subscription: PushSubscription) -> bytes:
    """Return the message as only the browser can read it."""
    import http_ece
    from cryptography.hazmat.primitives.asymmetric import ec

    return bytes(
        http_ece.encrypt(
            message,
            private_key=ec.generate_private_key(ec.SECP256R1()),
            dh=from_base64url(subscription.p256dh),
            auth_secret=from_base64url(subscription.auth),
            version="aes128gcm",
        )
    )


def _authorization(endpoint: str) -> str:
    """Return the header that identifies this site to the push service of the endpoint."""
    parts = urlsplit(endpoint)
    claims = {"aud": f"{parts.scheme}://{parts.netloc}", "sub": _contact()}
    try:
        return str(_vapid().sign(claims)["Authorization"])
    except ValueError as error:
        raise DeliveryError(str(error), permanent=False, code="push_key") from error


def _contact() -> str:
    return notification_settings().vapid_contact or f"mailto:{parseaddr(settings.DEFAULT_FROM_EMAIL)[1]}"


def _vapid() -> Any:
    """Return the site's key pair. Raises ValueError, which says how to make one."""
    from py_vapid import Vapid02

    text = notification_settings().vapid_private_key
    try:
        if len(from_base64url(text)) == 32:
            return Vapid02.from_raw(text.encode())
    except ValueError:  # no base64, or a number that is no key
        pass
    raise ValueError("CARRYALL['VAPID_PRIVATE_KEY'] is no key: make one with `manage.py vapid_key`.")


def key_fault() -> str:
    """Return what is wrong with VAPID_PRIVATE_KEY and how to correct it, or ""."""
    try:
        if notification_settings().vapid_private_key:
            _vapid()
    except ValueError as error:
        return str(error)
    return ""


def public_key() -> str:
    """Return the public key of the site, with which browsers subscribe, in base64url. Raises ValueError."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    point = _vapid().public_key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return base64.urlsafe_b64encode(point).decode().rstrip("=")


def from_base64url(text: str) -> bytes:
    """Return the bytes of a text with or without padding. Raises ValueError."""
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars="-_", validate=True)
