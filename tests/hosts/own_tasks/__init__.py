"""A site as somebody else has it: its own Celery app, settings and tasks, and durable.celery installed in a line."""

from .celery import app as celery_app

__all__ = ["celery_app"]
