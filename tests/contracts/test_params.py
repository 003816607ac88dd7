"""Parameters narrow the rows of their owner, and nothing else: the same rows in every part, estimate and file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, ClassVar

import pytest
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import User
from django.db.models import Count, QuerySet

from exports.datasets import Choice, Column, ColumnType, Dataset, Flag, Number, Param, Selection, Text, datasets
from exports.demo.models import Category, Invoice, Order, Status
from exports.errors import BadParam, UnfitDataset
from exports.forecast.estimates import estimate_request
from exports.intake.choices import ExportRequest
from exports.models.period import Period
from tests.contracts.owners import Two, shops
from tests.contracts.test_datasets import _scans
from tests.support.exports import registered

pytestmark = pytest.mark.django_db
HOSTILE = [
    "' OR 1=1 --",
    "open' OR 1=1",
    "%",
    "_",
    "\\",
    '"); DROP TABLE exports_export; --',
    "*",
    "None",
    "𝒳",
]


@pytest.fixture
def two() -> Two:
    return shops()


def keys(rows: QuerySet[Any]) -> list[int]:
    return list(rows.values_list("pk", flat=True))


def rows_in_parts(dataset: Dataset, selection: Selection, size: int | None) -> list[Any]:
    columns = dataset.choose([])
    return [row for part in dataset.key_ranges(selection, size) for row in dataset.source(selection, columns, part)]


# --- the rows of each kind ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", Status)
def test_a_choice_selects_the_rows_with_its_value(two: Two, status: Status) -> None:
    found = datasets.get("orders").filtered(two[0], {"status": status.value})
    assert keys(found) == keys(Order.objects.filter(owner=two[0], status=status).order_by("pk"))


def test_several_choices_a_search_and_a_flag(two: Two) -> None:
    owner, orders = two[0], datasets.get("orders")
    some = [Category.FOOD, Category.TOYS]
    found = orders.filtered(owner, {"category": "food,toys"})
    assert set(keys(found)) == set(keys(Order.objects.filter(owner=owner, category__in=some)))
    first = Order.objects.filter(owner=owner).first()
    assert first is not None
    assert first.pk in keys(orders.filtered(owner, {"search": first.number.lower()}))
    unpaid = datasets.get("invoices").filtered(owner, {"paid": "false"})
    assert set(keys(unpaid)) == set(keys(Invoice.objects.filter(owner=owner, paid=False)))


class Numbers(Dataset):
    """Orders with a parameter for each comparison of numbers, of whole ones, amounts and an annotation."""

    key, label, date_field = "numbers", "Numbers", None
    columns: ClassVar[Sequence[Column]] = (Column("number", "Number"),)
    params: ClassVar[Sequence[Param]] = (
        Number("quantity"),
        Number("at_least", field="quantity", lookup="gte"),
        Number("total"),
        Number("at_most", field="total", lookup="lte"),
    )

    def queryset(self, user: AbstractBaseUser) -> QuerySet[Order]:
        return Order.objects.filter(owner_id=user.pk)


@pytest.mark.parametrize(
    ("params", "passes"),
    [
        ({"quantity": "2"}, lambda order: order.quantity == 2),
        ({"quantity": "2.5"}, lambda order: False),
        ({"quantity": "99999999999999999999"}, lambda order: False),
        ({"at_least": "2.5"}, lambda order: order.quantity >= 3),
        ({"at_least": "-1"}, lambda order: True),
        ({"at_most": "100.01"}, lambda order: order.total <= Decimal("100.01")),
        ({"at_least": "2", "at_most": "50"}, lambda order: order.quantity >= 2 and order.total <= 50),
    ],
)
def test_numbers_are_compared_exactly(two: Two, params: dict[str, str], passes: Any) -> None:
    wanted = [order.pk for order in Order.objects.filter(owner=two[0]).order_by("pk") if passes(order)]
    assert keys(Numbers().filtered(two[0], params)) == wanted
    total = Order.objects.filter(owner=two[0]).values_list("total", flat=True)[7]
    same = keys(Numbers().filtered(two[0], {"total": f"{total:f}"}))
    assert same == keys(Order.objects.filter(owner=two[0], total=total).order_by("pk"))


# --- privacy --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_finds_only_itself_in_the_owners_rows(two: Two, text: str) -> None:
    orders = datasets.get("orders")
    assert keys(orders.filtered(two[0], {"search": text})) == []
    Order.objects.filter(owner=two[1]).update(buyer=text)
    assert keys(orders.filtered(two[0], {"search": text})) == []
    mine = Order.objects.filter(owner=two[0]).order_by("pk")[:2]
    Order.objects.filter(pk__in=keys(mine)).update(buyer=f"before{text}after")
    assert keys(orders.filtered(two[0], {"search": text})) == keys(mine)
    with pytest.raises(BadParam):
        orders.filtered(two[0], {"status": text})


@pytest.mark.parametrize(
    "name", ["owner", "owner_id", "status__in", "owner__password__startswith", "pk", "search__x", ""]
)
def test_a_name_is_never_a_lookup(two: Two, name: str) -> None:
    with pytest.raises(BadParam, match="has no parameter"):
        datasets.get("orders").filtered(two[0], {name: "1"})
    with pytest.raises(BadParam, match="has no parameter"):
        estimate_request(two[0], ExportRequest("orders", "csv", period="all", params={name: "1"}))


class Widening(Numbers):
    """Its filter returns rows of everybody."""

    params = (Choice("status", Status),)

    def filter(self, rows: QuerySet[Any], params: Mapping[str, Any]) -> QuerySet[Any]:
        return Order.objects.filter(**params)


class Uniting(Widening):
    def filter(self, rows: QuerySet[Any], params: Mapping[str, Any]) -> QuerySet[Any]:
        return rows | Order.objects.all()


class Everybody(Choice):
    def apply(self, rows: QuerySet[Any], value: Any) -> QuerySet[Any]:
        return Order.objects.filter(status=value)


class OwnKind(Numbers):
    params = (Everybody("status", Status),)


@pytest.mark.parametrize("kind", [Widening, Uniting, OwnKind])
def test_a_filter_of_the_site_cannot_add_rows_of_others(two: Two, kind: type[Dataset]) -> None:
    found = keys(kind().filtered(two[0], {"status": "delivered"}))
    assert found
    assert set(found) <= set(keys(Order.objects.filter(owner=two[0])))


class Sliced(Widening):
    def filter(self, rows: QuerySet[Any], params: Mapping[str, Any]) -> QuerySet[Any]:
        return rows[:3]


class Elsewhere(Widening):
    def filter(self, rows: QuerySet[Any], params: Mapping[str, Any]) -> QuerySet[Any]:
        return Invoice.objects.filter(owner=1)


@pytest.mark.parametrize(("kind", "reason"), [(Sliced, "filter() is a slice"), (Elsewhere, "a QuerySet of Order")])
def test_a_filter_that_cannot_be_cut_into_parts_is_refused(two: Two, kind: type[Dataset], reason: str) -> None:
    with pytest.raises(UnfitDataset) as refused:
        kind().selected(Selection(two[0], params={"status": "paid"}))
    assert reason in refused.value.detail


# --- related rows ---------------------------------------------------------------------------------------------------


class People(Dataset):
    """Users by their orders: the path of the search leads to many rows."""

    key, label, date_field = "people", "People", "date_joined"
    columns: ClassVar[Sequence[Column]] = (
        Column("username", "Name"),
        Column("placed", "Orders", ColumnType.INTEGER),
    )
    params: ClassVar[Sequence[Param]] = (
        Text("search", fields=["username", "orders__number"]),
        Choice("status", Status, field="orders__status", multiple=True),
        Flag("is_staff"),
    )

    def queryset(self, user: AbstractBaseUser) -> QuerySet[Any]:
        return User.objects.annotate(placed=Count("orders"))


def test_a_path_to_many_rows_selects_each_row_once_and_changes_no_value(two: Two) -> None:
    people = People()
    assert people.faults(two[0], people.columns) == []
    selection = Selection(two[0], params={"status": "paid,placed,shipped", "search": "0"})
    rows = rows_in_parts(people, selection, 1)
    everyone = [row for row in rows_in_parts(people, Selection(two[0]), None) if row[1]]
    assert rows == everyone
    assert len(rows) == 2


# --- parts and estimate ---------------------------------------------------------------------------------------------

CHOICES: list[dict[str, str]] = [
    {},
    {"status": "paid"},
    {"category": "food,toys"},
    {"search": "1"},
    {"status": "delivered", "category": "food,books,music", "search": "0"},
    {"search": "nothing has this"},
]


@pytest.mark.parametrize("params", CHOICES, ids=str)
def test_rows_are_the_same_wherever_they_are_cut_and_as_many_as_estimated(two: Two, params: dict[str, str]) -> None:
    orders, selection = datasets.get("orders"), Selection(two[0], params=params)
    whole = rows_in_parts(orders, selection, None)
    assert len(whole) == orders.filtered(two[0], params).count()
    for size in (1, 3, 50):
        assert rows_in_parts(orders, selection, size) == whole
    estimate = estimate_request(two[0], ExportRequest("orders", "csv", period="all", params=params))
    assert estimate.rows is not None
    assert estimate.rows.number == len(whole)
    assert orders.estimate(selection) == estimate.rows


def test_parameters_and_a_period_narrow_the_same_rows(two: Two) -> None:
    middle = datetime(2026, 3, 1, tzinfo=UTC)
    found = datasets.get("orders").selected(Selection(two[0], Period(middle, None), {"status": "delivered"}))
    wanted = Order.objects.filter(owner=two[0], status="delivered", placed_at__gte=middle).order_by("pk")
    assert keys(found) == keys(wanted)
    assert not list(_scans(found))


def test_each_dataset_of_an_export_takes_its_own_parameters(two: Two) -> None:
    params = {"orders.status": "paid", "numbers.at_least": "2"}
    selection = Selection(two[0], params=params)
    assert keys(datasets.get("orders").selected(selection)) == keys(
        Order.objects.filter(owner=two[0], status="paid").order_by("pk")
    )
    with registered(Numbers):
        assert keys(Numbers().selected(selection)) == keys(
            Order.objects.filter(owner=two[0], quantity__gte=2).order_by("pk")
        )
    assert datasets.get("invoices").selected(selection).count() == Invoice.objects.filter(owner=two[0]).count()
