"""The in-app channel: the bell and the list show the row of the notification itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils.translation import gettext_lazy as _

from notifications.channels.base import Channel, channels
from notifications.kinds import IN_APP

if TYPE_CHECKING:
    from notifications.models import Delivery


@channels.register
class InApp(Channel):
    key = IN_APP
    label = _("In the app")
    immediate = True
    paced = False
    templates = ("in_app.txt",)

    def deliver(self, delivery: Delivery) -> None:
        """Do nothing: the row is the delivery."""
