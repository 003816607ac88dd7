"""Celery integration for leased work. Call `install(app)` in the site's celery.py."""

from __future__ import annotations

import sys
import threading
from typing import Any

from celery import Celery
from celery.app.defaults import DEFAULTS
from celery.signals import beat_init, celeryd_init, task_postrun, task_prerun, worker_ready, worker_shutting_down

from durable import log_fields
from durable.celery import broker, hints, shutdown, site

CONSUMER = "durable.celery.messages:Consumer"


def install(app: Celery) -> None:
    """Let leased work use `app`, the Celery app of the site. Call it once, in the module that makes the app.

    The app may be without configuration, and Django not yet set up. Hints go to its broker. Its workers also run the
    sweep, give our rows back when they shut down, and survive restarts of Redis. No setting of the app is changed, but
    in workers and Beat, Redis timeouts and `worker_consumer` are set if the site has not set them.
    """
    site.use(app, sys._getframe(1).f_globals["__name__"])
    broker.register_transports()
    celeryd_init.connect(_prepare_worker)
    beat_init.connect(_prepare_beat)
    worker_ready.connect(_stand_by)
    worker_shutting_down.connect(_begin_shutdown)
    # After the run, and after Celery has logged its end.
    task_prerun.connect(log_fields.clear)
    task_postrun.connect(log_fields.clear)


def _prepare_worker(instance: Any, **_: Any) -> None:
    hints.wait_longer()
    broker.bound_waits(instance.app)
    if instance.app.conf.worker_consumer == DEFAULTS["worker_consumer"]:
        instance.app.conf.worker_consumer = CONSUMER


def _prepare_beat(sender: Any, **_: Any) -> None:
    hints.wait_longer()
    broker.bound_waits(sender.app)


def _stand_by(sender: Any, **_: Any) -> None:
    """Start the threads of a worker. A worker in a thread of another process is that of a test, and gets none."""
    if threading.current_thread() is not threading.main_thread():
        return
    from durable.celery.workers import heart_of
    from durable.sweep import sweeper  # imports models, so only once Django's apps are ready

    sweeper.start(heart_of(sender))
    shutdown.shutdown.start(sender)


def _begin_shutdown(how: str, **_: Any) -> None:
    """Runs inside a signal handler. A cold shutdown has given rows back before (durable/celery/messages.py)."""
    if how == "Warm":
        shutdown.shutdown.begin()
