from typing import Any

from django.apps import AppConfig
from django.conf import settings


class DemoConfig(AppConfig):
    name = "exports.demo"
    label = "demo"
    verbose_name = "Demo shop"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from exports.upkeep import schedules

        schedules.register(
            schedules.Schedule(
                task="exports.demo.tasks.update_rates",
                name="Currency rates",
                description="Asks a third party for the currency rates of the demo shop, if RATES_URL is set.",
                run=update_rates,
                labels={"job": "job"},
                minute="7",
            )
        )


def update_rates() -> dict[str, Any]:
    """Open the job of this hour."""
    from exports.demo.models import RatesUpdate

    return {"job": RatesUpdate.start().pk} if settings.RATES_URL else {}
