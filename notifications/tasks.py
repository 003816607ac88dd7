"""Celery tasks. Each takes a primary key and calls a function."""

from durable.celery.tasks import durable_task
from notifications.delivery import deliver


@durable_task
def deliver_notification(delivery_pk: int) -> None:
    deliver(delivery_pk)
