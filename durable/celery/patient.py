"""Tasks that wait for a database that is away, with their message in their hands.

Else each message is used up by an error within milliseconds, and the sweep sends it again only when it counts as lost:
a database that was away for two seconds would cost everybody twenty.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from celery import Task

from durable.patience import patiently


class Patient(Task[Any, Any]):
    """The base of every task. It can be run again after any error: it claims its row anew, or finds it held."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return patiently(partial(self.run, *args, **kwargs), self.name)
