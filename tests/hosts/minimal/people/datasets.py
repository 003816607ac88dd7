from __future__ import annotations

from django.db.models import QuerySet

from exports.datasets import Column, ColumnType, Dataset, register
from tests.hosts.minimal.people.models import Person, Purchase


@register
class Purchases(Dataset):
    key = "purchases"
    label = "Purchases"
    date_field = None
    columns = (Column("item", "Item"), Column("price", "Price", ColumnType.MONEY, currency="EUR"))

    def queryset(self, user: Person) -> QuerySet[Purchase]:
        return Purchase.objects.filter(person=user)
