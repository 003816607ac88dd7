"""Tests of parameters without rows: their form fields, the text of their values, and the checks of their definition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import pytest
from django.contrib.auth.base_user import AbstractBaseUser
from django.db.models import IntegerChoices, QuerySet

from exports.checks import check_datasets
from exports.datasets import Choice, Column, Dataset, Day, Flag, Number, Param, Text
from exports.datasets.filtering import RequestParams, as_line, in_words, parameters, split
from exports.demo.models import Order, Status
from exports.errors import BadParam
from tests.support.exports import registered


class Size(IntegerChoices):
    SMALL = 1, "Small"
    LARGE = 2, "Large, or 100% larger"


class Orders(Dataset):
    key, label, date_field = "param-orders", "Orders", "placed_at"
    columns: ClassVar[Sequence[Column]] = (Column("number", "Number"),)
    params: ClassVar[Sequence[Param]] = (
        Choice("status", Status),
        Choice("sizes", Size, field="quantity", multiple=True),
        Text("search", fields=["number", "buyer"]),
        Number("at_least", field="quantity", lookup="gte"),
        Day("issued", field="placed_at"),
        Flag("paid"),
    )

    def queryset(self, user: AbstractBaseUser) -> QuerySet[Order]:
        return Order.objects.filter(owner_id=user.pk)


class Invoices(Orders):
    key, label = "param.invoices", "Invoices"
    params = (Flag("paid"), Choice("kind", {"a": "A", "b": "B"}, default="b", required=True))


def chosen(given: dict[str, Any], *kinds: type[Dataset]) -> dict[str, str]:
    return RequestParams([kind() for kind in kinds or (Orders,)], None).choose(given)


# --- one value ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "texts"),
    [
        ({"status": "paid"}, {"status": "paid"}),
        ({"status": ["paid"]}, {"status": "paid"}),
        ({"sizes": ["2", "1", "2"]}, {"sizes": "1,2"}),
        ({"sizes": "2,1"}, {"sizes": "1,2"}),
        ({"sizes": ["", "2"]}, {"sizes": "2"}),
        ({"search": "  tea, 50% off "}, {"search": "tea, 50% off"}),
        ({"at_least": "05.50"}, {"at_least": "5.5"}),
        ({"at_least": "0"}, {"at_least": "0"}),
        ({"issued": "2026-01-31"}, {"issued": "2026-01-31"}),
        ({"paid": "false"}, {"paid": "false"}),
        ({"status": "", "sizes": [], "search": " ", "at_least": "", "paid": ""}, {}),
        ({}, {}),
    ],
)
def test_values_are_stored_in_one_form(given: dict[str, Any], texts: dict[str, str]) -> None:
    assert chosen(given) == texts
    assert chosen(texts) == texts


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"status": "open"}, "Status: There is no choice “open”. Choose from: placed, paid, shipped"),
        ({"sizes": ["1", "3"]}, "Sizes: There is no choice “3”. Choose from: 1, 2."),
        ({"status": ["paid", "placed"]}, "Status: Give one value only."),
        ({"at_least": "many"}, "At least: Enter a number."),
        ({"at_least": "1e999999999"}, "At least: Ensure that there are no more than 38 digits in total."),
        ({"issued": "31.1.2026"}, "Issued: Give the day as year-month-day"),
        ({"paid": "perhaps"}, "Paid: There is no choice “perhaps”. Choose from: true, false."),
        ({"search": "x" * 1_001}, "Search: This is longer than 1000 characters. Shorten it."),
        ({"search": "a\0b"}, "Search: This contains characters that cannot be stored."),
        ({"search": "\ud800"}, "Search: This contains characters that cannot be stored."),
        (
            {"state": "paid"},
            "“Orders” has no parameter state. Choose from: status, sizes, search, at_least, issued, paid.",
        ),
        ({"status__in": "paid"}, "“Orders” has no parameter status__in."),
        ({"owner": "1"}, "“Orders” has no parameter owner."),
        ({"invoices.paid": "true"}, "“Orders” has no parameter invoices.paid."),
    ],
)
def test_a_wrong_value_is_refused_with_what_is_allowed(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadParam) as refused:
        chosen(given)
    assert sentence in refused.value.message
    assert (refused.value.field, refused.value.param) == ("params", next(iter(given)))


def test_a_choice_with_a_percent_sign_and_many_others_is_listed() -> None:
    class Many(Orders):
        params = (Choice("status", [(f"{number}%", "") for number in range(30)]),)

    with pytest.raises(BadParam) as refused:
        chosen({"status": "x"}, Many)
    assert refused.value.message.endswith("18%, 19% and 10 more.")


def test_texts_with_commas_are_kept_apart() -> None:
    texts = ["a,b", 'c"d', "e\nf", "g"]
    assert split(as_line(texts)) == texts
    assert (split(""), as_line("a,b")) == ([], "a,b")


# --- several datasets -----------------------------------------------------------------------------------------------


def test_names_of_several_datasets_begin_with_their_key() -> None:
    given = {"param-orders.paid": "true", "param.invoices.paid": "false", "status": "paid"}
    assert chosen(given, Orders, Invoices) == {
        "param-orders.status": "paid",
        "param-orders.paid": "true",
        "param.invoices.paid": "false",
        "param.invoices.kind": "b",
    }
    assert chosen({"param-orders.paid": "true"}, Orders) == {"paid": "true"}


def test_a_parameter_that_is_named_in_both_ways_is_refused() -> None:
    with pytest.raises(BadParam, match="names the parameter status twice"):
        chosen({"status": "paid", "param-orders.status": "placed"}, Orders)


def test_a_name_that_several_datasets_have_is_refused() -> None:
    with pytest.raises(BadParam, match=r"Write one of: param-orders\.paid, param\.invoices\.paid\."):
        chosen({"paid": "true"}, Orders, Invoices)
    with pytest.raises(BadParam, match=r"“Orders, Invoices” has no parameter other\.paid\. Choose from: "):
        chosen({"other.paid": "true"}, Orders, Invoices)


# --- defaults -------------------------------------------------------------------------------------------------------


def test_a_default_is_chosen_unless_the_request_says_otherwise() -> None:
    assert chosen({}, Invoices) == {"kind": "b"}
    assert chosen({"kind": "a"}, Invoices) == {"kind": "a"}
    with pytest.raises(BadParam, match="Kind: This field is required"):
        chosen({"kind": ""}, Invoices)


# --- words and labels -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("status", "paid", ("Status", "Paid")),
        ("status", "gone", ("Status", "gone")),
        ("sizes", "1,2", ("Sizes", "Small, Large, or 100% larger")),
        ("search", "a,b", ("Search", "a,b")),
        ("at_least", "5.5", ("At least", "5.5")),
        ("issued", "2026-01-31", ("Issued", "31 January 2026")),
        ("paid", "false", ("Paid", "No")),
        ("removed", "1", ("removed", "1")),
    ],
)
def test_a_value_is_described_in_words(name: str, text: str, words: tuple[str, str]) -> None:
    assert in_words(parameters(Orders(), None), name, text) == words


def test_label_and_choices_default_to_those_of_the_model_field() -> None:
    class OfModel(Orders):
        model = Order
        params = (Choice("status"), Text("ship_to", label="Address", fields=["street"]), Text("buyer"))

    fields = parameters(OfModel(), None).fields
    assert [each.label for each in fields.values()] == ["Status", "Address", "Buyer"]
    assert chosen({"status": "paid"}, OfModel) == {"status": "paid"}


# --- checks of the definition ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ((Choice("state", Status),), "The parameter 'state' cannot filter: Cannot resolve keyword 'state'"),
        ((Choice("status", ["paid", "open"]),), "The choices of the parameter 'status' are not pairs"),  # type: ignore[list-item]
        ((Choice("status"),), "The choices of the parameter 'status' are not pairs"),
        ((Text("search"),), "The parameter 'search' cannot filter"),
        ((Text("number", lookup="resembles"),), "The parameter 'number' cannot filter: Unsupported lookup 'resembles'"),
        ((Day("placed_at"),), "The parameter 'placed_at' is a Day, but 'placed_at' holds date-times: use a period"),
        ((Text("number"), Number("number", field="quantity")), "Two parameters have the name 'number': rename one."),
        ((Text("a.b", field="number"),), "The parameter name 'a.b' is not an identifier: rename it."),
    ],
)
def test_a_parameter_that_cannot_filter_is_reported_at_start(params: Any, reason: str) -> None:
    class Wrong(Orders):
        pass

    Wrong.params = params
    with registered(Wrong):
        found = [fault.msg for fault in check_datasets() if fault.obj is Wrong]
    assert any(reason in fault for fault in found), found
