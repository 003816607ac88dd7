"""Bounded shutdown of a worker: running tasks get a grace period, then their rows are given back and the process exits.

Celery's warm shutdown waits for its tasks without a limit. If the worker is then killed, its rows have used an attempt
that did not fail, and five deploys park a task that runs longer than the wait. So a thread starts with the worker. On
SIGTERM, Celery stops taking messages and waits for its children, and the thread enforces the time limit.

Only the thread uses the database: the main process forks, and its signal handlers may interrupt any code.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from queue import Empty, SimpleQueue
from typing import Any

from billiard import active_children
from celery.worker import state

logger = logging.getLogger(__name__)

GRACE = 8.0
"""Seconds that running tasks have to finish."""
GIVING_BACK = 3.0
"""Seconds for giving the remaining rows back. If the database is unavailable, another worker's sweep frees the rows of
dead processes, or their leases expire; then the attempt counts."""
LEAVING = 2.0
"""Seconds that Celery has, after its tasks, to acknowledge their messages and close its connections. One is usually
enough. Sometimes a child waits 30 s without need (billiard's _ensure_messages_consumed); it is killed instead."""
ENDS_WITHIN = GRACE + max(GIVING_BACK, LEAVING)
"""The longest shutdown, in seconds. The process manager must not send SIGKILL earlier."""


class Shutdown:
    """The shutdown of one worker's main process."""

    def __init__(self) -> None:
        # Signal handlers may call `begin` at any point, even during another `begin`: SimpleQueue.put is reentrant.
        self._graces: SimpleQueue[float] = SimpleQueue()
        self._pid = 0

    def start(self) -> None:
        """Start the thread. From now on, SIGQUIT begins the same shutdown without the grace period."""
        self._pid = os.getpid()
        signal.signal(signal.SIGQUIT, self._end_now)
        threading.Thread(target=self._run, name="shutdown", daemon=True).start()

    def begin(self, grace: float = GRACE) -> None:
        """Begin the shutdown, once Celery takes no more messages. Another call can only shorten the grace period."""
        self._graces.put(grace)

    def _end_now(self, *_: Any) -> None:
        if os.getpid() == self._pid:  # children inherit the handler
            state.should_stop = os.EX_OK  # type: ignore[assignment]  # as Celery's own handlers do
            self.begin(0)

    def _run(self) -> None:
        grace = self._graces.get()
        from durable.sweep import sweeper  # imports models, so only once Django's apps are ready

        sweeper.stop()
        self._await_tasks(time.monotonic() + grace)
        if state.reserved_requests:
            give_back()
        else:
            time.sleep(LEAVING)  # Celery normally exits during this time, and this thread with it
        _kill_children()
        os._exit(os.EX_OK)  # before Celery reports the killed children as an error

    def _await_tasks(self, end: float) -> None:
        while state.reserved_requests and time.monotonic() < end:
            with contextlib.suppress(Empty):
                end = min(end, time.monotonic() + self._graces.get(timeout=0.1))


def give_back() -> None:
    """Give back the rows that the children hold; the attempts do not count. Returns after GIVING_BACK seconds at most.

    The children live until this is written, so that no sweep frees their rows as those of dead processes. A thread
    writes it, because this process forks.
    """
    giving_back = threading.Thread(target=_give_back, name="giving back", daemon=True)
    giving_back.start()
    giving_back.join(GIVING_BACK)


def _give_back() -> None:
    from django.db import connections

    from durable import holders, sweep

    try:
        count = sweep.give_back(holders.names([os.getpid(), *_children()]))
        logger.info("Gave back %d unfinished row(s).", count)
    except Exception as error:  # noqa: BLE001 - whatever the database's client raises, the shutdown continues
        logger.warning("Unfinished rows were not given back (%s); the sweep will free them.", error)
    finally:
        connections.close_all()


def _children() -> list[int]:
    return [child.pid for child in active_children() if child.pid]


def _kill_children() -> None:
    for pid in _children():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


shutdown = Shutdown()
