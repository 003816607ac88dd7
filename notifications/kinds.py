"""The kinds of notification. Each has a folder `notifications/templates/notifications/<key>/` as the channels ask."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

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


class Kinds:
    """The kinds by key, in the order in which people see them."""

    def __init__(self, *kinds: Kind) -> None:
        self._entries = {kind.key: kind for kind in kinds}

    def get(self, key: str) -> Kind:
        """The kind of `key`. Raises UnknownKind, naming those that exist."""
        try:
            return self._entries[key]
        except KeyError:
            known = ", ".join(self._entries)
            raise UnknownKind(f"There is no kind of notification {key!r}. Choose one of: {known}.") from None

    def __iter__(self) -> Iterator[Kind]:
        return iter(self._entries.values())


kinds = Kinds(
    Kind("export_ready", _("An export is ready")),
    Kind("export_failed", _("An export failed"), pause=timedelta(hours=1)),
    Kind("export_expiring", _("A file expires soon and was not downloaded")),
    Kind("weekly_report", _("The weekly usage report"), staff_only=True),
)


def choices() -> list[tuple[str, str | Promise]]:
    """For model fields: a function, so that a new kind needs no migration."""
    return [(kind.key, kind.label) for kind in kinds]
