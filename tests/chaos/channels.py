"""A webhook-like channel: at-least-once delivery with a stable message id."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from notifications.channels import Channel, channels
from tests.chaos.lines import append
from tests.chaos.people import FILE_SINK, home

if TYPE_CHECKING:
    from notifications.models import Delivery


@channels.register
class FileSink(Channel):
    """Append each delivery to a file, the receiver's ledger."""

    key: ClassVar[str] = "file"
    label = "To a file"

    def deliver(self, delivery: Delivery) -> None:
        delivery.hold()
        append(home() / FILE_SINK, {"id": str(delivery.message_id), "link": delivery.notification.link})
