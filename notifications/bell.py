"""The bell: the latest notifications of a user, and the number of unread ones."""

from __future__ import annotations

from functools import cached_property

from notifications.conf import notification_settings
from notifications.models import Notification, NotificationQuerySet

MOST = 100
"""Maximum count of unread notifications; a page then shows "99+"."""


class Bell:
    """The bell of one user. It queries the database on first use in a template."""

    def __init__(self, user_pk: int) -> None:
        self._user_pk = user_pk

    @cached_property
    def _mine(self) -> NotificationQuerySet:
        return Notification.objects.of(self._user_pk).in_app()

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
