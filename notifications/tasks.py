"""What the workers run: a primary key in, a call out."""

from celery import shared_task

from notifications.delivery import deliver


@shared_task(ignore_result=True)
def deliver_notification(delivery_pk: int) -> None:
    deliver(delivery_pk)
