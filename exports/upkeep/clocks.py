"""The clocks of the machines: how far this one, and those of the workers, are from the database's."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from celery import current_app
from celery.worker.control import inspect_command
from kombu.exceptions import OperationalError

from durable.clock import database_now

TELL_TIME = "exports_tell_time"
"""The remote-control command that each worker answers with its clock."""


@inspect_command(name=TELL_TIME)
def tell_time(state: Any, **_: Any) -> dict[str, float]:
    """What a worker answers: seconds since 1970 by its machine's clock."""
    return {"now": time.time()}


def database_ahead() -> float:
    """Seconds by which the database's clock is ahead of this machine's, at least; 0.0 while they may agree."""
    before = time.time()
    now = database_now().timestamp()
    return _outside(now, before, time.time())


def workers_ahead(patience: float) -> Iterator[tuple[str, float]]:
    """Each worker that answers within `patience` seconds, and by how many its clock is ahead of this machine's."""
    before = time.time()
    try:
        replies = current_app.control.broadcast(TELL_TIME, reply=True, timeout=patience) or []
    except (OperationalError, OSError):  # no broker: nobody can be asked
        return
    after = time.time()
    for worker, answer in (pair for reply in replies for pair in reply.items()):
        if "now" in answer:  # a worker of an older version does not know the command
            yield worker, _outside(answer["now"], before, after)


def _outside(moment: float, first: float, last: float) -> float:
    """How far a moment lies after `last`, or, below zero, before `first`; 0.0 between them."""
    return max(0.0, moment - last) or min(0.0, moment - first)
