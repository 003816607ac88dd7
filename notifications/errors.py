"""What can go wrong with a notification. `permanent` alone decides whether a delivery is tried again."""

from __future__ import annotations

LONGEST = 500
"""Characters of a message; mail servers can be talkative."""


def storable(text: str) -> str:
    """`text` as every database takes it: without NUL and without half of a surrogate pair."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()


class NotificationError(Exception):
    """The root of this app's errors."""


class UnknownKind(NotificationError, LookupError):
    """There is no such kind of notification."""


class UnknownChannel(NotificationError, LookupError):
    """There is no such channel; perhaps its module was removed."""


class DeliveryError(NotificationError):
    """One attempt through a channel failed. The message says why, for the person who runs the site."""

    def __init__(self, message: str, *, permanent: bool, code: str = "failed") -> None:
        self.message = storable(message)[:LONGEST]
        self.permanent = permanent
        self.code = code
        super().__init__(self.message)

    def __reduce__(self) -> tuple[object, tuple[str, bool, str]]:
        return _revive, (self.message, self.permanent, self.code)


def _revive(message: str, permanent: bool, code: str) -> DeliveryError:
    return DeliveryError(message, permanent=permanent, code=code)
