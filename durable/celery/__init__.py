"""Celery for leased work: call `install(app)` in the site's own celery.py."""

from __future__ import annotations

from typing import Any

from celery import Celery
from celery.signals import beat_init, celeryd_init, worker_ready, worker_shutting_down

from durable.celery import shutdown, slow, transport

PATIENT = {"socket_timeout": 5, "socket_connect_timeout": 2}
"""Seconds that workers and Beat wait for Redis: nobody waits for them."""


def install(app: Celery) -> None:
    """Connect what leased work needs in each process of `app`; call it once, before the app is used.

    Workers run the sweep, end within `shutdown.ENDS_WITHIN` seconds, and log slow tasks. Redis goes through transports
    that survive its restarts.
    """
    transport.register()
    slow.connect()

    def wait_longer(**_: Any) -> None:
        app.conf.broker_transport_options |= PATIENT

    for starting in (celeryd_init, beat_init):
        starting.connect(wait_longer, weak=False)
    worker_ready.connect(_stand_by)
    worker_shutting_down.connect(_end)


def _stand_by(**_: Any) -> None:
    from durable.sweep import sweeper  # models: only once Django's apps are ready

    sweeper.start()
    shutdown.shutdown.stand_by()


def _end(**_: Any) -> None:
    """Called inside a signal handler."""
    shutdown.shutdown.ask()
