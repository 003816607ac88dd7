"""The contract of a channel, and the registry."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ImproperlyConfigured
from django.utils.functional import Promise

from notifications.errors import UnknownChannel

if TYPE_CHECKING:
    from notifications.models import Delivery


class Channel(ABC):
    """One way to tell a user. Subclasses name the class variables and deliver."""

    key: ClassVar[str]
    label: ClassVar[str | Promise]
    immediate: ClassVar[bool] = False
    """True when the notification's row is itself the delivery: it is sent from the start, exactly once."""
    templates: ClassVar[tuple[str, ...]] = ()
    """Files that each kind must have in its folder; a system check looks."""

    def unreachable(self, user: AbstractBaseUser) -> str:
        """Why this user cannot be told through this channel, in a sentence; empty when there is no reason."""
        return ""

    def fault(self) -> str:
        """What keeps this channel from working now, and how to fix it, in a sentence; empty when nothing does.

        `manage.py doctor` prints it. Look at the server behind the channel, send nothing, and bound every wait.
        """
        return ""

    @abstractmethod
    def deliver(self, delivery: Delivery) -> None:
        """Send it, once, and return; or raise DeliveryError, permanent when trying again cannot help.

        Call `delivery.hold()` as late as you can before the request that sends it: it raises LeaseLost when another
        attempt has begun in the meantime. `delivery.message_id` is the same in each attempt, for a server that can
        recognise it. Anything else raised counts as temporary.
        """


class Channels:
    """Channels by key, in the order of their keys."""

    def __init__(self) -> None:
        self._entries: dict[str, Channel] = {}

    def register(self, kind: type[Channel]) -> type[Channel]:
        """Class decorator: one instance of `kind` under its key.

        Raises ImproperlyConfigured when another class has the key.
        """
        holder = self._entries.get(kind.key)
        if holder is not None and type(holder).__qualname__ != kind.__qualname__:
            raise ImproperlyConfigured(
                f"The channel key {kind.key!r} of {kind.__module__}.{kind.__qualname__} is taken by "
                f"{type(holder).__module__}.{type(holder).__qualname__}: choose another key."
            )
        self._entries[kind.key] = kind()
        return kind

    def get(self, key: str) -> Channel:
        """The channel of `key`. Raises UnknownChannel, naming those that exist."""
        try:
            return self._entries[key]
        except KeyError:
            known = ", ".join(sorted(self._entries)) or "none"
            raise UnknownChannel(f"There is no channel {key!r}. There is: {known}.") from None

    def unregister(self, key: str) -> None:
        """Take `key` out, if it is in; for tests that register their own."""
        self._entries.pop(key, None)

    def __iter__(self) -> Iterator[Channel]:
        return iter([self._entries[key] for key in sorted(self._entries)])


channels = Channels()
