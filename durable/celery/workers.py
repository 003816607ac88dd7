"""What a Celery worker writes about itself, and how many tasks of a kind all workers together run at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from durable import __version__
from durable.celery.site import NotInstalled, queue_of

if TYPE_CHECKING:
    from durable.workers import Heart


def heart_of(consumer: Any) -> Heart:
    """Return the heart of the worker of this consumer (celery.worker.consumer)."""
    from durable.workers import Heart  # imports models, so only once Django's apps are ready

    queues = list(consumer.app.amqp.queues.consume_from)
    return Heart(consumer.hostname, queues, __version__, lambda: consumer.pool.num_processes)


def running_at_once(*tasks: str) -> list[int]:
    """Return for each task how many of it the workers that are alive can run at once; 0 if none is known."""
    from durable.workers import processes_of

    try:
        return processes_of([queue_of(task) for task in tasks])
    except NotInstalled:
        return [0] * len(tasks)
