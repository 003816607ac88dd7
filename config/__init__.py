"""The site: settings, URLs and the Celery app. No app imports it."""

from config import timeouts  # noqa: F401 - it connects a signal handler
from config.celery import app as celery_app

__all__ = ["celery_app"]
