"""Registration of the notifications app with the sweep, when Django starts."""

from durable import sweep
from durable.sweep import Swept
from notifications import delivery
from notifications.models import Delivery


def connect() -> None:
    """Register with the sweep. Idempotent."""
    sweep.register(Swept(Delivery, park=delivery.park))
