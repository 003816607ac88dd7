"""Tests of `manage.py seed_demo`, and of the time zones of the demo's users."""

from __future__ import annotations

from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db.models import Count, Max, Min
from django.test import override_settings
from django.utils import timezone

from exports.demo import seeding, trade
from exports.demo.models import Customer, Invoice, Order
from exports.demo.people import time_zone
from exports.demo.trade import Account

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 20, 12, 30, tzinfo=UTC)
FEW = (
    Account("enterprise@example.com", "One", "DE", "Europe/Berlin", "EUR", range(1, 301)),
    Account("small@example.com", "Two", "JP", "Asia/Tokyo", "JPY", range(7_000_001, 7_000_021), rate=160),
    Account("staff@example.com", "Three", "GB", "UTC", "GBP", range(0), staff=True),
)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same accounts with fewer orders."""
    monkeypatch.setattr(seeding, "ACCOUNTS", FEW)


def rows() -> list[tuple[Any, ...]]:
    names = [field.name for field in Order._meta.fields if field.name != "id"]
    return list(Order.objects.order_by("owner__username", "id").values_list(*names))


def run(**options: Any) -> str:
    output = StringIO()
    call_command("seed_demo", stdout=output, **options)
    return output.getvalue()


@pytest.mark.slow
def test_the_whole_shop() -> None:
    output = run()
    assert output.count("\n") == 1
    assert "enterprise@example.com 160,000, small@example.com 50" in output
    counts = Order.objects.values_list("owner__username").annotate(Count("id")).order_by("owner__username")
    assert dict(counts) == {"enterprise@example.com": 160_000, "small@example.com": 50}
    span = Order.objects.aggregate(first=Min("placed_at"), last=Max("placed_at"))
    assert span["first"].year == span["last"].year == timezone.now().year
    assert span["last"] <= timezone.now()
    assert run() == ""


def test_a_second_run_changes_nothing(few: None) -> None:
    assert seeding.seed(NOW) == {"enterprise@example.com": 300, "small@example.com": 20, "staff@example.com": 0}
    before = list(Order.objects.order_by("id").values_list())
    assert seeding.seed(NOW) is None
    assert seeding.seed(datetime(2026, 12, 31, 23, 59, tzinfo=UTC)) is None
    assert list(Order.objects.order_by("id").values_list()) == before


def test_an_additional_order_is_kept(few: None) -> None:
    seeding.seed(NOW)
    Order.objects.create(
        owner=User.objects.get(username="small@example.com"), placed_at=NOW, quantity=1, unit_price=1, total=1
    )
    assert seeding.seed(NOW) is None
    assert Order.objects.count() == 321


def test_seeding_an_empty_shop_again_creates_the_same_rows(few: None) -> None:
    seeding.seed(NOW)
    before = rows()
    Order.objects.all().delete()
    seeding.seed(NOW)
    assert rows() == before


def test_a_new_year_is_seeded_again(few: None) -> None:
    seeding.seed(NOW)
    assert seeding.seed(datetime(2027, 1, 3, 8, tzinfo=UTC)) is not None
    assert Order.objects.count() == 320
    assert not Order.objects.exclude(placed_at__year=2027).exists()
    assert not Order.objects.filter(placed_at__gte=datetime(2027, 1, 3, tzinfo=UTC)).exists()
    assert not Invoice.objects.exists()


@pytest.mark.parametrize("hour", [0, 23])
def test_on_1_january_orders_end_now(few: None, hour: int) -> None:
    now = datetime(2027, 1, 1, hour, 0, 1, tzinfo=UTC)
    seeding.seed(now)
    assert Order.objects.filter(placed_at__lt=now, placed_at__gte=datetime(2027, 1, 1, tzinfo=UTC)).count() == 320


def test_an_error_rolls_everything_back(few: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(trade.Ledger, "invoices", refuse)
    with pytest.raises(OSError, match="disk"):
        seeding.seed(NOW)
    assert not User.objects.exists()
    assert not Order.objects.exists()


def test_all_users_can_sign_in_and_only_staff_has_the_admin(few: None) -> None:
    seeding.seed(NOW)
    people = {user.username: user for user in User.objects.all()}
    assert all(user.check_password("demo") and user.email == name for name, user in people.items())
    assert [name for name, user in people.items() if user.is_staff and user.is_superuser] == ["staff@example.com"]


def test_a_changed_password_is_kept(few: None) -> None:
    User.objects.create_user("small@example.com", password="mine")
    seeding.seed(NOW)
    assert User.objects.get(username="small@example.com").check_password("mine")


def test_time_zones(few: None) -> None:
    seeding.seed(NOW)
    zones = {user.username: time_zone(user) for user in User.objects.all()}
    assert zones == {
        "enterprise@example.com": "Europe/Berlin",
        "small@example.com": "Asia/Tokyo",
        "staff@example.com": "UTC",
    }
    with override_settings(TIME_ZONE="Europe/Athens"):
        assert time_zone(User.objects.create_user("new@example.com")) == "Europe/Athens"


def test_string_representations(few: None) -> None:
    seeding.seed(NOW)
    assert str(Customer.objects.order_by("pk")[0]) == "One"
    assert str(Order.objects.order_by("pk")[0]) == "order 00000001"
    assert str(Invoice.objects.order_by("pk")[0]) == "invoice 2026-01"


def test_verbosity_0_prints_nothing(few: None) -> None:
    assert run(verbosity=0) == ""
    assert Order.objects.exists()


@override_settings(DEMO=False)
def test_it_is_refused_outside_the_demo() -> None:
    with pytest.raises(CommandError, match="set ENVIRONMENT=demo"):
        run()
    assert not User.objects.exists()
