from django.apps import AppConfig


class ChaosConfig(AppConfig):
    """App of a site under faults: adds a channel and a schedule that log each of their runs to a ledger."""

    name = "tests.chaos"
    label = "chaos"

    def ready(self) -> None:
        from exports.upkeep import schedules
        from tests.chaos.tasks import SCHEDULE

        schedules.register(SCHEDULE)
