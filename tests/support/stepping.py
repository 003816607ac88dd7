"""Workers that a test can step through: each runs one message in its own thread, and pauses at the critical moments.

Only one worker runs at a time, so that a test can try every order of moments. Each has its own connection, so a worker
sees only what the others have committed. They pause where no transaction is open, because SQLite has a single writer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connections

from durable import models
from durable.holders import scope
from durable.lease import Lease
from durable.models import WorkQuerySet
from exports.pipeline import window
from exports.storage import artifacts
from tests.support.exports import STEPS
from tests.support.kills import Killed

SECONDS = 20
"""Seconds in which a worker must reach its next moment. Longer means a deadlock."""

_here = threading.local()


class Worker:
    """A worker process that runs one message. `lease` is None until it has claimed its row."""

    def __init__(self, number: int, task: str, pk: int) -> None:
        self.name = f"{scope()}:{number}:1"
        self.task, self.pk = task, pk
        self.lease: Lease[Any] | None = None
        self.moment = ""
        self.ended = False
        self._raise_next: type[BaseException] | None = None
        self._error: BaseException | None = None
        self._resumed, self._paused = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __repr__(self) -> str:
        return f"{self.task.rpartition('.')[2]}({self.pk}) at {self.moment or 'its end'}"

    def start(self) -> None:
        self._thread.start()
        self._await()

    def resume(self, error: type[BaseException] | None = None) -> None:
        """Run to the next moment or to the end. If `error` is given, the worker raises it where it has paused."""
        self._raise_next = error
        self._resumed.release()
        self._await()

    def pause(self, moment: str) -> None:
        """Pause until the next `resume`. Called in the worker's thread."""
        self.moment = moment
        self._paused.release()
        self._resumed.acquire()
        if self._raise_next is not None:
            raise self._raise_next

    def _await(self) -> None:
        assert self._paused.acquire(timeout=SECONDS), f"{self!r}: deadlock, it waits for another worker"
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        _here.worker = self
        try:
            STEPS[self.task](self.pk)
        except Killed:
            pass
        except BaseException as error:  # noqa: BLE001 - the test raises it
            self._error = error
        finally:
            connections.close_all()
            self.ended, self.moment = True, ""
            self._paused.release()


def _pause(moment: str) -> None:
    worker: Worker | None = getattr(_here, "worker", None)
    if worker is not None:
        worker.pause(moment)


def _holder() -> str:
    worker: Worker | None = getattr(_here, "worker", None)
    return worker.name if worker is not None else f"{scope()}:0:1"


def _claiming(claim: Callable[..., Any]) -> Callable[..., Any]:
    def claimed(*args: Any, **fields: Any) -> Any:
        lease = claim(*args, **fields)
        worker: Worker | None = getattr(_here, "worker", None)
        if lease is not None and worker is not None:
            worker.lease = lease
            worker.pause("claimed")
        return lease

    return claimed


def _before(moment: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def pausing(*args: Any) -> Any:
        _pause(moment)
        return function(*args)

    return pausing


def _after(moment: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def pausing(*args: Any) -> Any:
        result = function(*args)
        _pause(moment)
        return result

    return pausing


@contextmanager
def slow_motion(monkeypatch: pytest.MonkeyPatch, dead: set[str]) -> Iterator[None]:
    """Make workers pause after claiming, after storing a file, and before the calls that follow a commit.

    `dead` holds the names of the workers that count as ended.
    """
    with monkeypatch.context() as patched:
        patched.setattr(models, "holder", _holder)
        patched.setattr(models, "is_dead", dead.__contains__)
        patched.setattr(WorkQuerySet, "claim", _claiming(WorkQuerySet.claim))
        patched.setattr(artifacts, "store", _after("stored", artifacts.store))
        patched.setattr(window, "finish_rendering", _before("fan-in", window.finish_rendering))
        patched.setattr(window, "fill_window", _before("window", window.fill_window))
        yield
