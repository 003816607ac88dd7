"""Clock differences between this machine, the database and the workers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from celery import current_app
from celery.worker.control import inspect_command
from kombu.exceptions import OperationalError

from durable.clock import database_now
from exports.models import Slot

TELL_TIME = "exports_tell_time"
"""Name of the remote-control command that returns a worker's clock."""


@inspect_command(name=TELL_TIME)
def tell_time(state: Any, **_: Any) -> dict[str, float]:
    """Return the clock of the worker's machine, in seconds since 1970."""
    return {"now": time.time()}


def database_ahead() -> float:
    """Return the minimum number of seconds by which the database's clock is ahead of this machine's.

    It is negative if the database is behind, and 0.0 if the clocks may agree.
    """
    before = time.time()
    now = database_now(Slot).timestamp()
    return _outside(now, before, time.time())


def workers_ahead(patience: float) -> Iterator[tuple[str, float]]:
    """Yield each worker that replies within `patience` seconds, and the seconds by which its clock is ahead."""
    before = time.time()
    try:
        replies = current_app.control.broadcast(TELL_TIME, reply=True, timeout=patience) or []
    except (OperationalError, OSError):  # no broker, so no worker can be reached
        return
    after = time.time()
    for worker, answer in (pair for reply in replies for pair in reply.items()):
        if "now" in answer:  # workers of older versions do not have the command
            yield worker, _outside(answer["now"], before, after)


def _outside(moment: float, first: float, last: float) -> float:
    """Return the seconds of `moment` after `last`, or before `first` as a negative number; 0.0 between them."""
    return max(0.0, moment - last) or min(0.0, moment - first)
