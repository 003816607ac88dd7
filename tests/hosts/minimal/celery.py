"""The Celery app of the site, as Celery's documentation has it. Nothing connects to its broker."""

from celery import Celery

import durable.celery

app = Celery("minimal", broker="memory://")
durable.celery.install(app)
