"""Celery integration for leased work. Call `install(app)` in the site's celery.py."""

from __future__ import annotations

from typing import Any

from celery import Celery
from celery.signals import beat_init, celeryd_init, worker_ready, worker_shutting_down

from durable.celery import shutdown, transport
from durable.celery.tasks import log_slow_tasks

PATIENT = {"socket_timeout": 5, "socket_connect_timeout": 2}
"""Redis timeouts of workers and Beat, in seconds. They may be longer than those of a web server: no user waits."""


def install(app: Celery) -> None:
    """Connect the signal handlers and transports of leased work to `app`. Call it once, before the app is used.

    Workers run the sweep, shut down within `shutdown.ENDS_WITHIN` seconds, and log slow tasks. The Redis transports
    survive restarts of Redis.
    """
    transport.register()
    log_slow_tasks()

    def wait_longer(**_: Any) -> None:
        app.conf.broker_transport_options |= PATIENT

    for starting in (celeryd_init, beat_init):
        starting.connect(wait_longer, weak=False)
    worker_ready.connect(_stand_by)
    worker_shutting_down.connect(_begin_shutdown)


def _stand_by(**_: Any) -> None:
    from durable.sweep import sweeper  # imports models, so only once Django's apps are ready

    sweeper.start()
    shutdown.shutdown.start()


def _begin_shutdown(**_: Any) -> None:
    """Runs inside a signal handler."""
    shutdown.shutdown.begin()
