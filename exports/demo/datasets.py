"""Datasets of the demo shop: orders and invoices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from django.db.models import Value
from django.db.models.functions import Concat

from exports.datasets import Choice, Column, ColumnType, Dataset, Flag, Money, Param, Text, register
from exports.demo.models import Category, Invoice, Order, Status


@register
class Orders(Dataset):
    """The reference dataset: plain fields, an expression over several fields, choices, and money."""

    model, owner, date_field = Order, "owner", "placed_at"
    description = "All orders of your shops, one per row."
    purpose = "Selling and delivering the goods of your shops."
    retention = "10 years after the order (tax law)."
    recipients = "The carrier who delivers the order."
    columns = (
        Column("number", "Order"),
        Column("placed_at", "Placed", ColumnType.DATETIME),
        "buyer",
        Column("ship_to", "Ship to", source=Concat("street", Value(", "), "city", Value(", "), "country")),
        "item",
        "category",
        Column("quantity", total=True),
        Money("unit_price", currency="currency"),
        Money("total", currency="currency", total=True),
        "status",
        "note",
    )
    params: ClassVar[Sequence[Param]] = (
        Choice("status", Status),
        Choice("category", Category, multiple=True),
        Text("search", fields=("number", "buyer", "item")),
    )


@register
class Invoices(Dataset):
    model, owner, date_field = Invoice, "owner", "issued_at"
    description = "The monthly totals of the orders."
    purpose = "Billing, and the accounts of your company."
    retention = "10 years after the invoice (tax law)."
    columns = (
        Column("number", "Invoice"),
        "month",
        Column("issued_at", "Issued", ColumnType.DATETIME),
        Column("company", source="owner__customer__company"),
        "orders",
        Money("total", currency="currency", total=True),
        "paid",
        "paid_on",
    )
    params = (Flag("paid"),)
