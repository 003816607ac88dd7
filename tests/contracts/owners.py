"""Two users with rows for every registered dataset. Add a line to ROWS for each new dataset."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from django.contrib.auth.models import User

from exports.demo.models import Customer
from exports.demo.seeding import fill
from exports.demo.trade import Account
from tests.flights import source

START, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC)
Two = tuple[User, User]


def shop(name: str, numbers: range) -> User:
    """Create a customer with these orders in the first half of 2026, and their invoices. Return the user."""
    account = Account(f"{name}@example.com", f"{name} Ltd", "GB", "Europe/London", "GBP", numbers)
    user = User.objects.create_user(account.email)
    Customer.objects.create(user=user, company=account.company, country="GB", time_zone=account.time_zone)
    fill(account, user, START, END)
    return user


def shops() -> Two:
    return shop("one", range(1, 151)), shop("two", range(1001, 1061))


def carriers() -> Two:
    source.load(["HA", "OO"])
    return User.objects.get(username="HA"), User.objects.get(username="OO")


ROWS: dict[str, Callable[[], Two]] = {"orders": shops, "invoices": shops, "flights": carriers}
