"""A task that sleeps for a given time, for workers that are started with `-I tests.support.naps`."""

from __future__ import annotations

import logging
import time

from durable.celery.tasks import durable_task

logger = logging.getLogger(__name__)


@durable_task(name="tests.nap")
def nap(seconds: float) -> None:
    logger.info("Nap of %.0f s.", seconds)
    time.sleep(seconds)
    logger.info("Awake after %.0f s.", seconds)
