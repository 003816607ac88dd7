"""How a worker ends: its tasks get a grace, what has not ended by then is given back, and the process goes in time.

Celery's warm shutdown waits for its tasks without an end. Whoever kills it then leaves rows behind that count an
attempt which nobody failed, and a task that is longer than the wait is parked by five deploys. So a thread stands by
from the start. At SIGTERM Celery stops taking messages and waits for its children, and the thread counts the seconds.

The thread alone talks to the database: the main process forks, and its signal handlers may interrupt anything.
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
"""Seconds that running tasks have to end by themselves."""
GIVING_BACK = 3.0
"""Seconds that the database has to take the rest back. If it is away, the sweep of another worker frees the rows of
the dead, or their leases run out; then the attempt counts."""
LEAVING = 2.0
"""Seconds that Celery has, after its tasks, to acknowledge their messages and to close its connections. It mostly
needs one; sometimes a child waits 30 s for nothing (billiard's _ensure_messages_consumed), and is not waited for."""
ENDS_WITHIN = GRACE + max(GIVING_BACK, LEAVING)
"""The longest end, in seconds; whoever sends the signal must not kill before."""


class Shutdown:
    """The end of one worker's main process."""

    def __init__(self) -> None:
        # Handlers call `ask` in the middle of anything, of another `ask` too: SimpleQueue.put is made for that.
        self._asked: SimpleQueue[float] = SimpleQueue()
        self._pid = 0

    def stand_by(self) -> None:
        """Start the thread. SIGQUIT is from now on the same end without the grace."""
        self._pid = os.getpid()
        signal.signal(signal.SIGQUIT, self._end_now)
        threading.Thread(target=self._run, name="shutdown", daemon=True).start()

    def ask(self, grace: float = GRACE) -> None:
        """Begin to end; asking again can only shorten the grace. Celery must have been told to take no more work."""
        self._asked.put(grace)

    def _end_now(self, *_: Any) -> None:
        if os.getpid() == self._pid:  # children inherit the handler
            state.should_stop = os.EX_OK  # type: ignore[assignment]  # as Celery's own handlers do
            self.ask(0)

    def _run(self) -> None:
        grace = self._asked.get()
        from durable.sweep import sweeper  # models: only once Django's apps are ready

        sweeper.stop()
        self._await_tasks(time.monotonic() + grace)
        if state.reserved_requests:
            give_back()
        else:
            time.sleep(LEAVING)  # Celery ends meanwhile, and this thread with it
        _kill_children()
        os._exit(os.EX_OK)  # before Celery calls it an error that they are dead

    def _await_tasks(self, end: float) -> None:
        while state.reserved_requests and time.monotonic() < end:
            with contextlib.suppress(Empty):
                end = min(end, time.monotonic() + self._asked.get(timeout=0.1))


def give_back() -> None:
    """Open what the children work on to anybody; the attempts do not count. Returns after GIVING_BACK seconds at most.

    They live until it is written, so that nobody frees it as dead. A thread writes it, for this process forks.
    """
    giving_back = threading.Thread(target=_give_back, name="giving back", daemon=True)
    giving_back.start()
    giving_back.join(GIVING_BACK)


def _give_back() -> None:
    from django.db import connections

    from durable import holders, sweep

    try:
        count = sweep.give_back(holders.names([os.getpid(), *_children()]))
        logger.info("Gave back %d row(s) that could not be ended.", count)
    except Exception as error:  # noqa: BLE001 - whatever the database's client raises, the process goes on to its end
        logger.warning("What could not be ended was not given back (%s); the sweep frees it.", error)
    finally:
        connections.close_all()


def _children() -> list[int]:
    return [child.pid for child in active_children() if child.pid]


def _kill_children() -> None:
    for pid in _children():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


shutdown = Shutdown()
