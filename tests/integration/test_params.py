"""Parameters from the form, a link, the API and the command line, to the rows of the file and the words about it."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from io import BytesIO, StringIO
from typing import Any
from urllib.parse import parse_qs, urlsplit
from zipfile import ZipFile

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client

from exports.datasets import Choice, datasets
from exports.demo.datasets import Orders
from exports.demo.models import Category, Invoice, Order, Status
from exports.errors import BadParam
from exports.formats.labels import filter_line, filter_words
from exports.intake.requests import cancel_export, retry_export
from exports.models import Export
from exports.states import State
from exports.web.forms import again_url
from notifications.models import Notification
from tests.support.exports import ask, content_of, registered, step, work
from tests.support.formats import read_pdf
from tests.support.shop import in_state, orders, ready

pytestmark = pytest.mark.django_db
GOOD = {"dataset": "orders", "format": "csv", "period": "all"}
PAGE = GOOD | {"fields_of": "orders"}
HTMX = {"HX-Request": "true"}


class Defaulted(Orders):
    """Orders of which only the paid ones are exported, unless the request says otherwise."""

    key = "orders"
    params = (Choice("status", Status, default=Status.PAID), Choice("category", Category, multiple=True))


@pytest.fixture
def shop(ada: User) -> User:
    """A user with three paid orders, the first of which is returned."""
    orders(ada)
    Order.objects.filter(number="000000").update(status=Status.RETURNED, buyer="Tea & Sons")
    Invoice.objects.create(
        owner=ada, number="I1", month="2026-01-01", issued_at=datetime(2026, 2, 1, tzinfo=UTC), orders=3, total=9,
        currency="EUR",
    )  # fmt: skip
    return ada


@pytest.fixture
def page(client: Client, shop: User) -> Client:
    client.force_login(shop)
    return client


def text(response: Any) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def lines(export: Export) -> list[str]:
    return [line.split(",")[0] for line in content_of(export).decode().splitlines()[1:]]


def value_of(html: str, name: str) -> str:
    """Return the selected value of a select element."""
    [select] = re.findall(rf'<select name="{re.escape(name)}".*?</select>', html, re.DOTALL)
    found = re.findall(r'value="([^"]*)" selected', select)
    return ",".join(found)


# --- the export -----------------------------------------------------------------------------------------------------


def test_the_file_has_only_the_rows_of_the_parameters(shop: User) -> None:
    assert lines(ready(shop, params={"status": "paid"})) == ["000001", "000002"]
    assert lines(ready(shop, params={"status": "returned", "search": "tea &"})) == ["000000"]
    assert lines(ready(shop)) == ["000000", "000001", "000002"]


def test_other_parameters_are_another_export_and_the_same_ones_are_recognised(shop: User) -> None:
    first = ask(shop, dataset="orders", params={"category": ["toys", "food"], "status": "paid"})
    assert first.params == {"status": "paid", "category": "food,toys"}
    assert ask(shop, dataset="orders", params={"status": ["paid"], "category": "toys,food,toys"}) == first
    assert ask(shop, dataset="orders", params={"status": "paid"}) != first
    assert ask(shop, dataset="orders") != first
    assert ask(shop, dataset="orders", params={"status": ""}) == ask(shop, dataset="orders")
    assert Export.objects.count() == 3


def test_a_retry_has_the_same_parameters(shop: User) -> None:
    export = ask(shop, dataset="orders", params={"status": "paid"})
    cancel_export(export)
    retry_export(export)
    work(export)
    assert (export.state, lines(export)) == ("ready", ["000001", "000002"])


def test_a_default_is_frozen_at_the_request(shop: User) -> None:
    with registered(Defaulted):
        chosen, none = ask(shop, dataset="orders"), ask(shop, dataset="orders", params={"status": ""})
    assert (chosen.params, none.params) == ({"status": "paid"}, {})
    work(chosen, none)
    assert (chosen.rows, none.rows) == (2, 3)


class WithoutStatus(Orders):
    key = "orders"
    params = (Choice("category", Category),)


class OtherStatus(Orders):
    key = "orders"
    params = (Choice("status", {"open": "Open"}),)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [(WithoutStatus, "“Orders” has no parameter status."), (OtherStatus, "Status: There is no choice “paid”.")],
)
@pytest.mark.parametrize("planned", [False, True])
def test_an_export_whose_parameter_is_gone_fails_and_never_has_all_rows(
    shop: User, kind: type[Orders], reason: str, planned: bool
) -> None:
    export = ask(shop, dataset="orders", params={"status": "paid"})
    if planned:
        step("plan_export", export.pk)
    with registered(kind):
        work(export)
    assert (export.state, export.error_code, export.artifact) == ("failed", "stale_param", "")
    assert export.error_message.startswith(
        "The data can no longer be filtered as you chose, so the export was stopped. "
    )
    assert reason in export.error_message


def test_parameters_of_a_bundle_belong_to_its_datasets(shop: User) -> None:
    params = {"orders.status": "paid", "paid": "true"}
    export = ready(shop, dataset=["orders", "invoices"], format="zip", inside=["csv"], params=params)
    assert export.params == {"orders.status": "paid", "invoices.paid": "true"}
    with ZipFile(BytesIO(content_of(export))) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        readme, index = archive.read("README.txt").decode(), archive.read("index.html").decode()
    assert [(each["rows"], each["params"]) for each in manifest["datasets"]] == [
        (2, [{"name": "status", "value": "paid", "label": "Status", "words": "Paid"}]),
        (0, [{"name": "paid", "value": "true", "label": "Paid", "words": "Yes"}]),
    ]
    assert "  - Orders (Status: Paid)\n  - Invoices (Paid: Yes)\n" in readme
    assert "<bdi>Status: Paid</bdi>" in index
    assert "000000" not in index
    assert filter_line(export) == "Orders: Status: Paid; Invoices: Paid: Yes"


def test_a_parameter_of_a_dataset_that_is_not_in_the_bundle_is_refused(shop: User) -> None:
    with pytest.raises(BadParam, match=r"has no parameter invoices\.paid"):
        ask(shop, dataset=["orders"], format="zip", params={"invoices.paid": "true"})


# --- in words -------------------------------------------------------------------------------------------------------


def test_every_place_describes_the_parameters_in_words(page: Client, shop: User) -> None:
    export = ready(shop, params={"status": "paid", "search": "Tea <b>"})
    line = "Status: Paid; Search: Tea &lt;b&gt;"
    assert line in text(page.get("/exports/"))
    detail = page.get(export.get_absolute_url()).content.decode()
    assert "<dt>Status</dt>" in detail
    assert "Tea &lt;b&gt;</dd>" in detail
    told = Notification.objects.get(user=shop)
    assert told.context["filters"] == "Status: Paid; Search: Tea <b>"
    assert "Your export of Orders (Status: Paid; Search: Tea <b>) as CSV is ready" in told.text
    assert export.filename == ready(shop).filename


def test_the_pdf_shows_them_above_the_table(shop: User) -> None:
    [sheet] = read_pdf(content_of(ready(shop, format="pdf", params={"status": "paid"})))
    assert re.search(r"Status\s+Paid", sheet)
    assert not re.search(r"Status\s+Paid\s+Rows", read_pdf(content_of(ready(shop, format="pdf")))[0])


def test_values_of_a_removed_dataset_are_described_as_stored(ada: User) -> None:
    assert filter_words(in_state(ada, State.EXPIRED, dataset="gone", params={"status": "x"})) == [("status", "x")]
    export = in_state(ada, State.EXPIRED, dataset="orders,gone", params={"orders.old": "1", "gone.kind": "a"})
    assert filter_line(export) == "Orders: old: 1; gone: kind: a"


def test_a_failing_description_leaves_the_page_readable(page: Client, shop: User) -> None:
    class Broken(Orders):
        key = "orders"
        params = (Choice("status", lambda: 1 / 0),)

    export = in_state(shop, State.EXPIRED, params={"status": "x"})
    with registered(Broken):
        assert filter_words(export) == [("status", "x")]


# --- the form -------------------------------------------------------------------------------------------------------


def test_the_form_shows_the_parameters_of_its_dataset(page: Client) -> None:
    html = page.get("/exports/?dataset=orders").content.decode()
    assert ('name="param-status"' in html, 'name="param-paid"' in html) == (True, False)
    assert '<label for="carryall-param-status">Status</label>' in html
    other = page.get("/exports/?dataset=invoices").content.decode()
    assert ('name="param-status"' in other, 'name="param-paid"' in other) == (False, True)


def test_a_link_prefills_the_parameters(page: Client) -> None:
    html = page.get(
        "/exports/?dataset=orders&param-status=paid&param-category=food,toys&param-search=tea"
    ).content.decode()
    assert value_of(html, "param-status") == "paid"
    assert value_of(html, "param-category") == "food,toys"
    assert 'name="param-search" value="tea"' in html
    assert 'class="ca-fault"' not in html


def test_a_link_with_a_wrong_parameter_says_so(page: Client) -> None:
    html = page.get("/exports/?dataset=orders&param-status=open&param-state=paid").content.decode()
    assert 'id="carryall-param-status-error"' in html
    assert "There is no choice “open”." in html
    assert "“Orders” has no parameter state." in html


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["form", "htmx"])
def test_the_form_exports_what_it_shows(page: Client, headers: dict[str, str]) -> None:
    answer = page.post("/exports/", PAGE | {"fields": ["number"], "param-status": "paid", "param-search": "",
                                            "param-category": ["", "food"]}, headers=headers)  # fmt: skip
    assert answer.status_code in (202, 303)
    assert Export.objects.get().params == {"status": "paid", "category": "food"}


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["form", "htmx"])
def test_an_error_is_shown_at_its_input_and_the_other_values_are_kept(page: Client, headers: dict[str, str]) -> None:
    sent = PAGE | {"fields": ["number"], "param-status": "open", "param-search": "tea"}
    answer = page.post("/exports/", sent, headers=headers)
    html = answer.content.decode()
    assert (answer.status_code, Export.objects.count()) == (422, 0)
    assert re.search(
        r'<select name="param-status"[^>]* aria-invalid="true" aria-describedby="carryall-param-status-error"', html
    )
    assert html.count("There is no choice “open”.") == 1
    assert 'name="param-search" value="tea"' in html
    unknown = page.post("/exports/", sent | {"param-status": "", "param-state": "x"}, headers=headers)
    assert "“Orders” has no parameter state." in unknown.content.decode()


def test_changing_the_dataset_swaps_the_parameters(page: Client) -> None:
    shown = {"format": "csv", "dataset": "invoices", "fields_of": "orders", "param-status": "paid"}
    html = page.get("/exports/fields/", shown, headers=HTMX).content.decode()
    assert '<div id="carryall-params" class="ca-params" hx-swap-oob="true">' in html
    assert ('name="param-paid"' in html, "param-status" in html, 'class="ca-fault"' in html) == (True, False, False)


def test_a_second_dataset_in_the_bundle_keeps_the_values_of_the_first(page: Client) -> None:
    shown = {"format": "zip", "datasets": ["orders", "invoices"], "fields_of": "orders", "param-status": "paid"}
    html = page.get("/exports/fields/", shown, headers=HTMX).content.decode()
    assert value_of(html, "param-orders.status") == "paid"
    assert 'name="param-invoices.paid"' in html
    assert "Orders: Status</label>" in html
    back = {"format": "zip", "datasets": ["orders"], "fields_of": "orders,invoices", "param-orders.status": "paid"}
    html = page.get("/exports/fields/", back | {"param-invoices.paid": "true"}, headers=HTMX).content.decode()
    assert value_of(html, "param-status") == "paid"
    assert 'class="ca-fault"' not in html


def test_without_javascript_a_button_shows_the_parameters_of_the_chosen_data(page: Client) -> None:
    sent = PAGE | {"dataset": "invoices", "param-status": "paid", "change": "params"}
    html = page.post("/exports/", sent).content.decode()
    assert ('name="param-paid"' in html, 'name="param-status"' in html) == (True, False)


def test_values_shown_for_other_data_do_not_apply(page: Client) -> None:
    """Without JavaScript, the form still shows the parameters of the data that was chosen before."""
    page.post("/exports/", PAGE | {"dataset": "invoices", "param-status": "paid"})
    export = Export.objects.get()
    assert (export.dataset, export.params) == ("invoices", {})


def test_the_estimate_counts_the_rows_of_the_parameters(page: Client) -> None:
    given = PAGE | {"fields": ["number"], "param-status": "paid"}
    estimate = page.get("/api/exports/estimate/", GOOD | {"param-status": "paid"}).json()
    assert (estimate["rows"], estimate["rows_are"]) == (2, "exact")
    wrong = page.get("/exports/estimate/", given | {"param-status": "open"}, headers=HTMX)
    assert "There is no choice “open”." in text(wrong)
    none = page.get("/exports/estimate/", given | {"param-search": "nobody"}, headers=HTMX)
    assert "No rows" in text(none)


def test_an_empty_multiple_choice_is_sent_as_empty(page: Client) -> None:
    class Several(Orders):
        key = "orders"
        params = (Choice("category", Category, multiple=True, default=[Category.FOOD]),)

    with registered(Several):
        html = page.get("/exports/?dataset=orders").content.decode()
        assert '<input type="hidden" name="param-category" value="">' in html
        assert value_of(html, "param-category") == "food"
        page.post("/exports/", PAGE | {"fields": ["number"], "param-category": ""})
    assert Export.objects.get().params == {}


@pytest.mark.parametrize(
    "params",
    [{}, {"status": "paid"}, {"status": "returned", "category": "food,toys", "search": "a=b&c, d"}],
    ids=str,
)
@pytest.mark.parametrize("kind", [Orders, Defaulted])
def test_export_again_makes_the_same_choices(page: Client, shop: User, params: dict[str, str], kind: Any) -> None:
    if kind is Defaulted:
        params = {name: value for name, value in params.items() if name != "search"}
    with registered(kind):
        first = ask(shop, dataset="orders", params={"status": ""} | params)
        query = parse_qs(urlsplit(again_url(first)).query, keep_blank_values=True)
        page.post("/exports/", {name: values if len(values) > 1 else values[0] for name, values in query.items()})
    assert first.params == params
    assert Export.objects.get() == first


def test_export_again_of_a_bundle(page: Client, shop: User) -> None:
    params = {"orders.status": "paid", "invoices.paid": "false"}
    first = ask(shop, dataset=["orders", "invoices"], format="zip", params=params)
    html = page.get(again_url(first)).content.decode()
    assert value_of(html, "param-orders.status") == "paid"
    assert value_of(html, "param-invoices.paid") == "false"


# --- the API and the command line -----------------------------------------------------------------------------------


def send(api: Client, sent: object) -> Any:
    return api.post("/api/exports/", json.dumps(sent), content_type="application/json")


def test_the_api_takes_and_returns_parameters(page: Client) -> None:
    answer = send(page, GOOD | {"params": {"status": "paid", "category": ["toys", "food"]}})
    assert (answer.status_code, answer.json()["params"]) == (202, {"status": "paid", "category": "food,toys"})
    form = page.post("/api/exports/", GOOD | {"param-status": "paid", "param-category": ["food", "toys"]})
    assert (form.json()["existing"], form.json()["id"]) == (True, answer.json()["id"])
    assert send(page, GOOD | {"params": {}}).json()["params"] == {}


@pytest.mark.parametrize(
    ("params", "status", "code"),
    [
        ({"status": "open' OR 1=1"}, 422, "bad_param"),
        ({"status__in": "paid"}, 422, "bad_param"),
        ({"search": "\ud800"}, 422, "bad_param"),
        ({"search": "\0"}, 422, "bad_param"),
        ({"status": ["paid", "placed"]}, 422, "bad_param"),
        ({"status": 1}, 422, "bad_request"),
        ({"status": [1]}, 422, "bad_request"),
        (["status"], 422, "bad_request"),
        ("status=paid", 422, "bad_request"),
    ],
)
def test_the_api_refuses_wrong_parameters(page: Client, params: object, status: int, code: str) -> None:
    answer = send(page, GOOD | {"params": params})
    found = answer.json()["error"]
    assert (answer.status_code, found["code"], found["field"]) == (status, code, "params")
    assert Export.objects.count() == 0


def export(*arguments: str) -> str:
    out = StringIO()
    common = ("--user", "ada", "--dataset", "orders", "--format", "csv", "--range", "all", "--inline")
    call_command("export", *common, *arguments, stdout=out, stderr=StringIO())
    return out.getvalue()


def test_the_command_line_takes_parameters(shop: User) -> None:
    assert export("--param", "status=paid").startswith("2 rows")
    assert export("--param", "category=food", "--param", "category=toys", "--param", "search=").startswith("3 rows")
    with pytest.raises(CommandError, match="There is no choice “open”"):
        export("--param", "status=open")
    with pytest.raises(CommandError, match="--param status has no value"):
        export("--param", "status")


def test_every_dataset_of_the_demo_has_parameters() -> None:
    assert [bool(datasets.get(key).params) for key in ("orders", "invoices")] == [True, True]
