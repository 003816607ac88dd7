"""The Celery app of the site, as Celery's documentation for Django has it."""

import os

from celery import Celery

from durable.celery import install

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.hosts.own_tasks.settings")
app = Celery("host")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
install(app)
