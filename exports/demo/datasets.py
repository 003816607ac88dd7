"""Datasets of the demo shop: orders and invoices."""

from __future__ import annotations

from django.contrib.auth.models import AbstractBaseUser
from django.db.models import F, QuerySet, Value
from django.db.models.functions import Concat

from exports.datasets import Column, ColumnType, Dataset, register
from exports.demo.models import Category, Invoice, Order, Status


@register
class Orders(Dataset):
    """The reference dataset: plain fields, an expression over several fields, choices, and money."""

    key = "orders"
    label = "Orders"
    description = "All orders of your shops, one per row."
    date_field = "placed_at"
    columns = (
        Column("number", "Order"),
        Column("placed_at", "Placed", ColumnType.DATETIME),
        Column("buyer", "Buyer"),
        Column("ship_to", "Ship to", source=Concat("street", Value(", "), "city", Value(", "), "country")),
        Column("item", "Item"),
        Column("category", "Category", ColumnType.CHOICE, choices=Category),
        Column("quantity", "Quantity", ColumnType.INTEGER, total=True),
        Column("unit_price", "Unit price", ColumnType.MONEY, currency=F("currency")),
        Column("total", "Total", ColumnType.MONEY, currency=F("currency"), total=True),
        Column("status", "Status", ColumnType.CHOICE, choices=Status),
        Column("note", "Note"),
    )

    def queryset(self, user: AbstractBaseUser) -> QuerySet[Order]:
        return Order.objects.filter(owner_id=user.pk)


@register
class Invoices(Dataset):
    key = "invoices"
    label = "Invoices"
    description = "The monthly totals of the orders."
    date_field = "issued_at"
    columns = (
        Column("number", "Invoice"),
        Column("month", "Month", ColumnType.DATE),
        Column("issued_at", "Issued", ColumnType.DATETIME),
        Column("company", "Company", source="owner__customer__company"),
        Column("orders", "Orders", ColumnType.INTEGER),
        Column("total", "Total", ColumnType.MONEY, currency=F("currency"), total=True),
        Column("paid", "Paid", ColumnType.BOOLEAN),
        Column("paid_on", "Paid on", ColumnType.DATE),
    )

    def queryset(self, user: AbstractBaseUser) -> QuerySet[Invoice]:
        return Invoice.objects.filter(owner_id=user.pk)
