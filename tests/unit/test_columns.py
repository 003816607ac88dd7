"""Columns of every type, computed by the database or by Python functions."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.contrib.auth.models import User
from django.db import OperationalError
from django.db.models import F, QuerySet, Value
from django.db.models.functions import Concat

from exports.datasets import Column, ColumnType, Dataset, RowStream, Selection, flat
from exports.demo.models import Order, Status
from exports.errors import DatabaseAway, DatasetFailed, ExportError, NoMemory, NoPermission
from exports.models.period import Period
from tests.support.shop import orders

ALL = Period()
TOTAL = Column("total", "Total", ColumnType.MONEY, currency=F("currency"), total=True)
EUROS = Column("total", "Total", ColumnType.MONEY, currency="EUR")
NUMBER = Column("number", "Number")


class Orders(Dataset):
    key, label, date_field = "columns-orders", "Orders", "placed_at"
    columns = (NUMBER,)

    def queryset(self, user: Any) -> QuerySet[Order]:
        return Order.objects.filter(owner_id=user.pk)


@pytest.fixture
def ada(db: None) -> User:
    user = User.objects.create_user("ada")
    orders(user, 3)
    return user


def source(user: User, *columns: Column) -> RowStream:
    dataset = Orders()
    [keys] = dataset.key_ranges(Selection(user, ALL), None)
    return dataset.source(Selection(user, ALL), columns, keys)


def computed(function: Callable[[Order], Any]) -> Column:
    return Column("computed", "Computed", function=function)


def test_money_is_an_amount_and_a_currency() -> None:
    amount, currency = TOTAL.slots
    assert (amount.name, amount.type, amount.total) == ("total", ColumnType.DECIMAL, True)
    assert (currency.name, currency.type, str(currency.label)) == (
        "total_currency",
        ColumnType.TEXT,
        "Total (currency)",
    )
    assert [slot.name for slot in flat([NUMBER, TOTAL])] == ["number", "total", "total_currency"]
    assert ColumnType.MONEY.numeric


def test_money_has_the_currency_of_its_row_or_a_fixed_one(ada: User) -> None:
    assert set(source(ada, TOTAL)) == {(Decimal("3.00"), "EUR")}
    Order.objects.update(currency="GBP")
    assert set(source(ada, TOTAL)) == {(Decimal("3.00"), "GBP")}
    assert set(source(ada, EUROS)) == {(Decimal("3.00"), "EUR")}


def test_a_choice_keeps_the_stored_value_and_has_labels(ada: User) -> None:
    status = Column("status", "Status", ColumnType.CHOICE, choices=Status)
    assert set(source(ada, status)) == {("paid",)}
    assert status.words["paid"] == "Paid"
    assert Column("a", "A", ColumnType.CHOICE, choices=[("x", "Ex"), ("y", "Why")]).words == {"x": "Ex", "y": "Why"}
    assert Column("a", "A", ColumnType.CHOICE).words == {}


def test_a_null_column_is_none(ada: User) -> None:
    assert set(source(ada, Column("gone", "Gone", ColumnType.NULL))) == {(None,)}


def test_a_function_can_be_mixed_with_fields_expressions_and_paths(ada: User) -> None:
    columns = (
        NUMBER,
        computed(lambda row: f"{row.number}/{row.quantity}"),
        Column("owner", "Owner", source="owner__username"),
        Column("both", "Both", source=Concat("number", Value("-"), "currency")),
        TOTAL,
    )
    rows = list(source(ada, *columns))
    assert [row[1] for row in rows] == [f"{row[0]}/2" for row in rows]
    assert {row[2:] for row in rows} == {("ada", f"{rows[0][0]}-EUR", Decimal("3.00"), "EUR")} | {
        ("ada", f"{row[0]}-EUR", Decimal("3.00"), "EUR") for row in rows
    }
    assert source(ada, *columns).copying() is None


def test_functions_read_in_pages(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exports.datasets.source.CHUNK", 2)
    counts: list[int] = []
    rows = source(ada, computed(lambda row: row.pk))
    rows.each = counts.append
    assert [len(batch) for batch in rows._pages(2)] == [2, 1]
    assert [row for (row,) in rows] == list(map(str, Order.objects.order_by("pk").values_list("pk", flat=True)))
    assert counts[-1] == rows.read == 3


def test_a_failing_function_is_reported_with_row_and_column(ada: User) -> None:
    key = Order.objects.order_by("pk").values_list("pk", flat=True)[1]

    def picky(row: Order) -> int:
        return 1 // (row.pk - key)

    with pytest.raises(DatasetFailed, match=rf"“Computed” could not be computed for the row {key}\.") as raised:
        list(source(ada, computed(picky)))
    assert isinstance(raised.value.__cause__, ZeroDivisionError)
    assert "ZeroDivision" not in raised.value.message


def test_a_function_may_raise_an_export_error(ada: User) -> None:
    def forbidden(row: Order) -> None:
        raise NoPermission

    with pytest.raises(NoPermission):
        list(source(ada, computed(forbidden)))


@pytest.mark.parametrize(
    ("raised", "known"),
    [
        (SoftTimeLimitExceeded(), SoftTimeLimitExceeded),
        (MemoryError(), NoMemory),
        (OperationalError("the connection is closed"), DatabaseAway),
    ],
    ids=repr,
)
def test_external_errors_in_a_function_are_not_dataset_errors(
    ada: User, raised: Exception, known: type[Exception]
) -> None:
    def unlucky(row: Order) -> None:
        raise raised

    with pytest.raises(known):
        list(source(ada, computed(unlucky)))


def test_a_failing_query_is_a_dataset_error(ada: User) -> None:
    with pytest.raises(ExportError) as raised:
        list(source(ada, Column("nonsense", "Nonsense")))
    assert raised.value.code == "dataset_failed"


def test_head_does_not_consume_rows(ada: User) -> None:
    rows = source(ada, NUMBER)
    assert len(rows.head(2)) == 2
    assert (rows.read, len(list(rows)), rows.read) == (0, 3, 3)
