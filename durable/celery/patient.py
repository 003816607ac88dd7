"""The base class of tasks, which wait for an unavailable database before they fail.

Without the wait, each message would be used up by an error within milliseconds, and the sweep would send it again only
when it counts as lost: a database that is down for two seconds would delay every export by twenty.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from celery import Task

from durable.patience import patiently


class Patient(Task[Any, Any]):
    """Base class of every task. A task can run again after any error: it claims its row again, or finds it held."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return patiently(partial(self.run, *args, **kwargs), self.name)
