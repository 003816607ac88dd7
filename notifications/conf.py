"""Typed settings of the notifications app, from the `NOTIFICATIONS` dict. They are read live, for override_settings."""

from dataclasses import dataclass
from typing import Any

from django.conf import settings


@dataclass(frozen=True)
class NotificationSettings:
    """All settings, with their defaults."""

    site_url: str = ""
    """The site's public URL without a trailing slash; links in mails start with it."""
    attachment_storage: str = "exports"
    """Alias of the storage of attachments."""
    attachment_max_bytes: int = 10_000_000
    """Maximum size of an attachment; a larger one fails the mail. Most mail servers refuse more."""
    mail_patience: float = 30.0
    """Timeout in seconds for each reply of a connected mail server. A message accepted later is sent twice."""
    slow_after: float = 2.0
    """Seconds after which a running attempt counts as slow: other deliveries of its channel wait until it has ended."""
    in_bell: int = 5
    """Number of notifications in the bell."""
    per_page: int = 25


def notification_settings() -> NotificationSettings:
    """Return the current settings. Raises TypeError for an unknown key."""
    given: dict[str, Any] = getattr(settings, "NOTIFICATIONS", {})
    return NotificationSettings(**{key.lower(): value for key, value in given.items()})
