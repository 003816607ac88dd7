"""The shop's own Celery app, with a task of its own."""

import os
from pathlib import Path

from celery import Celery

import durable.celery  # Carryall

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")

app = Celery("shop")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
durable.celery.install(app)  # Carryall


@app.task
def charge(card: str) -> None:
    """Charge a card, which must happen once: it writes a line for each call."""
    with (Path(os.environ["HOST_DIR"]) / "charges.txt").open("a") as file:
        file.write(f"{card}\n")
