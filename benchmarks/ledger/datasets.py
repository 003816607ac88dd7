"""The ledger as a dataset like any other."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db.models import QuerySet

from benchmarks.ledger.models import Booking
from exports.datasets import Column, ColumnType, Dataset, register


@register
class Bookings(Dataset):
    """Eight plain columns. The first LEDGER_ROWS of the table are everybody's."""

    key = "bookings"
    label = "Bookings"
    date_field = "created"
    columns = (
        Column("id", "Id", ColumnType.INTEGER),
        Column("created", "Created", ColumnType.DATETIME),
        Column("reference", "Reference"),
        Column("description", "Description"),
        Column("category", "Category"),
        Column("quantity", "Quantity", ColumnType.INTEGER),
        Column("amount", "Amount", ColumnType.DECIMAL),
        Column("currency", "Currency"),
    )

    def queryset(self, user: AbstractBaseUser) -> QuerySet[Booking]:
        return Booking.objects.filter(pk__lte=settings.LEDGER_ROWS)
