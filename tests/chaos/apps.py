from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_save


class ChaosConfig(AppConfig):
    """App of a site under faults: adds a channel, a schedule and a job that log each of their runs to a ledger."""

    name = "tests.chaos"
    label = "chaos"

    def ready(self) -> None:
        from exports.upkeep import schedules
        from tests.chaos.tasks import SCHEDULE

        schedules.register(SCHEDULE)
        post_save.connect(open_job, sender="exports.Export")


def open_job(instance: Any, *, created: bool, **_: Any) -> None:
    """Open the job of a new export, in its transaction."""
    from tests.chaos.models import Imprint

    if created:
        Imprint.enqueue(export=instance.uuid)
