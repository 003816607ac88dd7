"""Typed settings of the notifications app, and of what the pages of both apps share: keys of the `CARRYALL` dict."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.utils.module_loading import import_string

from durable.conf import app_settings, read


@app_settings
@dataclass(frozen=True)
class NotificationSettings:
    """All settings, with their defaults."""

    site_url: str = ""
    """The site's public URL without a trailing slash; links in mails start with it."""
    attachment_storage: str | None = None
    """Entry of STORAGES for attachments; None means the storage of exports."""
    attachment_max_bytes: int = 10_000_000
    """Maximum size of an attachment; a larger one fails the mail. Most mail servers refuse more."""
    mail_patience: float = 30.0
    """Timeout in seconds for each reply of a connected mail server. A message accepted later is sent twice."""
    slow_after: float = 2.0
    """Seconds after which a running attempt counts as slow: other deliveries of its channel wait until it has ended."""
    user_time_zone: str | None = None
    """Dotted path of `time_zone(user) -> str`, which returns an IANA name; None means settings.TIME_ZONE."""
    base_template: str = ""
    """The template whose blocks `title` and `content` our pages fill. Empty means base.html, or a page of our own if
    the site has no base.html."""
    webhooks_per_user: int = 0
    """Number of webhooks that a user may have. Staff add those of the site in the admin. Needs `carryall[webhooks]`."""
    webhook_allow_http: bool = False
    """Whether URLs of webhooks may be http, not only https. With DEBUG they may."""
    webhook_allowed_networks: Sequence[str] = ()
    """Networks that are not public and that webhooks and push messages may go to, such as "10.1.0.0/16"."""
    vapid_private_key: str = ""
    """Private key of push messages, made by `manage.py vapid_key`. Empty: there are none. Needs `carryall[push]`."""
    vapid_contact: str = ""
    """Where the operators of push services reach you, as "mailto:..." or a URL. Empty: DEFAULT_FROM_EMAIL."""
    chat_urls: Sequence[str] = ()
    """Apprise URLs of the site. One with {to}, such as that of an SMS service, is for users; any other gets the
    notifications of all. Needs `carryall[chat]`."""
    chat_to: str | None = None
    """Dotted path of `number(user) -> str`, which returns what {to} stands for, such as "+43660123456", or ""."""
    chat_schemes: Sequence[str] = ()
    """Schemes of Apprise URLs that users may add themselves, such as "tgram"."""
    chat_per_month: int = 100
    """Messages by SMS and chat that a user may get in a month of the calendar."""
    default_channels: Mapping[str, Collection[str]] = field(default_factory=dict)
    """Kind of notification -> channels that are on until a user chooses, instead of those of the kind:
    {"export_ready": ["in_app"]}."""
    daily_summary_at: str = "08:00"
    """Time of day, in the user's time zone, of the mail of users who choose a daily summary. Empty: nobody can."""
    in_bell: int = 5
    """Number of notifications in the bell."""
    per_page: int = 25

    def time_zone_of(self, user: AbstractBaseUser) -> str:
        """Return the IANA name of the user's time zone."""
        if self.user_time_zone is None:
            return str(settings.TIME_ZONE)
        return str(import_string(self.user_time_zone)(user))

    def chat_number_of(self, user: AbstractBaseUser) -> str:
        """Return the user's number for {to}, or ""."""
        return "" if self.chat_to is None else str(import_string(self.chat_to)(user) or "")

    def zone_of(self, user: AbstractBaseUser) -> ZoneInfo:
        """Return the user's time zone, or the site's if the name is invalid, so that no page fails."""
        try:
            return ZoneInfo(self.time_zone_of(user))
        except (KeyError, ValueError, OSError):  # unknown; outside the folder of zones; a folder itself
            return ZoneInfo(str(settings.TIME_ZONE))


def notification_settings() -> NotificationSettings:
    """Return the current settings."""
    return read(NotificationSettings)
