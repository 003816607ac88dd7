"""What the notifications app plugs into the sweep when Django starts."""

from durable import sweep
from durable.sweep import Swept
from notifications import delivery
from notifications.models import Delivery


def connect() -> None:
    """Register with the sweep. Doing so twice changes nothing."""
    sweep.register(Swept(Delivery, park=delivery.park))
