"""The sweep: it frees rows of dead processes, parks exhausted rows, sends lost hints again, and runs the apps' chores.

It is safe to run at any time and any number of times in parallel. Every worker runs it every few seconds in a thread of
its main process, and Beat schedules it as well; any one of them is enough.
"""

import logging
import os
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from django.db import InterfaceError, OperationalError, connections
from django.db.models import Q

from durable import log_fields
from durable.conf import durable_settings
from durable.hints import publish
from durable.models import Work, WorkQuerySet
from durable.workers import Heart

logger = logging.getLogger(__name__)

BATCH = 500
"""Maximum number of rows of one model per sweep. The next sweep takes the next ones."""


@dataclass(frozen=True)
class SweptModel:
    """A model that the sweep covers."""

    model: type[Work]
    park: Callable[[Any], None]
    """Close a row whose last attempt died, with all consequences, in one transaction."""
    publishes: Q | None = field(default_factory=Q)
    """The rows that the sweep publishes. The other rows, or all with None, are published by a chore of the app."""


_swept: dict[type[Work], SweptModel] = {}
_chores: dict[str, Callable[[], int]] = {}


def register(swept: SweptModel) -> None:
    """Add a model to the sweep. Registering it again replaces its entry."""
    _swept[swept.model] = swept


def register_chore(name: str, chore: Callable[[], int]) -> None:
    """Run `chore` in every sweep. It returns the number of rows that it changed."""
    _chores[name] = chore


def swept_models() -> list[type[Work]]:
    """Return the registered models."""
    return list(_swept)


def sweep() -> dict[str, int]:
    """Run all steps once. Return the non-zero row counts by step name. A failing step is logged and the rest run."""
    done: Counter[str] = Counter()
    for swept in _swept.values():
        name = swept.model._meta.model_name or ""
        done[f"{name}: freed"] += _safely(f"free {name}", partial(_free, swept.model))
        done[f"{name}: parked"] += _safely(f"park {name}", partial(_park, swept))
        if swept.publishes is not None:
            publishing = partial(_publish, swept.model, swept.publishes)
            done[f"{name}: published"] += _safely(f"publish {name}", publishing)
    for name, chore in _chores.items():
        done[name] += _safely(name, chore)
    return {name: count for name, count in done.items() if count}


def _safely(name: str, step: Callable[[], int]) -> int:
    try:
        return step()
    except (InterfaceError, OperationalError) as error:  # expected during an outage: a traceback would add nothing
        logger.warning("The sweep's step %r failed (%s); the next sweep tries again.", name, error)
        return 0
    except Exception:  # one broken step must not stop the others
        logger.exception("The sweep's step %r failed; the next sweep tries again.", name)
        return 0


def give_back(holders: Iterable[str]) -> int:
    """Make all rows that these processes hold due at once. Return the number of rows.

    For a worker that exits before its work is done. No hints are sent: the next sweep of another worker sends them.
    Raises any database error.
    """
    names = list(holders)
    return sum(_rows(swept.model).give_back(names) for swept in _swept.values())


def _rows(model: type[Work]) -> WorkQuerySet[Any]:
    return model._default_manager.all()  # type: ignore[return-value]


def _free(model: type[Work]) -> int:
    return _rows(model).free_dead()


def _park(swept: SweptModel) -> int:
    rows: list[Work] = list(_rows(swept.model).exhausted()[:BATCH])
    return sum(_safely(f"park {row}", partial(_park_one, swept, row)) for row in rows)


def _park_one(swept: SweptModel, row: Work) -> int:
    log_fields.put(row.log_fields())
    try:
        swept.park(row)
    finally:
        log_fields.clear()
    return 1


def _publish(model: type[Work], which: Q) -> int:
    rows: list[Work] = _rows(model).filter(which).mark_published(BATCH)
    publish(rows)
    return len(rows)


class Sweeper:
    """Runs the sweep in a thread of a worker's main process, which also forks the worker's children.

    A child must not be forked while the thread has a database connection open, so a fork waits for the end of the pass.
    """

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._pass = threading.Lock()
        self._thread: threading.Thread | None = None
        self._heart: Heart | None = None

    def start(self, heart: Heart | None = None) -> None:
        """Start the thread, which also writes the row of the worker. Further calls do nothing."""
        if self._thread is not None:
            return
        self._heart = heart
        os.register_at_fork(
            before=self._pass.acquire, after_in_parent=self._pass.release, after_in_child=self._pass.release
        )
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.is_set():  # begins at once: the worker before may have given rows back
            with self._pass:
                if self._heart:
                    _safely("write the worker's row", self._heart.beat)
                done = sweep()
                connections.close_all()
            if done:
                logger.info("Swept: %s", ", ".join(f"{name} {count}" for name, count in done.items()))
            self._stop.wait(durable_settings().sweep_every * random.uniform(0.8, 1.2))  # noqa: S311 - jitter
        with self._pass:
            if self._heart:
                _safely("delete the worker's row", self._heart.stop)
            connections.close_all()


sweeper = Sweeper()
