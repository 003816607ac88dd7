"""Tasks that take longer than a task should are said in the log; the admin shows the rows that they worked on."""

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
    task_prerun.connect(note_start)
    task_postrun.connect(say_if_slow)


def note_start(task_id: str, **_: Any) -> None:
    _started[task_id] = time.monotonic()


def say_if_slow(task_id: str, task: Task[Any, Any], args: tuple[Any, ...], **_: Any) -> None:
    """One warning for a task over the limit, with its primary key."""
    seconds = time.monotonic() - _started.pop(task_id, time.monotonic())
    if seconds > durable_settings().slow_seconds:
        logger.warning("Slow task: %s%s took %.1f s.", task.name, tuple(args), seconds)
