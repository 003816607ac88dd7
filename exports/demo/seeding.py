"""Seed the demo shop in one transaction. The rows depend only on the year and the day."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.db import transaction

from exports.demo.bulk import insert
from exports.demo.models import Customer, Invoice, Order
from exports.demo.trade import Account, Ledger, NewOrder, orders

PASSWORD = "demo"  # noqa: S105 - public on purpose; seeding is refused outside the demo


ACCOUNTS = (
    Account(
        email="enterprise@example.com",
        company="Weißbach & Söhne Großhandel GmbH",
        country="DE",
        time_zone="Europe/Berlin",
        currency="EUR",
        numbers=range(1, 160_001),
    ),
    Account(
        email="small@example.com",
        company="こもれび茶房 合同会社",
        country="JP",
        time_zone="Asia/Tokyo",
        currency="JPY",
        rate=160,
        numbers=range(7_000_001, 7_000_051),
    ),
    Account(
        email="staff@example.com",
        company="Carryall Ltd",
        country="GB",
        time_zone="UTC",
        currency="GBP",
        numbers=range(0),
        staff=True,
    ),
)


def year_to_date(now: datetime) -> tuple[datetime, datetime]:
    """Return 1 January 00:00 UTC and the start of the day of `now`; on 1 January, the end is `now` itself."""
    now = now.astimezone(UTC)
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    new_year = today.replace(month=1, day=1)
    return new_year, today if today > new_year else now


def is_seeded(now: datetime) -> bool:
    """Return whether all accounts exist with at least their number of orders of this year; users may add more."""
    emails = [account.email for account in ACCOUNTS]
    if Customer.objects.filter(user__username__in=emails).count() < len(emails):
        return False
    this_year = Order.objects.filter(placed_at__gte=year_to_date(now)[0])
    return all(this_year.filter(owner__username=each.email).count() >= len(each.numbers) for each in ACCOUNTS)


def seed(now: datetime) -> dict[str, int] | None:
    """Seed the shop as of `now`. Return the number of orders by e-mail, or None if it was seeded already.

    Old orders of the demo's customers are deleted. Existing users keep their passwords.
    """
    if is_seeded(now):
        return None
    with transaction.atomic():
        if is_seeded(now):  # another process seeded it while this one waited for the database lock
            return None
        password = make_password(PASSWORD)
        for account in ACCOUNTS:
            fill(account, _user(account, password), *year_to_date(now))
    return {account.email: len(account.numbers) for account in ACCOUNTS}


def _user(account: Account, password: str) -> User:
    user, _ = User.objects.get_or_create(
        username=account.email,
        defaults={
            "email": account.email,
            "password": password,
            "is_staff": account.staff,
            "is_superuser": account.staff,
        },
    )
    profile = {"company": account.company, "country": account.country, "time_zone": account.time_zone}
    Customer.objects.update_or_create(user=user, defaults=profile)
    return user


def fill(account: Account, user: User, start: datetime, end: datetime) -> None:
    """Replace the orders of `user` with the account's orders from `start` to `end`, and with their invoices."""
    Order.objects.filter(owner=user).delete()
    Invoice.objects.filter(owner=user).delete()
    ledger = Ledger()
    made = orders(account, user.pk, start, end)
    insert(Order, NewOrder._fields, _booked(made, ledger))
    Invoice.objects.bulk_create(ledger.invoices(account, user.pk, end))


def _booked(rows: Iterable[NewOrder], ledger: Ledger) -> Iterator[NewOrder]:
    """Yield the rows unchanged, and book each in the ledger."""
    for row in rows:
        ledger.book(row)
        yield row
