from django.apps import AppConfig


class ChaosConfig(AppConfig):
    """What a site under faults has beside the real one: a channel and a schedule that write down each time they ran."""

    name = "tests.chaos"
    label = "chaos"

    def ready(self) -> None:
        from exports.upkeep import schedules
        from tests.chaos.tasks import SCHEDULE

        schedules.register(SCHEDULE)
