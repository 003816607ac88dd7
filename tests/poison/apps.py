import os

from django.apps import AppConfig


class PoisonConfig(AppConfig):
    """App of the poison datasets. TIME_LIMITS="2 3" sets the soft and hard time limits of our tasks, in seconds."""

    name = "tests.poison"
    label = "poison"

    def ready(self) -> None:
        from durable.celery.tasks import DurableTask

        if limits := os.environ.get("TIME_LIMITS"):
            DurableTask.soft_time_limit, DurableTask.time_limit = map(int, limits.split())
