"""One table. It has no migrations: `migrate --run-syncdb` makes it, for a measurement's own database."""

from __future__ import annotations

from django.db import models


class Booking(models.Model):
    """A line of a ledger: an integer, a moment, five kinds of text, a small number and an exact one."""

    created = models.DateTimeField()
    reference = models.CharField(max_length=20)
    description = models.CharField(max_length=80)
    category = models.CharField(max_length=20)
    quantity = models.PositiveIntegerField()
    amount = models.DecimalField(max_digits=12, decimal_places=2)
    currency = models.CharField(max_length=3)

    def __str__(self) -> str:
        return f"booking {self.reference}"
