"""The Celery app: its settings stand in celeryconfig.py; here, what happens when a process of it starts and ends."""

import os
from typing import Any

from celery import Celery
from celery.signals import beat_init, celeryd_init, setup_logging, worker_ready, worker_shutting_down

from config.shutdown import shutdown

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("carryall", task_cls="config.patient:Patient")
app.config_from_object("config.celeryconfig")
app.autodiscover_tasks()
app.autodiscover_tasks(["config"], related_name="slow")


@setup_logging.connect
def _keep_djangos_logging(**_: Any) -> None:
    """Celery leaves logging alone when this signal has a receiver: Django's LOGGING has already set it up."""


@celeryd_init.connect
@beat_init.connect
def _be_patient_with_redis(**_: Any) -> None:
    """Workers and Beat keep nobody waiting, so they give Redis five seconds before they call it gone."""
    app.conf.broker_transport_options |= {"socket_timeout": 5, "socket_connect_timeout": 2}


@worker_ready.connect
def _stand_by(**_: Any) -> None:
    from durable.sweep import sweeper  # models: only once Django's apps are ready

    sweeper.start()
    shutdown.stand_by()


@worker_shutting_down.connect
def _end(**_: Any) -> None:
    """Called inside a signal handler."""
    shutdown.ask()
