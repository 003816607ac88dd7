"""Currency rates of a third party: a schedule opens a job every hour, which asks for them."""

from __future__ import annotations

from datetime import UTC, date
from decimal import Decimal
from typing import Any, ClassVar

from django.conf import settings
from django.db import models

from durable import clock
from durable.breaker import guarded
from durable.jobs import Job
from durable.lease import Lease
from exports.demo.rates_client import Away, fetch

PARTY = "currency rates"


class ExchangeRate(models.Model):
    """How much of a currency one euro buys."""

    currency = models.CharField(max_length=3, unique=True)
    rate = models.DecimalField(max_digits=18, decimal_places=8)
    day = models.DateField()

    class Meta:
        ordering: ClassVar = ["currency"]

    def __str__(self) -> str:
        return f"{self.rate.normalize():f} {self.currency}"


class RatesUpdate(Job):
    """Fetches the rates for one hour. If the third party is away, it is asked again later."""

    rate_limit = "10/m"
    max_attempts = 6

    hour = models.DateTimeField(unique=True)

    @classmethod
    def start(cls) -> RatesUpdate:
        """Open the job of this hour, or return it if there is one."""
        return cls.enqueue(hour=clock.now().astimezone(UTC).replace(minute=0, second=0, microsecond=0))

    def run(self, lease: Lease[Any]) -> dict[str, Any]:
        with guarded(PARTY, errors=Away):
            rates = fetch(settings.RATES_URL)
        return {"day": rates.day.isoformat(), "rates": {code: str(rate) for code, rate in rates.of.items()}}

    def record(self, result: dict[str, Any]) -> None:
        """Store the rates, unless newer ones are there already."""
        day = date.fromisoformat(result["day"])
        if ExchangeRate.objects.filter(day__gt=day).exists():
            return
        rates = [ExchangeRate(currency=code, rate=Decimal(rate), day=day) for code, rate in result["rates"].items()]
        ExchangeRate.objects.bulk_create(
            rates, update_conflicts=True, unique_fields=["currency"], update_fields=["rate", "day"]
        )
