import os

from django.apps import AppConfig


class PoisonConfig(AppConfig):
    """App of the poison datasets. TIME_LIMITS="2 3" sets the soft and hard time limits of every task, in seconds."""

    name = "tests.poison"
    label = "poison"

    def ready(self) -> None:
        from config.celery import app

        if limits := os.environ.get("TIME_LIMITS"):
            soft, hard = limits.split()
            app.conf.update(task_soft_time_limit=int(soft), task_time_limit=int(hard))
