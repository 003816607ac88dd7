import os

from django.apps import AppConfig


class PoisonConfig(AppConfig):
    """TIME_LIMITS="2 3" are the seconds of the soft and of the hard limit of every task."""

    name = "tests.poison"
    label = "poison"

    def ready(self) -> None:
        from config.celery import app

        if limits := os.environ.get("TIME_LIMITS"):
            soft, hard = limits.split()
            app.conf.update(task_soft_time_limit=int(soft), task_time_limit=int(hard))
