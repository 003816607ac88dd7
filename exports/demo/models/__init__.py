"""Models of the demo shop."""

from exports.demo.models.photos import Photo, Publication, Thumbnail
from exports.demo.models.rates import ExchangeRate, RatesUpdate
from exports.demo.models.shop import Category, Customer, Invoice, Order, Status

__all__ = [
    "Category",
    "Customer",
    "ExchangeRate",
    "Invoice",
    "Order",
    "Photo",
    "Publication",
    "RatesUpdate",
    "Status",
    "Thumbnail",
]
