"""Errors of notifications. `permanent` alone decides whether a delivery is retried."""

from __future__ import annotations

from durable.databases import storable

LONGEST = 500
"""Maximum length of a message in characters: replies of mail servers can be long."""


class NotificationError(Exception):
    """Base class of the errors of this app."""


class UnknownKind(NotificationError, LookupError):
    """The kind of notification is not registered."""


class UnknownChannel(NotificationError, LookupError):
    """The channel is not registered; its module may have been removed."""


class DeliveryError(NotificationError):
    """An attempt through a channel failed. The message tells operators why."""

    def __init__(self, message: str, *, permanent: bool, code: str = "failed") -> None:
        self.message = storable(message)[:LONGEST]
        self.permanent = permanent
        self.code = code
        super().__init__(self.message)

    def __reduce__(self) -> tuple[object, tuple[str, bool, str]]:
        return _revive, (self.message, self.permanent, self.code)


def _revive(message: str, permanent: bool, code: str) -> DeliveryError:
    return DeliveryError(message, permanent=permanent, code=code)
