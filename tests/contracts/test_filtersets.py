"""A FilterSet of django-filter as the parameters of a dataset: its form, its conditions, and only the owner's rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import django_filters
import pytest
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest, QueryDict

from exports.datasets import Column, Dataset, Selection, Text
from exports.datasets.filtering import RequestParams, in_words, parameters
from exports.demo.models import Order
from exports.errors import BadParam
from tests.contracts.owners import Two, shops

pytestmark = pytest.mark.django_db


def visible(request: Any) -> QuerySet[User]:
    return User.objects.filter(pk=request.user.pk)


class OrderFilter(django_filters.FilterSet):  # type: ignore[misc]  # it has no stubs
    total = django_filters.RangeFilter()
    search = django_filters.CharFilter(field_name="buyer", lookup_expr="icontains", label="Search")
    of = django_filters.ModelChoiceFilter(field_name="owner", queryset=visible, label="Shop")
    any_status = django_filters.MultipleChoiceFilter(
        field_name="status", choices=Order._meta.get_field("status").choices
    )
    o = django_filters.OrderingFilter(fields=["number"])
    everybody = django_filters.BooleanFilter(method="all_orders", label="All")

    class Meta:
        model = Order
        fields: ClassVar = {"quantity": ["exact", "gte"], "placed_at": ["date"]}

    def all_orders(self, rows: QuerySet[Any], name: str, value: bool) -> QuerySet[Any]:
        return Order.objects.all()


class Orders(Dataset):
    key, label, date_field = "filtered-orders", "Orders", "placed_at"
    columns: ClassVar[Sequence[Column]] = (Column("number", "Number"),)
    filterset = OrderFilter

    def queryset(self, user: AbstractBaseUser) -> QuerySet[Order]:
        return Order.objects.filter(owner_id=user.pk)


@pytest.fixture
def two() -> Two:
    return shops()


def numbers(owner: User, given: dict[str, Any]) -> set[str]:
    texts = RequestParams([Orders()], owner).choose(given)
    return set(Orders().selected(Selection(owner, params=texts)).values_list("number", flat=True))


def test_each_filter_but_the_ordering_is_a_parameter(two: Two) -> None:
    fields = parameters(Orders(), two[0]).fields
    names = ["total", "search", "of", "any_status", "everybody", "quantity", "quantity__gte", "placed_at__date"]
    assert sorted(fields) == sorted(names)
    assert Orders().faults(two[0], Orders.columns) == []


@pytest.mark.parametrize(
    "given",
    [
        {"search": "a"},
        {"total": ["10", "200"]},
        {"total": "10,"},
        {"total_min": "10", "total_max": "200"},
        {"any_status": ["paid", "shipped"]},
        {"any_status": "paid"},
        {"quantity__gte": "3", "search": "e"},
        {"placed_at__date": "2026-02-03"},
    ],
)
def test_the_rows_are_those_of_the_list_with_the_same_query(two: Two, given: dict[str, Any]) -> None:
    query = QueryDict(mutable=True)
    for name, value in given.items():
        if name == "total":
            low, high = value if isinstance(value, list) else value.split(",")
            query.update({"total_min": low, "total_max": high})
        else:
            query.setlist(name, value if isinstance(value, list) else [value])
    request = HttpRequest()
    request.user = two[0]
    listed = OrderFilter(query, queryset=Order.objects.filter(owner=two[0]), request=request)
    assert numbers(two[0], given) == set(listed.qs.values_list("number", flat=True))


def test_no_filter_adds_rows_of_others(two: Two) -> None:
    everything = set(Order.objects.filter(owner=two[0]).values_list("number", flat=True))
    assert numbers(two[0], {"everybody": "true"}) == everything
    assert numbers(two[0], {"of": str(two[0].pk)}) == everything


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"any_status": "open"}, "Status: Select a valid choice. open is not one of the available choices."),
        ({"total_min": "many"}, "Total: Enter a number."),
        ({"o": "number"}, "has no parameter o"),
        ({"owner__password": "x"}, "has no parameter owner__password"),
    ],
)
def test_its_messages_refuse_wrong_values(two: Two, given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadParam) as refused:
        RequestParams([Orders()], two[0]).choose(given)
    assert sentence in refused.value.message


def test_its_request_has_the_owner_as_user(two: Two) -> None:
    with pytest.raises(BadParam, match="Shop: Select a valid choice"):
        RequestParams([Orders()], two[0]).choose({"of": str(two[1].pk)})


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("total", "10,", ("Total", "10 – …")),
        ("any_status", "paid,shipped", ("Status", "Paid, Shipped")),
        ("quantity__gte", "3", ("Quantity is greater than or equal to", "3")),
        ("placed_at__date", "2026-02-03", ("Placed at date", "3 February 2026")),
        ("everybody", "true", ("All", "Yes")),
    ],
)
def test_its_values_are_described_in_words(two: Two, name: str, text: str, words: tuple[str, str]) -> None:
    assert in_words(parameters(Orders(), two[0]), name, text) == words


def test_a_model_choice_is_described_by_its_label(two: Two) -> None:
    params = parameters(Orders(), two[0])
    assert in_words(params, "of", str(two[0].pk)) == ("Shop", str(two[0]))
    assert in_words(params, "of", "0") == ("Shop", "0")


def test_a_filter_that_is_relative_to_today_is_reported(two: Two) -> None:
    class Relative(OrderFilter):
        when = django_filters.DateRangeFilter(field_name="placed_at")

    class Recent(Orders):
        filterset = Relative

    [fault] = Recent().faults(two[0], Orders.columns)
    assert fault.startswith("The filter 'when' is relative to the current day")


def test_params_and_a_filterset_are_refused_together(two: Two) -> None:
    class Both(Orders):
        params = (Text("number"),)

    assert Both().faults(two[0], Orders.columns) == ["It has both params and a filterset: leave one of them out."]
