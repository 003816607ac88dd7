"""A channel as a webhook would be: told at least once, with an id that stays the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from notifications.channels import Channel, channels
from tests.chaos.lines import append
from tests.chaos.people import FILE_SINK, home

if TYPE_CHECKING:
    from notifications.models import Delivery


@channels.register
class FileSink(Channel):
    """Appends to a file; the file is the receiver's ledger."""

    key: ClassVar[str] = "file"
    label = "To a file"

    def deliver(self, delivery: Delivery) -> None:
        delivery.hold()
        append(home() / FILE_SINK, {"id": str(delivery.message_id), "link": delivery.notification.link})
