"""The Celery app of the site; its settings are in celeryconfig.py."""

import os
from typing import Any

from celery import Celery
from celery.signals import setup_logging

from durable.celery import install

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("carryall")
app.config_from_object("config.celeryconfig")
app.autodiscover_tasks()
install(app)


@setup_logging.connect
def _keep_djangos_logging(**_: Any) -> None:
    """Keep Celery from configuring logging: it does not if this signal has a receiver. LOGGING has configured it."""
