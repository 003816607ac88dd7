"""The kinds of notification. Each has a folder `notifications/templates/notifications/<key>/` as the channels ask."""

from dataclasses import dataclass
from datetime import timedelta

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from durable.registry import Registry
from notifications.errors import UnknownKind

IN_APP, EMAIL = "in_app", "email"
"""Keys of the channels that this app brings."""


@dataclass(frozen=True)
class Kind:
    """One kind: what people choose by in their preferences."""

    key: str
    label: str | Promise
    default_channels: frozenset[str] = frozenset({IN_APP, EMAIL})
    """Channels that are on until a user says otherwise; a channel that is new is off."""
    staff_only: bool = False
    """Only staff get it, so only staff are asked about it."""
    pause: timedelta = timedelta()
    """For so long after one has gone out, further ones with the same link stay on the site: no second e-mail."""


kinds: Registry[Kind] = Registry("kind of notification", UnknownKind)
"""In the order that the preferences page lists them."""

for kind in (
    Kind("export_ready", _("An export is ready")),
    Kind("export_failed", _("An export failed"), pause=timedelta(hours=1)),
    Kind("export_expiring", _("A file expires soon and was not downloaded")),
    Kind("weekly_report", _("The weekly usage report"), staff_only=True),
):
    kinds.add(kind)


def choices() -> list[tuple[str, str | Promise]]:
    """For model fields: a function, so that a new kind needs no migration."""
    return [(kind.key, kind.label) for kind in kinds]
