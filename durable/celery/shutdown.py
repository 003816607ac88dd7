"""Bounded shutdown of our tasks: after a grace period their rows are given back and their processes are killed.

Celery's warm shutdown waits for its tasks without a limit. If the worker is then killed, its rows have used an attempt
that did not fail, and five deploys park a task that runs longer than the wait. So a thread starts with the worker. On
SIGTERM, Celery stops taking messages and waits for its children, and the thread enforces the time limit for our tasks.
A task of the site ends when it ends, as in any Celery worker, and the worker exits as Celery exits.

Only the prefork pool has processes that can be killed. In the other pools, a task of ours whose row was given back
ends itself, when its lease is renewed or checked the next time.

Only the thread uses the database: the main process forks, and its signal handlers may interrupt any code.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

from billiard import active_children
from celery.concurrency.base import BasePool
from celery.worker import state

from durable.celery.tasks import DurableTask

logger = logging.getLogger(__name__)

GRACE = 8.0
"""Seconds that our running tasks have to finish."""
GIVING_BACK = 3.0
"""Seconds for giving the remaining rows back. If the database is unavailable, another worker's sweep frees the rows of
dead processes, or their leases expire; then the attempt counts."""
LEAVING = 2.0
"""Seconds that Celery has to end its idle children if all tasks have ended. One is usually enough. Sometimes a child
waits 30 s without need (billiard's _ensure_messages_consumed); in a worker of our tasks alone, it is killed instead."""
CLOSING = 1.0
"""Seconds that Celery needs to return messages that have not begun, and to close its connections."""
ENDS_WITHIN = GRACE + max(GIVING_BACK, LEAVING) + CLOSING
"""The longest shutdown of a worker that runs no task of the site, in seconds, while the broker answers. The process
manager must not send SIGKILL earlier."""


class Shutdown:
    """The shutdown of one worker's main process."""

    def __init__(self) -> None:
        # Signal handlers may use these at any point, even during another use: SimpleQueue is reentrant.
        self._graces: SimpleQueue[float] = SimpleQueue()
        self._ended: SimpleQueue[None] = SimpleQueue()
        self._consumer: Any = None

    def start(self, consumer: Any) -> None:
        """Start the thread for the worker of this consumer."""
        self._consumer = consumer
        threading.Thread(target=self._run, name="shutdown", daemon=True).start()

    def begin(self, grace: float = GRACE) -> None:
        """Begin the shutdown, once Celery takes no more messages. Another call can only shorten the grace period."""
        self._graces.put(grace)

    def end_now(self) -> None:
        """Begin the shutdown without a grace period. Return when our tasks have ended, or after a few seconds."""
        if self._consumer is not None:
            self.begin(0)
            with suppress(Empty):
                self._ended.get(timeout=GIVING_BACK + 1)

    def _run(self) -> None:
        grace = self._graces.get()  # waits here for as long as the worker lives
        end = time.monotonic() + grace
        from durable.sweep import sweeper  # imports models, so only once Django's apps are ready

        sweeper.stop()
        if not self._end_ours(end):
            time.sleep(LEAVING)  # Celery normally exits during this time, and this thread with it
        if not running() and self._had_only_ours():
            for child in active_children():
                self._consumer.pool.terminate_job(child.pid, signal.SIGKILL)

    def _end_ours(self, end: float) -> bool:
        """Wait until no task runs. From `end` on, a task of ours that runs is ended. Return whether one was."""
        given_back: set[Any] = set()
        while requests := running():
            ours = {request for request in requests if isinstance(request.task, DurableTask)} - given_back
            if time.monotonic() >= end:
                self._give_up(ours)
                given_back |= ours
                self._tell()
            with suppress(Empty):
                end = min(end, time.monotonic() + self._graces.get(timeout=0.1))
        self._tell()
        return bool(given_back)

    def _give_up(self, requests: set[Any]) -> None:
        """Give back the rows of these tasks, and kill the processes that run them."""
        if requests and not _has_children(self._consumer.pool):
            give_back([os.getpid()])
        elif requests:
            give_back([request.worker_pid for request in requests])
            for request in requests:
                request.cancel(self._consumer.pool, signal.SIGKILL, emit_retry=False)

    def _tell(self) -> None:
        if self._ended.empty():
            self._ended.put(None)

    def _had_only_ours(self) -> bool:
        """Return whether this worker has a pool of processes that has run no task of the site."""
        tasks = self._consumer.app.tasks
        seen = (tasks.get(name) for name in state.total_count)
        return _has_children(self._consumer.pool) and all(isinstance(task, DurableTask) for task in seen)


def running() -> list[Any]:
    """Return the requests (celery.worker.request) that the pool has begun to run. Safe in any thread."""
    return [request for request in list(state.requests.values()) if request.time_start]


def _has_children(pool: BasePool) -> bool:
    from celery.concurrency.prefork import TaskPool  # a web process, which imports this module, needs no pool

    return isinstance(pool, TaskPool)


def give_back(pids: Sequence[int]) -> None:
    """Give back the rows that these processes hold, within GIVING_BACK seconds. The attempts do not count.

    The processes live until this is written, so that no sweep frees their rows as those of dead processes. A thread
    writes it, so that a silent database does not delay the shutdown.
    """
    giving_back = threading.Thread(target=_give_back, args=[pids], name="giving back", daemon=True)
    giving_back.start()
    giving_back.join(GIVING_BACK)


def _give_back(pids: Sequence[int]) -> None:
    from django.db import connections

    from durable import holders, sweep

    try:
        count = sweep.give_back(holders.names(pids))
        logger.info("Gave back %d unfinished row(s).", count)
    except Exception as error:  # noqa: BLE001 - whatever the database's client raises, the shutdown continues
        logger.warning("Unfinished rows were not given back (%s); the sweep will free them.", error)
    finally:
        connections.close_all()


shutdown = Shutdown()
