"""Models of the demo shop: customers, their orders, and monthly invoices."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models


class Category(models.TextChoices):
    BOOKS = "books", "Books"
    FOOD = "food", "Food and drink"
    GARDEN = "garden", "House and garden"
    MUSIC = "music", "Music"
    OFFICE = "office", "Office"
    TOYS = "toys", "Toys and games"


class Status(models.TextChoices):
    PLACED = "placed", "Placed"
    PAID = "paid", "Paid"
    SHIPPED = "shipped", "Shipped"
    DELIVERED = "delivered", "Delivered"
    RETURNED = "returned", "Returned"
    CANCELLED = "cancelled", "Cancelled"


class Customer(models.Model):
    """Profile of a user: company, country and time zone."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="customer")
    company = models.CharField(max_length=120)
    country = models.CharField(max_length=2, help_text="ISO 3166-1 alpha-2.")
    time_zone = models.CharField(max_length=63, help_text="IANA name, as Europe/Berlin.")

    def __str__(self) -> str:
        return self.company


class Order(models.Model):
    """One order in the shop of `owner`. `total` is exactly quantity times unit price."""

    # Both indexes start with the owner, so an index on the owner alone would only waste space.
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="orders", db_index=False)
    number = models.CharField(max_length=20, help_text="Text: its leading zeros count.")
    placed_at = models.DateTimeField()
    buyer = models.CharField(max_length=120)
    street = models.CharField(max_length=200, help_text="May have several lines.")
    city = models.CharField(max_length=120)
    country = models.CharField(max_length=2, help_text="ISO 3166-1 alpha-2.")
    item = models.CharField(max_length=200)
    category = models.CharField(max_length=10, choices=Category.choices)
    quantity = models.PositiveIntegerField()
    unit_price = models.DecimalField(max_digits=12, decimal_places=2)
    total = models.DecimalField(max_digits=14, decimal_places=2)
    currency = models.CharField(max_length=3, help_text="ISO 4217.")
    status = models.CharField(max_length=10, choices=Status.choices)
    note = models.TextField(blank=True, default="")

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["owner", "placed_at"], name="order_of_owner_by_time"),
            models.Index(fields=["owner", "id"], name="order_of_owner_by_key"),
        ]

    def __str__(self) -> str:
        return f"order {self.number}"


class Invoice(models.Model):
    """Total of the orders of one calendar month (UTC), issued after the end of the month."""

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="invoices", db_index=False
    )
    number = models.CharField(max_length=20)
    month = models.DateField(help_text="The month's first day.")
    issued_at = models.DateTimeField()
    orders = models.PositiveIntegerField()
    total = models.DecimalField(max_digits=16, decimal_places=2)
    currency = models.CharField(max_length=3, help_text="ISO 4217.")
    paid = models.BooleanField(default=False)
    paid_on = models.DateField(null=True, blank=True)

    class Meta:
        indexes: ClassVar = [models.Index(fields=["owner", "issued_at"], name="invoice_of_owner_by_time")]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["owner", "number"], name="invoice_number_once"),
            models.CheckConstraint(
                condition=models.Q(paid=True, paid_on__isnull=False) | models.Q(paid=False, paid_on__isnull=True),
                name="invoice_paid_has_day",
            ),
        ]

    def __str__(self) -> str:
        return f"invoice {self.number}"
