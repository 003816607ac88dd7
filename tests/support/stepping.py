"""Workers in slow motion: each does one message in a thread of its own, and stands still at the moments that matter.

One of them moves at a time, so every order of moments can be tried; each has its own connection, so what one has
committed is what the others see. They stand still where no transaction is open: SQLite has one writer.
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
"""In which a worker must come to its next moment; more would be a deadlock."""

_here = threading.local()


class Worker:
    """One message in the hands of one process. `lease` is None until it has claimed its row."""

    def __init__(self, number: int, task: str, pk: int) -> None:
        self.name = f"{scope()}:{number}:1"
        self.task, self.pk = task, pk
        self.lease: Lease[Any] | None = None
        self.moment = ""
        self.ended = False
        self._order: type[BaseException] | None = None
        self._error: BaseException | None = None
        self._go, self._stands = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __repr__(self) -> str:
        return f"{self.task.rpartition('.')[2]}({self.pk}) at {self.moment or 'its end'}"

    def start(self) -> None:
        self._thread.start()
        self._await()

    def go_on(self, order: type[BaseException] | None = None) -> None:
        """Let it come to its next moment, or to its end. `order`: what happens to it where it stands."""
        self._order = order
        self._go.release()
        self._await()

    def stand(self, moment: str) -> None:
        """Called by the worker itself."""
        self.moment = moment
        self._stands.release()
        self._go.acquire()
        if self._order is not None:
            raise self._order

    def _await(self) -> None:
        assert self._stands.acquire(timeout=SECONDS), f"{self!r}: it waits for somebody"
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
            self._stands.release()


def _stand(moment: str) -> None:
    worker: Worker | None = getattr(_here, "worker", None)
    if worker is not None:
        worker.stand(moment)


def _holder() -> str:
    worker: Worker | None = getattr(_here, "worker", None)
    return worker.name if worker is not None else f"{scope()}:0:1"


def _claiming(claim: Callable[..., Any]) -> Callable[..., Any]:
    def claimed(*args: Any, **fields: Any) -> Any:
        lease = claim(*args, **fields)
        worker: Worker | None = getattr(_here, "worker", None)
        if lease is not None and worker is not None:
            worker.lease = lease
            worker.stand("claimed")
        return lease

    return claimed


def _before(moment: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def standing(*args: Any) -> Any:
        _stand(moment)
        return function(*args)

    return standing


def _after(moment: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def standing(*args: Any) -> Any:
        result = function(*args)
        _stand(moment)
        return result

    return standing


@contextmanager
def slow_motion(monkeypatch: pytest.MonkeyPatch, dead: set[str]) -> Iterator[None]:
    """Workers stand still after claiming, after storing a file, and before what follows a commit.

    `dead`: the names of those that this machine knows to have ended.
    """
    with monkeypatch.context() as patched:
        patched.setattr(models, "holder", _holder)
        patched.setattr(models, "is_dead", dead.__contains__)
        patched.setattr(WorkQuerySet, "claim", _claiming(WorkQuerySet.claim))
        patched.setattr(artifacts, "store", _after("stored", artifacts.store))
        patched.setattr(window, "finish_rendering", _before("fan-in", window.finish_rendering))
        patched.setattr(window, "fill_window", _before("window", window.fill_window))
        yield
