"""Tests of the demo's orders and invoices, without a database."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice, pairwise

from django.db.models import CharField

from exports.demo.catalogue import BUYERS, ITEMS, NOTES
from exports.demo.models import Order, Status
from exports.demo.seeding import ACCOUNTS, year_to_date
from exports.demo.trade import Account, Ledger, orders, price

START, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 3, 20, tzinfo=UTC)
SHOP = Account("one@example.com", "One Ltd", "GB", "UTC", "EUR", range(1, 2_001))
SCRIPTS = {
    "LATIN", "GREEK", "CYRILLIC", "ARABIC", "HEBREW", "DEVANAGARI", "THAI", "CJK", "HIRAGANA", "KATAKANA", "HANGUL",
}  # fmt: skip


def test_the_same_period_gives_the_same_orders() -> None:
    assert list(orders(SHOP, 1, START, END)) == list(orders(SHOP, 1, START, END))
    first, other = islice(orders(SHOP, 1, START, END), 2)
    assert first[3:] != other[3:]


def test_order_times_are_in_the_period_and_increase() -> None:
    moments = [order.placed_at for order in orders(SHOP, 1, START, END)]
    assert START <= moments[0] < START + timedelta(hours=2)
    assert END - timedelta(hours=2) < moments[-1] < END
    assert all(before <= after for before, after in pairwise(moments))


def test_totals_are_exact() -> None:
    for order in orders(SHOP, 1, START, END):
        assert order.total == order.quantity * order.unit_price
        assert order.total.as_tuple().exponent == -2


def test_prices_in_other_currencies_are_whole_units() -> None:
    assert price(1_249, 1) == Decimal("12.49")
    assert str(price(1_249, 160)) == "1998.00"


def test_orders_of_the_last_day_are_not_shipped_yet() -> None:
    last = [order for order in orders(SHOP, 1, START, END) if order.placed_at > END - timedelta(days=1)]
    assert {order.status for order in last} == {Status.PLACED, Status.PAID}
    assert {order.status for order in orders(SHOP, 1, START, END)} == set(Status.values)


def test_every_value_fits_its_column() -> None:
    for order in islice(orders(SHOP, 1, START, END), 500):
        for field in Order._meta.fields:
            if isinstance(field, CharField):
                assert len(getattr(order, field.name)) <= (field.max_length or 0)


def test_texts_have_many_scripts_and_special_characters() -> None:
    words = [word for buyer in BUYERS for word in buyer] + [item.text for item in ITEMS] + list(NOTES)
    text = "".join(words)
    assert {unicodedata.name(char).split()[0] for char in text if char.isalpha()} >= SCRIPTS
    assert any(unicodedata.category(char) == "So" for char in text)
    assert all(char in text for char in "\"',;\n\t\\")
    assert {word[0] for word in words} >= set("=-+@0")


def test_invoices_exclude_cancelled_orders_and_the_current_month() -> None:
    ledger, made = Ledger(), list(orders(SHOP, 1, START, END))
    for order in made:
        ledger.book(order)
    january, february = ledger.invoices(SHOP, 1, END)
    valid = [order for order in made if order.placed_at.month == 1 and order.status != Status.CANCELLED]
    assert (january.orders, january.total) == (len(valid), sum(order.total for order in valid))
    assert january.issued_at == datetime(2026, 2, 1, tzinfo=UTC)
    assert (january.paid, february.paid) == (True, True)
    assert len(list(ledger.invoices(SHOP, 1, END - timedelta(days=18)))) == 2
    assert [bill.paid for bill in ledger.invoices(SHOP, 1, END - timedelta(days=18))] == [True, False]


def test_december_is_invoiced_in_the_next_year() -> None:
    ledger = Ledger()
    for order in orders(SHOP, 1, datetime(2026, 12, 1, tzinfo=UTC), datetime(2026, 12, 31, tzinfo=UTC)):
        ledger.book(order)
    [december] = ledger.invoices(SHOP, 1, datetime(2027, 1, 1, tzinfo=UTC))
    assert december.issued_at == datetime(2027, 1, 1, tzinfo=UTC)


def test_the_year_to_date_ends_where_today_begins() -> None:
    zone = UTC
    assert year_to_date(datetime(2026, 11, 20, 15, tzinfo=zone)) == (START, datetime(2026, 11, 20, tzinfo=zone))
    new_year = datetime(2026, 1, 1, 0, 5, tzinfo=zone)
    assert year_to_date(new_year) == (START, new_year)


def test_the_accounts_are_as_documented() -> None:
    assert {account.email: len(account.numbers) for account in ACCOUNTS} == {
        "enterprise@example.com": 160_000,
        "small@example.com": 50,
        "staff@example.com": 0,
    }
