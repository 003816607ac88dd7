"""The task of the demo shop's schedule."""

from __future__ import annotations

from typing import Any

from durable.celery.tasks import durable_task
from exports.upkeep import schedules


@durable_task
def update_rates() -> dict[str, Any]:
    return schedules.call(update_rates.name)
