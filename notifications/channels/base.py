"""The contract of a channel, and the registry."""

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


channels: Registry[Channel] = Registry("channel", UnknownChannel)
