"""Log tasks that exceed the time for slow tasks. The admin shows the rows that they worked on."""

import logging
import time
from typing import Any

from celery import Task
from celery.signals import task_postrun, task_prerun

from durable.conf import durable_settings

logger = logging.getLogger(__name__)
_started: dict[str, float] = {}


def connect() -> None:
    """Log slow tasks in the processes that run tasks."""
    task_prerun.connect(record_start)
    task_postrun.connect(log_if_slow)


def record_start(task_id: str, **_: Any) -> None:
    _started[task_id] = time.monotonic()


def log_if_slow(task_id: str, task: Task[Any, Any], args: tuple[Any, ...], **_: Any) -> None:
    """Log a warning with the task's primary key if it took longer than the limit."""
    seconds = time.monotonic() - _started.pop(task_id, time.monotonic())
    if seconds > durable_settings().slow_seconds:
        logger.warning("Slow task: %s%s took %.1f s.", task.name, tuple(args), seconds)
