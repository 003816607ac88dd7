"""Deterministic orders and monthly invoices of the demo shop, without a database."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from exports.demo.catalogue import BUYERS, ITEMS, NOTES
from exports.demo.models import Invoice, Status

MASK = 2**64 - 1
DAYS_TO_PAY = timedelta(days=14)


@dataclass(frozen=True)
class Account:
    """One demo account, its shop, and the numbers of its orders. `rate` is the price of a euro in `currency`."""

    email: str
    company: str
    country: str
    time_zone: str
    currency: str
    numbers: range
    rate: int = 1
    staff: bool = False


class NewOrder(NamedTuple):
    """Values of an order, by field name."""

    owner_id: int
    number: str
    placed_at: datetime
    buyer: str
    street: str
    city: str
    country: str
    item: str
    category: str
    quantity: int
    unit_price: Decimal
    total: Decimal
    currency: str
    status: str
    note: str


def orders(account: Account, owner_id: int, start: datetime, end: datetime) -> Iterator[NewOrder]:
    """Yield an order for each of the account's numbers, each at a time in its own equal slice of `start` to `end`.

    So times increase with keys.
    """
    catalogue = [(item.text, item.category.value, price(item.cents, account.rate)) for item in ITEMS]
    step = (end - start) / max(len(account.numbers), 1)
    for index, number in enumerate(account.numbers):
        bits = noise(number)
        placed_at = start + step * index + step * (bits & 0xFF) / 256
        item, category, unit_price = catalogue[(bits >> 8) % len(catalogue)]
        quantity = 1 + (bits >> 16) % 6 * ((bits >> 20) % 3)
        yield NewOrder(
            owner_id,
            f"{number:08d}",
            placed_at.replace(microsecond=0),
            *BUYERS[(bits >> 24) % len(BUYERS)],
            item,
            category,
            quantity,
            unit_price,
            unit_price * quantity,
            account.currency,
            status(end - placed_at, bits >> 48),
            NOTES[(bits >> 32) % len(NOTES)] if (bits >> 40) % 4 == 0 else "",
        )


def noise(seed: int) -> int:
    """Return 64 pseudo-random bits that depend only on `seed`: the finaliser of SplitMix64."""
    bits = seed * 0x9E3779B97F4A7C15 & MASK
    bits = (bits ^ bits >> 30) * 0xBF58476D1CE4E5B9 & MASK
    bits = (bits ^ bits >> 27) * 0x94D049BB133111EB & MASK
    return bits ^ bits >> 31


def price(cents: int, rate: int) -> Decimal:
    """Convert a price in hundredths of a euro, at `rate` units per euro. With a rate other than 1, round down."""
    return Decimal(cents).scaleb(-2) if rate == 1 else Decimal(cents * rate // 100).quantize(Decimal("0.01"))


def status(age: timedelta, luck: int) -> str:
    if age < timedelta(days=1):
        return (Status.PLACED if luck % 3 else Status.PAID).value
    if luck % 25 == 0:
        return Status.CANCELLED.value
    if age < timedelta(days=5):
        return Status.SHIPPED.value
    return (Status.DELIVERED if luck % 33 else Status.RETURNED).value


class Ledger:
    """Number and total of the orders of each month, without cancelled ones."""

    def __init__(self) -> None:
        self.months: dict[date, tuple[int, Decimal]] = {}

    def book(self, order: NewOrder) -> None:
        if order.status == Status.CANCELLED:
            return
        month = order.placed_at.date().replace(day=1)
        count, total = self.months.get(month, (0, Decimal()))
        self.months[month] = count + 1, total + order.total

    def invoices(self, account: Account, owner_id: int, end: datetime) -> Iterator[Invoice]:
        """Yield an invoice for each month that is over at `end`."""
        for month, (count, total) in self.months.items():
            issued_at = datetime(month.year + month.month // 12, month.month % 12 + 1, 1, tzinfo=UTC)
            if issued_at > end:
                continue
            due = issued_at + DAYS_TO_PAY
            yield Invoice(
                owner_id=owner_id,
                number=f"{month:%Y-%m}",
                month=month,
                issued_at=issued_at,
                orders=count,
                total=total,
                currency=account.currency,
                paid=due <= end,
                paid_on=due.date() if due <= end else None,
            )
