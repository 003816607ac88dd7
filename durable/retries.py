"""Retries for steps that need the database, for cases in which failing costs more than waiting."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from django.db import InterfaceError, OperationalError, connection

logger = logging.getLogger(__name__)
R = TypeVar("R")

PAUSES = (0.5, 1.0, 2.0, 4.0)
"""Seconds between two tries. Their sum is less than the grace period of a worker's shutdown (decision 0005)."""


def retry_database(step: Callable[[], R], name: object) -> R:
    """Run `step` until the database answers, and return its result. Raises the database's error after 7.5 s of waits.

    `step` must be safe to repeat after any error. Inside a transaction the error is raised at once, because the whole
    transaction would have to be repeated.
    """
    for pause in PAUSES:
        try:
            return step()
        except (InterfaceError, OperationalError) as error:
            if connection.in_atomic_block:
                raise
            logger.warning("%s waits for the database, which is unavailable (%s).", name, error)
            connection.close()
            time.sleep(pause)
    return step()
