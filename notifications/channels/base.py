"""The base class of channels, and their registry."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser
from django.utils.functional import Promise

from durable.registry import Registry
from notifications.errors import UnknownChannel

if TYPE_CHECKING:
    from notifications.models import Delivery


class Channel(ABC):
    """One way to notify a user. Subclasses set the class variables and implement `deliver`."""

    key: ClassVar[str]
    label: ClassVar[str | Promise]
    immediate: ClassVar[bool] = False
    """True if the row of the notification is itself the delivery, so that it is created as sent."""
    templates: ClassVar[tuple[str, ...]] = ()
    """Template files that each kind must have in its folder. A system check verifies them."""

    def unreachable(self, user: AbstractBaseUser) -> str:
        """Return why this user cannot be notified through this channel, in a sentence, or ""."""
        return ""

    def fault(self) -> str:
        """Return why this channel does not work at present and how to fix it, in a sentence, or "".

        `manage.py doctor` prints it. Check the server of the channel without sending anything, and limit every wait.
        """
        return ""

    @abstractmethod
    def deliver(self, delivery: Delivery) -> None:
        """Send the notification once. Raises DeliveryError: permanent if a retry cannot help.

        Call `delivery.hold()` immediately before the request that sends it: it raises LeaseLost if another attempt has
        started in the meantime. `delivery.message_id` is the same in each attempt, for servers that deduplicate. Any
        other exception is treated as temporary.
        """


channels: Registry[Channel] = Registry("channel", UnknownChannel)
