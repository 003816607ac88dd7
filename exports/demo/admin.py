"""Admin of the demo shop: the orders of all customers, which staff can export."""

from django.contrib import admin

from durable.admin_lists import Bounded, ReadOnly
from exports.admin_actions import ExportSelectedMixin
from exports.demo.models import Order


@admin.register(Order)
class OrderAdmin(ExportSelectedMixin, ReadOnly, Bounded):
    list_display = ("number", "placed_at", "buyer", "country", "item", "total", "currency", "status")
    list_filter = ("status", "category")
    search_fields = ("number", "buyer")
