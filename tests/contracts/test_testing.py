"""The helpers that a site's own tests use: they pass for a private dataset, and fail for one that is not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db.models import Count, Q, QuerySet

from exports.datasets import Column, ColumnType, Dataset, RowsDataset, Selection
from exports.demo.datasets import Orders
from exports.demo.models import Order, Status
from exports.testing import assert_private, export_rows
from tests.contracts.owners import shops

pytestmark = pytest.mark.django_db


class Shared(Orders):
    """A dataset whose filter was forgotten."""

    key = "shared"

    def queryset(self, user: Any) -> QuerySet[Order]:
        return Order.objects.all()


class Leaking(Orders):
    """A dataset that gives everybody one user's row."""

    key = "leaking"

    def queryset(self, user: Any) -> QuerySet[Order]:
        return Order.objects.filter(Q(owner_id=user.pk) | Q(pk=Order.objects.order_by("pk")[:1].get().pk))


def test_a_private_dataset_passes() -> None:
    assert_private(Orders, *shops())
    assert_private("orders", *reversed(tuple(_users())))


def _users() -> list[Any]:
    from django.contrib.auth.models import User

    return list(User.objects.order_by("pk"))


@pytest.mark.parametrize("dataset", [Shared, Leaking])
def test_a_dataset_that_is_not_private_fails(dataset: type[Dataset]) -> None:
    one, other = shops()
    with pytest.raises(AssertionError, match="both owners"):
        assert_private(dataset, one, other)


class Sales(Dataset):
    """Groups, which have no keys."""

    model, label = Order, "Sales"
    columns = ("status", Column("orders", "Orders", ColumnType.INTEGER))

    def queryset(self, user: Any) -> QuerySet[Any]:
        return Order.objects.filter(owner=user.pk).values("status").annotate(orders=Count("pk"))


class SalesOfAll(Sales):
    def queryset(self, user: Any) -> QuerySet[Any]:
        return Order.objects.values("status").annotate(orders=Count("pk"))


class Visits(RowsDataset):
    """Rows of a site's own code."""

    label = "Visits"
    columns = (Column("page", "Page", ColumnType.TEXT),)

    def rows(self, selection: Selection) -> Iterator[dict[str, Any]]:
        yield {"page": f"/{selection.owner.pk}"}


def test_rows_without_keys_are_compared_by_their_values() -> None:
    one, other = shops()
    for number, owner in enumerate((one, other)):
        Order.objects.filter(owner=owner).update(status=list(Status)[number])
    assert export_rows(Sales, one) == [{"status": "placed", "orders": Order.objects.filter(owner=one).count()}]
    assert export_rows(Visits, one) == [{"page": f"/{one.pk}"}]
    assert_private(Sales, one, other)
    assert_private(Visits, one, other)
    with pytest.raises(AssertionError, match="give them different data"):
        assert_private(SalesOfAll, one, other)


def test_owners_without_rows_prove_nothing() -> None:
    one, other = shops()
    Order.objects.filter(owner=other).delete()
    with pytest.raises(AssertionError, match="create some first"):
        assert_private(Orders, one, other)


def test_rows_are_those_of_the_file() -> None:
    one, _ = shops()
    rows = export_rows(Orders, one, columns=["number", "total"])
    expected = Order.objects.filter(owner=one).order_by("pk").values_list("number", "total", "currency")
    assert rows == [{"number": a, "total": b, "total_currency": c} for a, b, c in expected]
