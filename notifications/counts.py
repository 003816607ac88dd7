"""Counts of deliveries by channel, for metrics. Each is one query by an index, whatever the size of the history."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.db.models import Count

from durable.clock import Now
from durable.models import WorkQuerySet
from notifications.channels import channels
from notifications.models import Delivery

State = Delivery.State


def pending() -> Mapping[str, int]:
    """Return the number of deliveries that are neither sent nor given up, by channel."""
    return _by_channel(Delivery.objects.open())


def sent_within(period: timedelta) -> Mapping[str, int]:
    """Return the number of deliveries sent in the last `period`, by channel."""
    return _by_channel(Delivery.objects.filter(sent_at__gte=Now() - period))


def failed_within(period: timedelta) -> Mapping[str, int]:
    """Return the number of deliveries whose last attempt began in the last `period` and failed, by channel."""
    return _by_channel(Delivery.objects.filter(state=State.FAILED, claimed_at__gte=Now() - period))


def _by_channel(deliveries: WorkQuerySet[Delivery]) -> dict[str, int]:
    found: Any = deliveries.order_by().values_list("channel").annotate(Count("pk"))
    return dict.fromkeys((channel.key for channel in channels), 0) | dict(found)
