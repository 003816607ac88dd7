"""Send hints as Celery messages, on a connection of our own. No other module publishes tasks for rows.

The connection has the site's URL and options, but short waits: by default, Celery tries to reach a silent broker for
more than a minute. It is also apart from the result backend, which Celery contacts for each message whose result is
stored.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from celery import Celery, uuid
from kombu import Connection

from durable.celery import broker
from durable.celery.broker import CLICK, WORKER, Patience
from durable.celery.site import installed
from durable.celery.tasks import DurableTask, serializer

_patience: Patience = CLICK


class _OfThread(threading.local):
    """The connection of one thread. A forked process and an app with another broker need another one."""

    owner: tuple[Any, ...] = ()
    connection: Connection
    waiting: deque[tuple[str, int]] | None = None
    """Tasks to run in this thread, if task_always_eager is set."""


_mine = _OfThread()


def wait_longer() -> None:
    """Let hints of this process wait longer for the broker: no user waits for a worker or Beat."""
    global _patience  # noqa: PLW0603 - a fact of the process, set once when it starts
    _patience = WORKER


def send(task: str, pks: Sequence[int]) -> None:
    """Send one message per primary key.

    A connection that the broker has closed meanwhile is replaced once. A broker that is silent is not asked twice.
    Raises NotInstalled, or any error of the broker's client.
    """
    app = installed().app
    if app.conf.task_always_eager:
        _run_here(app, task, pks)
        return
    began = time.monotonic()
    try:
        _publish(app, task, pks)
    except Exception:
        _hang_up()
        if time.monotonic() - began > _patience.connect / 2:
            raise
        try:
            _publish(app, task, pks)
        except Exception:
            _hang_up()
            raise


def _publish(app: Celery, task: str, pks: Sequence[int]) -> None:
    kind: Any = app.tasks.get(task, DurableTask)  # not all processes import all tasks
    options = {
        "retry": False,
        "serializer": serializer(app) if kind is DurableTask else kind.serializer,
        "compression": getattr(kind, "compression", None),
    }
    producer = app.amqp.Producer(_connection(app), auto_declare=False)
    for pk in pks:
        message = app.amqp.create_task_message(
            uuid(),
            task,
            (pk,),
            {},
            time_limit=kind.time_limit,
            soft_time_limit=kind.soft_time_limit,
            ignore_result=kind.ignore_result,
            create_sent_event=app.conf.task_send_sent_event,
        )
        app.amqp.send_task_message(producer, task, message, **app.amqp.router.route({}, task, (pk,)), **options)


def _connection(app: Celery) -> Connection:
    owner = (os.getpid(), app, app.conf.broker_write_url, _patience)
    if _mine.owner != owner:
        _mine.connection = broker.connection(app, _patience)
        _mine.owner = owner
    return _mine.connection


def _hang_up() -> None:
    """Forget the broken connection. The next hint makes a new one, to the next broker if the site has several."""
    if _mine.owner:
        _mine.connection.collect()
        _mine.connection.maybe_switch_next()


def _run_here(app: Celery, task: str, pks: Sequence[int]) -> None:
    """Run the tasks in this thread, as task_always_eager asks for, one after the other: a task sends the next hints."""
    if _mine.waiting is not None:
        _mine.waiting.extend((task, pk) for pk in pks)
        return
    waiting = _mine.waiting = deque((task, pk) for pk in pks)
    try:
        while waiting:
            name, pk = waiting.popleft()
            app.tasks[name].apply((pk,), throw=False)
    finally:
        _mine.waiting = None
