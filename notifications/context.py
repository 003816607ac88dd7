"""Context processor with the bell for every page. It makes no query on pages that do not show the bell."""

from __future__ import annotations

from functools import cached_property

from django.http import HttpRequest

from notifications.conf import notification_settings
from notifications.models import Notification, NotificationQuerySet

MOST = 100
"""Maximum count of unread notifications; a page then shows "99+"."""


class Bell:
    """The bell of one user. It queries the database on first use in a template."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request

    @cached_property
    def _mine(self) -> NotificationQuerySet:
        user = getattr(
            self._request, "user", None
        )  # missing on an error page rendered before the authentication middleware
        if user is None or not user.is_authenticated:
            return Notification.objects.none()
        return Notification.objects.of(user.pk).in_app()

    @cached_property
    def unread(self) -> int:
        """The number of unread notifications, at most 100."""
        return self._mine.unread()[:MOST].count()

    @property
    def unread_text(self) -> str:
        return f"{MOST - 1}+" if self.unread >= MOST else str(self.unread)

    @cached_property
    def latest(self) -> list[Notification]:
        return list(self._mine.recent_first()[: notification_settings().in_bell])


def bell(request: HttpRequest) -> dict[str, Bell]:
    """Provide `bell.unread`, `bell.unread_text` and `bell.latest` to templates."""
    return {"bell": Bell(request)}
