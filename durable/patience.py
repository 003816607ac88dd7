"""Waiting for a database that is away, where giving up costs more than the wait."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from django.db import InterfaceError, OperationalError, connection

logger = logging.getLogger(__name__)
R = TypeVar("R")

PAUSES = (0.5, 1.0, 2.0, 4.0)
"""Seconds between two tries; together less than the grace of a worker that must end (decision 0005)."""


def patiently(step: Callable[[], R], name: object) -> R:
    """Do `step`, which can be done again after any error, until the database answers; raises its error after 7.5 s.

    Inside of a transaction it raises at once: all of that would have to be done again.
    """
    for pause in PAUSES:
        try:
            return step()
        except (InterfaceError, OperationalError) as error:
            if connection.in_atomic_block:
                raise
            logger.warning("%s waits for the database (%s).", name, error)
            connection.close()
            time.sleep(pause)
    return step()
