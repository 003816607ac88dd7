from __future__ import annotations

from django.contrib.auth.models import AbstractBaseUser
from django.db.models import DateTimeField, IntegerField, QuerySet

from exports.datasets import Column, ColumnType, Dataset, register
from tests.flights.models import Flight


def _column(name: str) -> Column:
    match Flight._meta.get_field(name):
        case DateTimeField():
            return Column(name, name, ColumnType.DATETIME)
        case IntegerField():
            return Column(name, name, ColumnType.INTEGER)
        case _:
            return Column(name, name)


@register
class Flights(Dataset):
    """Flights of one carrier: a user whose name is the code of the carrier."""

    key = "flights"
    label = "Flights"
    date_field = "time_hour"
    columns = tuple(_column(field.name) for field in Flight._meta.fields if field.name != "id")

    def queryset(self, user: AbstractBaseUser) -> QuerySet[Flight]:
        return Flight.objects.filter(carrier=user.get_username())
