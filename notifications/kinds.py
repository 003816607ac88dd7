"""The kinds of notification. Each has a folder `notifications/templates/notifications/<key>/` with its templates."""

from dataclasses import dataclass
from datetime import timedelta

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from durable.registry import Registry
from notifications.errors import UnknownKind

IN_APP, EMAIL, DAILY = "in_app", "email", "daily"
"""Keys of the built-in channels."""
DAILY_SUMMARY = "daily_summary"
"""Key of the kind that `notifications.summaries` sends."""


@dataclass(frozen=True)
class Kind:
    """A kind of notification, which users enable or disable in their preferences."""

    key: str
    label: str | Promise
    default_channels: frozenset[str] = frozenset({IN_APP, EMAIL})
    """Channels that are enabled by default. Channels added later are disabled."""
    staff_only: bool = False
    """Whether only staff receive it, and see it in their preferences."""
    required: bool = False
    """Whether users cannot disable it."""
    only: frozenset[str] | None = None
    """The channels that it can have; None for any."""
    pause: timedelta = timedelta()
    """Time after a delivery in which further notifications with the same link are only shown on the site."""

    def allows(self, channel: str) -> bool:
        """Return whether it can be sent through the channel with this key."""
        return self.only is None or channel in self.only


kinds: Registry[Kind] = Registry("kind of notification", UnknownKind)
"""In the order of the preferences page."""

for kind in (
    Kind("export_ready", _("An export is ready")),
    Kind("export_failed", _("An export failed"), pause=timedelta(hours=1)),
    Kind("export_expiring", _("A file expires soon and was not downloaded")),
    Kind("export_on_behalf", _("Somebody else exports your data"), required=True),
    Kind("webhook_ended", _("A webhook was switched off"), required=True),
    Kind(DAILY_SUMMARY, _("The daily summary"), frozenset({EMAIL}), required=True, only=frozenset({EMAIL})),
    Kind("weekly_report", _("The weekly usage report"), staff_only=True),
):
    kinds.add(kind)


def choices() -> list[tuple[str, str | Promise]]:
    """Return the choices of model fields. A function, so that a new kind needs no migration."""
    return [(kind.key, kind.label) for kind in kinds]
