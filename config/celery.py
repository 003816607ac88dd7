"""The Celery app of the site; its settings are in celeryconfig.py."""

import os
from typing import Any

from celery import Celery
from celery.signals import heartbeat_sent, setup_logging
from django.conf import settings

from durable.celery import install

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("carryall")
app.config_from_object("config.celeryconfig")
app.autodiscover_tasks()
install(app)


@setup_logging.connect
def _keep_djangos_logging(**_: Any) -> None:
    """Keep Celery from configuring logging: it does not if this signal has a receiver. LOGGING has configured it."""


@heartbeat_sent.connect
def _touch_heartbeat_file(**_: Any) -> None:
    """Show the health check of a container that this worker's loop runs: every two seconds while the broker answers."""
    if settings.HEARTBEAT_FILE:
        settings.HEARTBEAT_FILE.touch()
