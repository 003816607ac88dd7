"""Celery tasks. Each takes a primary key and calls a function."""

from celery import shared_task

from notifications.delivery import deliver


@shared_task(ignore_result=True)
def deliver_notification(delivery_pk: int) -> None:
    deliver(delivery_pk)
