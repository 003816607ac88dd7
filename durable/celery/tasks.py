"""The base class of tasks, and the log of slow tasks."""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import Any

from celery import Task
from celery.signals import task_postrun, task_prerun

from durable.conf import durable_settings
from durable.retries import retry_database

logger = logging.getLogger(__name__)
_started: dict[str, float] = {}


class DatabaseRetryTask(Task[Any, Any]):
    """Base class of every task: it waits for an unavailable database before it fails.

    Without the wait, an error would use up each message within milliseconds, and the sweep would send it again only
    when it counts as lost: a database that is down for two seconds would delay every export by twenty. A task can run
    again after any error, because it claims its row again, or finds it held.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return retry_database(partial(self.run, *args, **kwargs), self.name)


def log_slow_tasks() -> None:
    """Connect the log of slow tasks to the processes that run tasks. The admin shows the rows that they worked on."""
    task_prerun.connect(record_start)
    task_postrun.connect(log_if_slow)


def record_start(task_id: str, **_: Any) -> None:
    _started[task_id] = time.monotonic()


def log_if_slow(task_id: str, task: Task[Any, Any], args: tuple[Any, ...], **_: Any) -> None:
    """Log a warning with the task's primary key if it took longer than the limit."""
    seconds = time.monotonic() - _started.pop(task_id, time.monotonic())
    if seconds > durable_settings().slow_seconds:
        logger.warning("Slow task: %s%s took %.1f s.", task.name, tuple(args), seconds)
