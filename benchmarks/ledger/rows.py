"""The rows of the ledger: row n is the same on every machine, without a seed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

COLUMNS = ("id", "created", "reference", "description", "category", "quantity", "amount", "currency")
Booked = tuple[int, datetime, str, str, str, int, Decimal, str]

BEGIN, INTERVAL = datetime(2025, 1, 1, tzinfo=UTC), timedelta(seconds=29)
WORDS = (  # noqa: SIM905 - easier to read
    "invoice payment refund subscription café naïve Zürich Łódź order monthly annual licence über transfer fee "
    "delivery señor crème brûlée Αθήνα Привет support storage upgrade plan seat usage credit note bank wire card "
    "München façade Ørsted handling"
).split()
CATEGORIES = ("Software", "Hardware", "Travel", "Café & food", "Utilities", "Fees", "Services", "Other")
CURRENCIES = ("EUR", "USD", "GBP", "CHF", "PLN")
CENTS = 5_000_000


def bookings(count: int) -> Iterator[Booked]:
    """Yield rows 1 to `count`."""
    for number in range(1, count + 1):
        numbers = _random_numbers(number)
        yield (
            number,
            BEGIN + number * INTERVAL,
            f"TX-2025-{number * 7919 % 10**8:08d}",
            _description(numbers),
            CATEGORIES[next(numbers) % len(CATEGORIES)],
            1 + next(numbers) % 40,
            Decimal(next(numbers) % CENTS).scaleb(-2),
            CURRENCIES[next(numbers) % len(CURRENCIES)],
        )


def _random_numbers(number: int) -> Iterator[int]:
    """Yield pseudo-random numbers below 2**24. This linear congruential generator is much faster than random.Random."""
    state = number * 2654435761 + 12345 & 0xFFFFFFFF
    while True:
        state = state * 1664525 + 1013904223 & 0xFFFFFFFF
        yield state >> 8


def _description(numbers: Iterator[int]) -> str:
    """Return a few words, 15 to 60 characters."""
    length = 15 + next(numbers) % 41
    text = WORDS[next(numbers) % len(WORDS)].capitalize()
    while len(text) < length:
        text += " " + WORDS[next(numbers) % len(WORDS)]
    return text[:60]
