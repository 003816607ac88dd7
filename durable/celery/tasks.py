"""The decorator of our tasks. All of their Celery options are on the tasks: the options of the app are the site's."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any, ParamSpec, TypeVar, overload

from celery import Celery, Task, shared_task

from durable.conf import durable_settings
from durable.retries import retry_database

logger = logging.getLogger(__name__)
P = ParamSpec("P")
R = TypeVar("R")


class DurableTask(Task[Any, Any]):
    """Base class of our tasks. It waits for an unavailable database before it fails, and logs slow runs.

    Without the wait, an error would use up each message within milliseconds, and the sweep would send it again only
    when it counts as lost: a database that is down for two seconds would delay every export by twenty. A task can run
    again after any error, because it claims its row again, or finds it held.
    """

    # Acknowledged after the run, and never delivered again by the broker: the row counts the attempts.
    acks_late = True
    acks_on_failure = True
    acks_on_timeout = True
    reject_on_worker_lost = False  # True would redeliver a task that kills its worker without end
    retry_on_worker_lost = False
    # Seconds: SoftTimeLimitExceeded is raised at the first limit, the process is killed at the second.
    soft_time_limit = 240
    time_limit = 300
    rate_limit = ""  # none, even if the app has a default: the row says when it is due
    # Results are stored for those tasks alone whose results are read.
    ignore_result = True
    store_errors_even_if_ignored = False
    # Messages are primary keys, which JSON can express. gzip is worth it for many.
    serializer = "json"
    compression = "gzip"

    @classmethod
    def on_bound(cls, app: Celery) -> None:
        cls.serializer = serializer(app)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        began = time.monotonic()
        try:
            return retry_database(partial(self.run, *args, **kwargs), self.name)
        finally:
            self._log_if_slow(args, time.monotonic() - began)

    def _log_if_slow(self, args: tuple[Any, ...], seconds: float) -> None:
        if seconds > durable_settings().slow_seconds:
            logger.warning("Slow task: %s%s took %.1f s.", self.name, args, seconds)


def serializer(app: Celery) -> str:
    """Return "json", or the app's own serializer if its workers refuse JSON."""
    accepted: set[str] = set(app.conf.accept_content)
    return "json" if accepted & {"json", "application/json"} else str(app.conf.task_serializer)


@overload
def durable_task(function: Callable[P, R], /) -> Task[P, R]: ...
@overload
def durable_task(**options: Any) -> Callable[[Callable[P, R]], Task[P, R]]: ...
def durable_task(*function: Any, **options: Any) -> Any:
    """Decorator for the task of a row: Celery's `shared_task` with the options of `DurableTask`.

    Use it as `@durable_task`, or with options of `shared_task`, such as `@durable_task(ignore_result=False)`. The task
    takes one primary key and makes one call.
    """
    return shared_task(*function, **{"base": DurableTask} | options)
