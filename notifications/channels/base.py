"""The base class of channels, and their registry."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser
from django.http import HttpRequest
from django.utils.functional import Promise

from durable import users
from durable.registry import Registry
from notifications.conf import notification_settings
from notifications.errors import UnknownChannel
from notifications.kinds import Kind
from notifications.quiet import seconds_left

if TYPE_CHECKING:
    from notifications.models import Delivery


class Channel(ABC):
    """One way to notify a user. Subclasses set the class variables and implement `deliver`."""

    key: ClassVar[str]
    label: ClassVar[str | Promise]
    immediate: ClassVar[bool] = False
    """True if the row of the notification is itself the delivery, so that it is created as sent."""
    paced: ClassVar[bool] = True
    """Whether the pause of a kind applies. False for programs, which need every fact."""
    quiet: ClassVar[bool] = False
    """Whether deliveries wait for the end of the user's quiet hours, as for channels that make a noise."""
    templates: ClassVar[tuple[str, ...]] = ()
    """Template files that each kind must have in its folder. A system check verifies them."""

    def on_by_default(self, kind: Kind) -> bool:
        """Return whether users without a preference are notified of this kind through this channel."""
        return self.key in notification_settings().default_channels.get(kind.key, kind.default_channels)

    def offered(self, user: AbstractBaseUser) -> bool:
        """Return whether this user can switch the channel on and off in the preferences."""
        return True

    def targets(self, user: AbstractBaseUser) -> Sequence[str]:
        """Return what this channel sends to for this user, such as keys of rows. Each gets a delivery of its own.

        `delivery.target` has it, in up to 40 characters. A channel with one target for each user has [""].
        """
        return ("",)

    def preferences(self, request: HttpRequest) -> str:
        """Return the channel's own part of the page of preferences, as safe HTML, or ""."""
        return ""

    def due_at(self, user: AbstractBaseUser) -> datetime | None:
        """Return when the first attempt at a new delivery to this user is due, or None: at once."""
        return None

    def unreachable(self, user: AbstractBaseUser) -> str:
        """Return why this user cannot be notified through this channel, in a sentence, or ""."""
        return ""

    def fault(self) -> str:
        """Return why this channel does not work at present and how to fix it, in a sentence, or "".

        `manage.py doctor` prints it. Check the server of the channel without sending anything, and limit every wait.
        """
        return ""

    def wait(self, delivery: Delivery) -> float:
        """Return the seconds for which this delivery has to wait, before each attempt. Waiting is no attempt."""
        return seconds_left(delivery.notification.user) if self.quiet else 0.0

    @abstractmethod
    def deliver(self, delivery: Delivery) -> None:
        """Send the notification once. Raises DeliveryError: permanent if a retry cannot help.

        Call `delivery.hold()` immediately before the request that sends it: it raises LeaseLost if another attempt has
        started in the meantime. `delivery.message_id` is the same in each attempt, for servers that deduplicate. Any
        other exception is treated as temporary.
        """


channels: Registry[Channel] = Registry("channel", UnknownChannel)


def inactive(user: AbstractBaseUser) -> str:
    """Return why a user who may not sign in is not notified outside of the site, or ""."""
    return "" if user.is_active else "The user's account is not active."


def unreachable_by_mail(user: AbstractBaseUser) -> str:
    """Return why this user cannot be notified by e-mail, or ""."""
    return inactive(user) or ("" if users.address_of(user) else "The user has no e-mail address.")
