"""SMS and chat through Apprise (github.com/caronc/apprise), which knows the interfaces of over a hundred services.

`chat` sends to users: through the site's URLs with {to}, and to URLs of their own. `site_chat` sends the notifications
of all users through the site's other URLs.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlsplit

from django.contrib.auth.base_user import AbstractBaseUser
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.translation import gettext_lazy as _

from durable import clock
from notifications.channels.base import Channel, channels, inactive
from notifications.conf import notification_settings
from notifications.errors import DeliveryError
from notifications.kinds import Kind
from notifications.links import absolute
from notifications.models import ChatAddress, Delivery
from notifications.rendering import one_line, render

TO = "{to}"
WAIT = 4.0
"""Seconds to wait for a service, for the connection and for each part of its answer."""


class _Chat(Channel):
    templates = ("subject.txt", "in_app.txt")

    def url(self, delivery: Delivery) -> str:
        """Return the URL of the delivery's target, or "" if it is gone."""
        raise NotImplementedError

    def deliver(self, delivery: Delivery) -> None:
        import apprise

        service = service_of(self.url(delivery))
        if service is None:
            words = "The address was removed, or is no longer allowed."
            raise DeliveryError(words, permanent=True, code="chat_gone")
        notification = delivery.notification
        title = one_line(render(notification.kind, "subject.txt", notification.context))
        text = "\n".join(filter(None, [notification.text, absolute(notification.link)]))
        sender = apprise.Apprise()
        sender.add(service)
        delivery.hold()
        with apprise.LogCapture(level=logging.WARNING, fmt="%(message)s") as log:  # type: ignore[no-untyped-call]
            sent = bool(sender.notify(title=title, body=text))
            said = one_line(log.getvalue())
        if not sent:
            raise DeliveryError(f"The service took no message. {said}", permanent=False, code="chat_refused")


@channels.register_with("apprise", extra="chat")
class UserChat(_Chat):
    key, label = "chat", _("By SMS or chat")
    quiet = True

    def offered(self, user: AbstractBaseUser) -> bool:
        return bool(self.targets(user))

    def targets(self, user: AbstractBaseUser) -> Sequence[str]:
        own = [str(row.pk) for row in ChatAddress.objects.of(user.pk).order_by("pk") if is_allowed(row.url)]
        return [*own, *(digest(url) for url in _site_urls(personal=True) if number_of(user))]

    def unreachable(self, user: AbstractBaseUser) -> str:
        return inactive(user)

    def url(self, delivery: Delivery) -> str:
        user, target = delivery.notification.user, delivery.target
        for url in _site_urls(personal=True):
            if digest(url) == target and number_of(user):
                return url.replace(TO, quote(number_of(user), safe=""))
        row = ChatAddress.objects.of(user.pk).filter(pk=target).first() if target.isdecimal() else None
        return row.url if row is not None and is_allowed(row.url) else ""

    def deliver(self, delivery: Delivery) -> None:
        limit = notification_settings().chat_per_month
        if sent_this_month(delivery.notification.user) >= limit:
            raise DeliveryError(f"The limit of {limit} messages a month is reached.", permanent=True, code="chat_limit")
        super().deliver(delivery)

    def preferences(self, request: HttpRequest) -> str:
        schemes = notification_settings().chat_schemes
        mine = list(ChatAddress.objects.of(request.user.pk).order_by("pk"))
        if not schemes and not mine:
            return ""
        rows = [(row, shown(row.url)) for row in mine]
        return render_to_string("notifications/chat.html", {"rows": rows, "schemes": schemes}, request)


@channels.register_with("apprise", extra="chat")
class SiteChat(_Chat):
    key, label = "site_chat", _("By chat of the site")

    def on_by_default(self, kind: Kind) -> bool:
        return True

    def offered(self, user: AbstractBaseUser) -> bool:
        return False

    def targets(self, user: AbstractBaseUser) -> Sequence[str]:
        return [digest(url) for url in _site_urls(personal=False)]

    def url(self, delivery: Delivery) -> str:
        return next((url for url in _site_urls(personal=False) if digest(url) == delivery.target), "")


def _site_urls(*, personal: bool) -> list[str]:
    return [url for url in notification_settings().chat_urls if (TO in url) is personal]


def digest(url: str) -> str:
    """Return the name of a URL of the site in rows: the URL has secrets. It is not decimal, as keys of rows are."""
    return "x" + hashlib.sha256(url.encode()).hexdigest()[:32]


def number_of(user: AbstractBaseUser) -> str:
    return notification_settings().chat_number_of(user)


def is_allowed(url: str) -> bool:
    """Return whether users may have an address with this scheme."""
    return urlsplit(url).scheme in notification_settings().chat_schemes


def service_of(url: str) -> Any:
    """Return Apprise's object for one URL, or None if it is wrong. Options in the URL do not prolong the waits."""
    import apprise

    service = apprise.Apprise.instantiate(url) if url else None
    if service is not None:
        service.socket_connect_timeout = service.socket_read_timeout = WAIT
        service.retry = 0
    return service


def shown(url: str) -> str:
    """Return a URL with its secrets hidden."""
    service = service_of(url)
    return "" if service is None else str(service.url(privacy=True)).partition("?")[0]


def sent_this_month(user: AbstractBaseUser) -> int:
    """Return the number of messages that were sent to the user this month, in their time zone."""
    local = clock.now().astimezone(notification_settings().zone_of(user))
    start = local.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    sent = Delivery.objects.filter(channel=UserChat.key, state=Delivery.State.SENT, sent_at__gte=start)
    return sent.filter(notification__user_id=user.pk).count()
