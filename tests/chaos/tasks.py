"""A schedule for each minute that logs its runs outside the database."""

from __future__ import annotations

import os
from typing import Any

from durable.celery.tasks import durable_task
from exports.upkeep import schedules
from tests.chaos.lines import append
from tests.chaos.people import SLOTS, TICK, home


@durable_task
def tick() -> None:
    schedules.tick(tick.name)


def _run() -> dict[str, Any]:
    append(home() / SLOTS, {"pid": os.getpid()})
    return {}


SCHEDULE = schedules.Schedule(task=TICK, name="Chaos: each minute", description="Logs that it ran.", run=_run)
