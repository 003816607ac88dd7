"""The dataset of the ledger."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db.models import QuerySet

from benchmarks.ledger.models import Booking
from exports.datasets import Column, ColumnType, Dataset, register


@register
class Bookings(Dataset):
    """Eight plain columns. Every user exports the first LEDGER_ROWS rows of the table."""

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
        rows: int = getattr(settings, "LEDGER_ROWS")  # noqa: B009 - the site's own settings have no such name
        return Booking.objects.filter(pk__lte=rows)
