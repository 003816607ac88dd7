"""The table of the ledger. It has no migrations: `migrate --run-syncdb` creates it in the database of a measurement."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class Booking(models.Model):
    """An entry of the ledger, with integers, a timestamp, texts and a decimal."""

    created = models.DateTimeField()
    reference = models.CharField(max_length=20)
    description = models.CharField(max_length=80)
    category = models.CharField(max_length=20)
    quantity = models.PositiveIntegerField()
    amount = models.DecimalField(max_digits=12, decimal_places=2)
    currency = models.CharField(max_length=3)

    objects: ClassVar[models.Manager[Booking]] = models.Manager()

    def __str__(self) -> str:
        return f"booking {self.reference}"
