"""The site: reads the environment once and wires the apps together. No app imports it."""

from config import timeouts  # noqa: F401 - it listens for new connections
from config.celery import app as celery_app

__all__ = ["celery_app"]
