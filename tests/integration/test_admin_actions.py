"""Staff export rows from the admin of any model: those selected, or all that the list's filters and search match."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.db.models import QuerySet
from django.http import HttpRequest
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from exports.admin_actions import ExportSelectedMixin
from exports.datasets import datasets
from exports.datasets.access import may_export
from exports.demo.models import Order, Status
from exports.errors import BadParam, NoPermission, UnknownDataset
from exports.formats.labels import dataset_label, filter_words
from exports.intake.choices import ExportRequest, everything_of
from exports.intake.requests import request_export
from exports.models import Export
from exports.pipeline.inline import run_inline
from exports.states import State
from exports.web.forms import offered
from tests.market.models import Basket, Line, Tag
from tests.support.exports import content_of
from tests.support.shop import in_state, orders

pytestmark = pytest.mark.django_db
KEY = "admin-demo-order"
LIST = "/admin/demo/order/"
PLACED = datetime(2026, 1, 15, 12, tzinfo=UTC)


@pytest.fixture
def staff(ada: User) -> User:
    """A member of staff who may export from the admin. Ada has five orders, of which two are shipped."""
    orders(ada, 5)
    Order.objects.filter(number__in=["000001", "000003"]).update(status=Status.SHIPPED)
    return user_with("view_order", "export_for_others")


@pytest.fixture
def page(client: Client, staff: User) -> Client:
    client.force_login(staff)
    return client


def user_with(*permissions: str) -> User:
    user = User.objects.create_user("staff@example.com", "staff@example.com", "password", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return User.objects.get(pk=user.pk)


def keys(*numbers: str) -> list[str]:
    return [str(key) for key in Order.objects.filter(number__in=numbers).values_list("pk", flat=True)]


def numbers(export: Export) -> list[str]:
    """Make the file, and return the numbers in it, sorted."""
    run_inline(export, lambda _: None)
    assert export.state == State.READY, export.error_message
    return sorted(content_of(export).decode("utf-8-sig").split()[1:])


def confirmed(page: Client, url: str, **data: Any) -> Export:
    """Press the button of the page that asks for the format. Return the export."""
    answer = page.post(url, {"format": "csv", "columns": ["number"], "apply": "Export", **data})
    export = Export.objects.latest("pk")
    assert answer["Location"] == reverse("exports:detail", args=[export.uuid]), answer.content.decode()
    return export


# --- the two actions --------------------------------------------------------------------------------------------------


def test_selected_rows_are_exported(page: Client, staff: User) -> None:
    pressed = {"action": "export_selected", "_selected_action": keys("000001", "000004")}
    asked = page.post(LIST, pressed | {"index": "0", "select_across": "0"})
    assert "Export 2 rows: Orders" in asked.content.decode()
    export = confirmed(page, LIST, **pressed)
    assert (export.owner, export.dataset) == (staff, KEY)
    assert numbers(export) == ["000001", "000004"]
    assert filter_words(export) == [("Selected", "2 rows")]


def test_all_rows_that_match_are_exported_without_a_selection(page: Client) -> None:
    url = f"{LIST}?status__exact=shipped&q=Zo%C3%AB&o=-1&p=1&all="
    asked = page.post(url, {"action": ["export_matching", ""], "index": "0", "select_across": "0"})
    assert "Export 2 rows: Orders" in asked.content.decode()
    export = confirmed(page, url, action="export_matching")
    assert numbers(export) == ["000001", "000003"]
    assert filter_words(export) == [("Filters", "status = shipped, Zoë")]


def test_a_list_without_filters_is_exported_whole(page: Client) -> None:
    assert len(numbers(confirmed(page, LIST, action="export_matching"))) == 5


def test_rows_selected_across_pages_are_those_that_match(page: Client) -> None:
    url = f"{LIST}?status__exact=shipped"
    pressed = {"action": "export_selected", "select_across": "1", "_selected_action": keys("000001")}
    asked = page.post(url, pressed | {"index": "0"})
    assert '<input type="hidden" name="action" value="export_matching">' in asked.content.decode()
    assert numbers(confirmed(page, url, action="export_matching")) == ["000001", "000003"]


def test_the_button_that_was_pressed_counts(page: Client) -> None:
    """A list may have two forms for actions. Only the pressed one may run without selected rows."""
    pressed = {"action": ["export_matching", "export_selected"], "index": "1", "select_across": "0"}
    answer = page.post(LIST, pressed, follow=True)
    assert "Items must be selected" in answer.content.decode()


def test_later_rows_of_the_list_are_read_by_the_worker(page: Client) -> None:
    export = confirmed(page, f"{LIST}?status__exact=shipped", action="export_matching")
    Order.objects.filter(number="000003").update(status=Status.PAID)
    assert numbers(export) == ["000001"]


def test_wrong_choices_are_reported_on_the_page(page: Client) -> None:
    answer = page.post(LIST, {"action": "export_matching", "apply": "Export", "format": "csv"})
    assert "This field is required." in answer.content.decode()
    assert not Export.objects.exists()


def test_an_export_that_is_refused_says_why(page: Client, settings: Any, staff: User) -> None:
    settings.CARRYALL = settings.CARRYALL | {"MAX_OPEN_PER_USER": 1}
    in_state(staff, State.QUEUED)
    answer = page.post(LIST, {"action": "export_matching", "apply": "1", "format": "csv", "columns": ["number"]})
    assert "You have 1 exports under way" in answer.content.decode()


def test_many_keys_fit(staff: User) -> None:
    request = ExportRequest(KEY, "csv", period="all", fields=["number"], params={"selected": ",".join(["1"] * 5_000)})
    assert request_export(staff, request).export.params["selected"].count(",") == 4_999


# --- who may ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("permission", ["view_order", "export_for_others"])
def test_one_of_two_permissions_is_not_enough(client: Client, ada: User, permission: str) -> None:
    orders(ada)
    user = user_with(permission)
    client.force_login(user)
    answer = client.get(LIST)
    assert answer.status_code == 403 or "export_matching" not in answer.content.decode()
    client.post(LIST, {"action": "export_matching", "apply": "1", "format": "csv", "columns": ["number"]})
    assert not Export.objects.exists()
    with pytest.raises(NoPermission):
        request_export(user, ExportRequest(KEY, "csv", period="all"))


def test_a_permission_that_was_withdrawn_stops_the_worker(page: Client, staff: User) -> None:
    export = confirmed(page, LIST, action="export_matching")
    staff.user_permissions.clear()
    run_inline(export, lambda _: None)
    assert (export.state, export.error_code) == (State.FAILED, "no_permission")


def test_nobody_exports_the_list_of_somebody_else(staff: User) -> None:
    boss = User.objects.create_superuser("boss@example.com", "boss@example.com")
    assert not may_export(staff, datasets.get(KEY), boss)
    with pytest.raises(NoPermission):
        request_export(staff, ExportRequest(KEY, "csv", period="all"), subject=boss)


def test_only_the_admin_offers_the_data(page: Client, staff: User) -> None:
    assert KEY not in {dataset.key for dataset in offered(staff)}
    assert KEY not in everything_of(staff).dataset
    assert KEY not in page.get(reverse("exports:list")).content.decode()
    assert KEY not in page.get(reverse("admin:exports_export_add")).content.decode()
    with pytest.raises(UnknownDataset) as refused:
        request_export(staff, ExportRequest("nothing", "csv"))
    assert KEY not in refused.value.message


def test_the_pages_of_the_export_offer_no_form_for_it(page: Client) -> None:
    export = confirmed(page, LIST, action="export_matching")
    numbers(export)
    for url in (reverse("exports:detail", args=[export.uuid]), reverse("exports:list")):
        assert "Export again" not in page.get(url).content.decode()


@pytest.mark.parametrize(
    "query", ["owner__password__startswith=pbkdf2", "nothing=1", "status__exact__nothing=1", "q=%00", "id__exact=x"]
)
def test_a_query_that_the_admin_refuses_is_a_bad_parameter(staff: User, query: str) -> None:
    with pytest.raises(BadParam, match="cannot be filtered"):
        request_export(staff, ExportRequest(KEY, "csv", period="all", params={"matching": query}))


def test_selected_keys_must_be_keys(staff: User) -> None:
    with pytest.raises(BadParam):
        request_export(staff, ExportRequest(KEY, "csv", period="all", params={"selected": "1,x"}))


def test_workers_do_not_count_the_rows_of_the_list(staff: User) -> None:
    with CaptureQueriesContext(connection) as queries:
        rows = datasets.get(KEY).filtered(staff, {"matching": "status__exact=shipped"})
    assert rows.count() == 2
    assert not [query["sql"] for query in queries if "COUNT(" in query["sql"]]


# --- any ModelAdmin ---------------------------------------------------------------------------------------------------


class Recent(admin.SimpleListFilter):
    """A filter that applies although nothing is chosen."""

    title, parameter_name = "age", "age"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        return [("all", "All")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Basket]) -> QuerySet[Basket]:
        return queryset if self.value() == "all" else queryset.exclude(number="old")


class BasketAdmin(ExportSelectedMixin, admin.ModelAdmin):  # type: ignore[type-arg]
    export_columns = ("number",)
    export_label = "Baskets of all"
    list_filter = ("tags", Recent)
    search_fields = ("lines__title",)
    list_select_related = ("owner",)
    actions = ("burn",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Basket]:
        return super().get_queryset(request).filter(owner=request.user)

    @admin.action(description="Burn")
    def burn(self, request: HttpRequest, queryset: QuerySet[Basket]) -> None:
        raise NotImplementedError


@pytest.fixture
def baskets(staff: User, ada: User) -> Iterator[BasketAdmin]:
    tags = [Tag.objects.create(name=name) for name in ("red", "blue")]
    for owner, number in ((staff, "one"), (staff, "two"), (staff, "old"), (ada, "of ada")):
        basket = Basket.objects.create(owner=owner, number=number, placed_at=PLACED)
        basket.tags.set(tags)
        for title in ("tea", "green tea"):
            Line.objects.create(basket=basket, title=title, price=1)
    user = User.objects.get(pk=staff.pk)
    user.user_permissions.add(Permission.objects.get(codename="view_basket"))
    made = BasketAdmin(Basket, admin.site)
    yield made
    datasets.unregister(made.export_dataset.key)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["one", "two"]),
        ("age=all", ["old", "one", "two"]),
        ("q=tea", ["one", "two"]),
        ("tags__id__in=1,2&age=all", ["old", "one", "two"]),
    ],
)
def test_the_rows_are_those_of_the_list_each_once(
    baskets: BasketAdmin, staff: User, query: str, expected: list[str]
) -> None:
    query = query.replace("1,2", ",".join(map(str, Tag.objects.values_list("pk", flat=True))))
    user = User.objects.get(pk=staff.pk)
    request = ExportRequest("admin-market-basket", "csv", period="all", params={"matching": query})
    export = request_export(user, request).export
    assert numbers(export) == expected
    assert dataset_label(export) == "Baskets of all"


def test_selected_rows_are_among_those_that_the_admin_shows(baskets: BasketAdmin, staff: User) -> None:
    every = ",".join(map(str, Basket.objects.values_list("pk", flat=True)))
    request = ExportRequest("admin-market-basket", "csv", period="all", params={"selected": every})
    assert numbers(request_export(User.objects.get(pk=staff.pk), request).export) == ["old", "one", "two"]


def test_actions_of_the_site_stay(baskets: BasketAdmin, staff: User, rf: Any) -> None:
    request = rf.get("/")
    request.user = User.objects.get(pk=staff.pk)
    assert {"burn", "export_selected", "export_matching"} <= set(baskets.get_actions(request))
    popup = rf.get("/?_popup=1")
    popup.user = request.user
    assert baskets.get_actions(popup) == {}
