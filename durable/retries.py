"""Retries: of steps that need the database, where failing costs more than waiting, and when another server says so."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from django.db import InterfaceError, OperationalError

from durable.databases import close_broken, in_transaction

logger = logging.getLogger(__name__)
R = TypeVar("R")

PAUSES = (0.5, 1.0, 2.0, 4.0)
"""Seconds between two tries. Their sum is less than the grace period of a worker's shutdown (decision 0005)."""
LONGEST_WAIT = timedelta(days=1).total_seconds()


class Postponed(Exception):
    """Raise it in a job that cannot run now, through no fault of its own: it is put back, and spends no attempt."""

    def __init__(self, words: str, retry_after: float) -> None:
        super().__init__(words)
        self.retry_after = retry_after


def retry_database(step: Callable[[], R], name: object) -> R:
    """Run `step` until the database answers, and return its result. Raises the database's error after 7.5 s of waits.

    `step` must be safe to repeat after any error. Inside a transaction the error is raised at once, because the whole
    transaction would have to be repeated.
    """
    for pause in PAUSES:
        try:
            return step()
        except (InterfaceError, OperationalError) as error:
            if in_transaction():
                raise
            logger.warning("%s waits for the database, which is unavailable (%s).", name, error)
            close_broken()
            time.sleep(pause)
    return step()


def retry_after(error: Exception) -> float | None:
    """Return the seconds that an error says to wait, at most a day, or None if it says nothing.

    It is the error's attribute `retry_after` (seconds or a timedelta), or the Retry-After header of the response that
    it carries (RFC 9110, 10.2.3: seconds or a date), as errors of requests, httpx and urllib do.
    """
    told: Any = getattr(error, "retry_after", None)
    if told is None:
        headers = getattr(getattr(error, "response", error), "headers", None) or {}
        told = headers.get("Retry-After")
    try:
        seconds = _seconds(told)
    except (TypeError, ValueError):  # it is missing, or means nothing
        return None
    return min(seconds, LONGEST_WAIT) if seconds >= 0 else None


def _seconds(told: Any) -> float:
    if isinstance(told, timedelta):
        return told.total_seconds()
    try:
        return float(told)
    except ValueError:
        return (parsedate_to_datetime(told) - datetime.now(UTC)).total_seconds()
