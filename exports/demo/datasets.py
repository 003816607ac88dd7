"""What a customer of the demo shop can export."""

from __future__ import annotations

from django.contrib.auth.models import AbstractBaseUser
from django.db.models import Case, Expression, F, QuerySet, TextChoices, Value, When
from django.db.models.functions import Concat

from exports.datasets import Column, ColumnType, Dataset, register
from exports.demo.models import Category, Invoice, Order, Status


def in_words(field: str, choices: type[TextChoices]) -> Expression:
    """The words that a choice is shown with, looked up by the database."""
    words = [When(**{field: value}, then=Value(str(text))) for value, text in choices.choices]
    return Case(*words, default=F(field))


@register
class Orders(Dataset):
    """The reference dataset: plain fields, an expression over several, and choices in words."""

    key = "orders"
    label = "Orders"
    description = "Every order that your shops took, one a row."
    date_field = "placed_at"
    columns = (
        Column("number", "Order"),
        Column("placed_at", "Placed", ColumnType.DATETIME),
        Column("buyer", "Buyer"),
        Column("ship_to", "Ship to", source=Concat("street", Value(", "), "city", Value(", "), "country")),
        Column("item", "Item"),
        Column("category", "Category", source=in_words("category", Category)),
        Column("quantity", "Quantity", ColumnType.INTEGER),
        Column("unit_price", "Unit price", ColumnType.DECIMAL),
        Column("total", "Total", ColumnType.DECIMAL),
        Column("currency", "Currency"),
        Column("status", "Status", source=in_words("status", Status)),
        Column("note", "Note"),
    )

    def queryset(self, user: AbstractBaseUser) -> QuerySet[Order]:
        return Order.objects.filter(owner_id=user.pk)


@register
class Invoices(Dataset):
    key = "invoices"
    label = "Invoices"
    description = "What the orders of each month came to."
    date_field = "issued_at"
    columns = (
        Column("number", "Invoice"),
        Column("month", "Month", ColumnType.DATE),
        Column("issued_at", "Issued", ColumnType.DATETIME),
        Column("company", "Company", source="owner__customer__company"),
        Column("orders", "Orders", ColumnType.INTEGER),
        Column("total", "Total", ColumnType.DECIMAL),
        Column("currency", "Currency"),
        Column("paid", "Paid", ColumnType.BOOLEAN),
        Column("paid_on", "Paid on", ColumnType.DATE),
    )

    def queryset(self, user: AbstractBaseUser) -> QuerySet[Invoice]:
        return Invoice.objects.filter(owner_id=user.pk)
