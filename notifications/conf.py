"""The app's typed settings over one `NOTIFICATIONS` dict, read live so that override_settings works."""

from dataclasses import dataclass
from typing import Any

from django.conf import settings


@dataclass(frozen=True)
class NotificationSettings:
    """Every setting, with its default."""

    site_url: str = ""
    """The site's public address without a slash at its end; links in mails start with it."""
    attachment_storage: str = "exports"
    """Alias of the storage that a notification's attachment lies in."""
    attachment_max_bytes: int = 10_000_000
    """Most mail servers refuse more; a larger attachment fails the mail with a reason."""
    mail_patience: float = 30.0
    """Seconds for each of a connected mail server's answers; a message that it takes later than that is sent twice."""
    slow_after: float = 2.0
    """Seconds after which an attempt under way counts as slow: the channel's others wait until it has ended."""
    in_bell: int = 5
    """How many of the latest notifications the bell shows."""
    per_page: int = 25


def notification_settings() -> NotificationSettings:
    """The settings as they are now. Raises TypeError on a key that does not exist."""
    given: dict[str, Any] = getattr(settings, "NOTIFICATIONS", {})
    return NotificationSettings(**{key.lower(): value for key, value in given.items()})
