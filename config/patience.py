"""Tasks that wait for a database that is away, with their message in their hands.

Else each message is used up by an error within milliseconds, and the sweep sends it again only when it counts as lost:
a database that was away for two seconds would cost everybody twenty.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from celery import Task
from django.db import InterfaceError, OperationalError, connection

logger = logging.getLogger(__name__)

PAUSES = (0.5, 1.0, 2.0, 4.0)
"""Seconds between two tries; together less than the grace of a worker that must end (shutdown.py)."""


class Patient(Task[Any, Any]):
    """The base of every task. It may be run again after any error: it claims its row anew, or finds it held."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        for pause in PAUSES:
            try:
                return self.run(*args, **kwargs)
            except (InterfaceError, OperationalError) as error:
                if connection.in_atomic_block:  # whoever called it by hand, inside of something greater, has to know
                    raise
                logger.warning("%s waits for the database (%s).", self.name, error)
                connection.close()
                time.sleep(pause)
        return self.run(*args, **kwargs)
