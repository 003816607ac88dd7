"""What every page can show: the bell. A page that does not show it pays no query."""

from __future__ import annotations

from functools import cached_property

from django.http import HttpRequest

from notifications.conf import notification_settings
from notifications.models import Notification, NotificationQuerySet

MOST = 100
"""The count stops here; a page shows "99+"."""


class Bell:
    """One user's bell. It asks the database when a template first looks."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request

    @cached_property
    def _mine(self) -> NotificationQuerySet:
        user = getattr(self._request, "user", None)  # an error page may come before the sign-in is looked at
        if user is None or not user.is_authenticated:
            return Notification.objects.none()
        return Notification.objects.of(user.pk).in_app()

    @cached_property
    def unread(self) -> int:
        """How many were not read yet, 100 at the most."""
        return self._mine.unread()[:MOST].count()

    @property
    def unread_text(self) -> str:
        return f"{MOST - 1}+" if self.unread >= MOST else str(self.unread)

    @cached_property
    def latest(self) -> list[Notification]:
        return list(self._mine.recent_first()[: notification_settings().in_bell])


def bell(request: HttpRequest) -> dict[str, Bell]:
    """Context processor: `bell.unread`, `bell.unread_text` and `bell.latest`."""
    return {"bell": Bell(request)}
