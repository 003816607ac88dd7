"""Tests of the JSON API: requests, responses and errors."""

from __future__ import annotations

import json
from typing import Any
from unittest.mock import patch

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from exports.datasets import datasets
from exports.models import Export, Part, Volume
from exports.states import State
from tests.support.shop import in_state, orders, ready

pytestmark = pytest.mark.django_db
LIST = "/api/exports/"
BAD_PERIOD = (422, "bad_period", "period")
GOOD = {"dataset": "orders", "format": "csv", "period": "all"}
BUNDLE: dict[str, Any] = {"format": "zip", "period": "all"}


@pytest.fixture
def api(client: Client, ada: User) -> Client:
    client.force_login(ada)
    return client


def send(api: Client, sent: object) -> Any:
    body = sent if isinstance(sent, str) else json.dumps(sent)
    return api.post(LIST, body, content_type="application/json")


def error(answer: Any) -> tuple[int, str, str | None]:
    """Return status, code and field of an error, after checking that it has a message."""
    found = answer.json()["error"]
    assert found["message"]
    return answer.status_code, found["code"], found["field"]


def test_a_request_is_accepted_with_its_location(api: Client) -> None:
    answer = send(api, GOOD | {"fields": ["number", "total"]})
    export = Export.objects.get()
    assert (answer.status_code, answer["Location"]) == (202, f"/api/exports/{export.uuid}/")
    data = answer.json()
    assert (data["id"], data["state"], data["existing"], data["progress"]) == (str(export.uuid), "queued", False, None)
    assert data["fields"] == ["number", "total"]


def test_fields_keep_their_order_and_are_null_for_all_fields(api: Client) -> None:
    every = [column.name for column in datasets.get("orders").columns]
    assert send(api, GOOD | {"fields": ["total", "number"]}).json()["fields"] == ["total", "number"]
    assert [send(api, GOOD | given).json()["fields"] for given in ({}, {"fields": None}, {"fields": every})] == [
        None
    ] * 3
    assert Export.objects.count() == 2


def test_an_empty_list_of_fields_is_refused(api: Client) -> None:
    answer = send(api, GOOD | {"fields": []})
    assert error(answer) == (422, "no_field", "fields")
    assert answer.json()["error"]["message"] == "Choose at least one field."


def test_options_are_stored_unless_they_are_defaults(api: Client) -> None:
    data = send(api, GOOD | {"options": {"delimiter": "semicolon"}}).json()
    assert data["options"] == {"delimiter": "semicolon"}
    form = api.post(LIST, GOOD | {"option-delimiter": "semicolon"})
    assert (form.json()["existing"], form.json()["id"]) == (True, data["id"])
    assert send(api, GOOD | {"options": {"delimiter": "usual", "for": "any"}}).json()["options"] == {}


def test_option_names_of_earlier_versions_are_accepted(api: Client) -> None:
    data = send(api, GOOD | {"options": {"excel": "yes"}}).json()
    assert data["options"] == {"for": "excel"}
    assert send(api, GOOD | {"options": {"for": "excel"}}).json()["id"] == data["id"]
    assert send(api, GOOD | {"options": {"excel": "no"}}).json()["options"] == {}
    assert error(send(api, GOOD | {"format": "pdf", "options": {"excel": "yes"}})) == (422, "bad_option", "options")


def test_a_bundle_returns_its_datasets_and_formats(api: Client) -> None:
    data = send(api, BUNDLE | {"datasets": ["orders", "invoices"], "inside": ["jsonl", "csv"]}).json()
    assert (data["datasets"], data["inside"]) == (["orders", "invoices"], ["jsonl", "csv"])
    form = api.post(LIST, BUNDLE | {"datasets": ["orders", "invoices"], "inside": ["jsonl", "csv"]})
    assert form.json()["id"] == data["id"]
    assert send(api, BUNDLE | {"dataset": "orders", "fields": ["number"]}).json()["inside"] == ["csv", "pdf"]


@pytest.mark.parametrize("query", ["", "&fields=number&fields=total", "&option-delimiter=semicolon"])
def test_an_estimate(api: Client, ada: User, query: str) -> None:
    orders(ada, 3)
    data = api.get(f"{LIST}estimate/?dataset=orders&format=csv&period=all{query}").json()
    assert (data["rows"], data["rows_are"], data["starts_in"], data["measured"]) == (3, "exact", 0.0, False)
    assert data["seconds"] > 0
    assert error(api.get(f"{LIST}estimate/?format=csv")) == (422, "bad_request", "dataset")


def test_the_time_left_is_returned_while_an_export_runs(api: Client, ada: User) -> None:
    export = in_state(ada, State.RENDERING, rows=40_000, started_at=timezone.now())
    Part.objects.create(export=export, owner=ada, index=0, rows=40_000)
    data = api.get(f"{LIST}{export.uuid}/").json()
    assert (data["ahead"], data["starts_in"], data["files"]) == (0, 0.0, [])
    assert data["seconds_left"] > 0


def test_a_split_bundle_lists_all_of_its_files(api: Client, ada: User) -> None:
    export = in_state(ada, State.READY, format="zip", inside=["csv"])
    Volume.objects.create(export=export, index=2, artifact="a", filename="orders-2.zip", size=7, sha256="cd" * 32)
    first, second = api.get(f"{LIST}{export.uuid}/").json()["files"]
    assert (first["filename"], first["download_url"]) == ("orders.csv", f"/exports/{export.uuid}/download/")
    assert second == {
        "filename": "orders-2.zip",
        "size": 7,
        "sha256": "cd" * 32,
        "content_type": "application/zip",
        "download_url": f"/exports/{export.uuid}/download/2/",
    }


def test_the_number_of_queries_does_not_depend_on_the_number_of_exports(api: Client, ada: User) -> None:
    def queries(count: int) -> int:
        for _ in range(count):
            export = in_state(ada, State.RENDERING, rows=1_000, started_at=timezone.now())
            Part.objects.create(export=export, owner=ada, index=0, rows=1_000)
        with CaptureQueriesContext(connection) as captured:
            api.get(LIST)
        return len(captured)

    assert queries(1) == queries(8)


def test_a_form_is_accepted_and_a_repeated_request_is_recognised(api: Client) -> None:
    first, again = api.post(LIST, GOOD), send(api, GOOD)
    assert (first.status_code, again.status_code) == (202, 202)
    assert (first.json()["existing"], again.json()["existing"]) == (False, True)
    assert first.json()["id"] == again.json()["id"]


def test_dates_alone_mean_the_custom_period(api: Client) -> None:
    sent = {"dataset": "orders", "format": "csv", "date_from": "2026-01-01", "date_to": "2026-01-31"}
    data = send(api, sent).json()
    assert data["period"] == "custom"
    assert (data["period_start"], data["period_end"]) == ("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z")


@pytest.mark.usefixtures("artifact_dir")
def test_a_ready_export_describes_its_file(api: Client, ada: User) -> None:
    orders(ada, 4)
    export = ready(ada)
    data = api.get(f"{LIST}{export.uuid}/").json()
    assert (data["state"], data["progress"], data["rows_done"], data["rows_total"]) == ("ready", 1.0, 4, 4)
    assert (data["size"], data["sha256"], data["filename"]) == (export.size, export.sha256, export.filename)
    assert data["error"] is None
    assert len(api.get(data["download_url"]).getvalue()) == data["size"]


def test_a_failed_export_has_its_error(api: Client, ada: User) -> None:
    data = api.get(f"{LIST}{in_state(ada, State.FAILED).uuid}/").json()
    assert data["error"] == {"code": "disk_full", "message": "There was no room left."}
    assert (data["download_url"], data["sha256"]) == (None, None)


def test_the_list_has_the_users_exports_newest_first_in_pages(api: Client, ada: User, bob: User) -> None:
    mine = [str(in_state(ada, State.CANCELLED).uuid) for _ in range(21)]
    in_state(bob, State.CANCELLED)
    first = api.get(LIST).json()
    second = api.get(first["next"]).json()
    assert [each["id"] for each in first["exports"] + second["exports"]] == mine[::-1]
    assert (first["total"], second["next"]) == (21, None)


def test_cancel_and_retry(api: Client, ada: User) -> None:
    path = f"{LIST}{in_state(ada, State.QUEUED).uuid}/"
    cancelled, late, again = api.post(f"{path}cancel/"), api.post(f"{path}cancel/"), api.post(f"{path}retry/")
    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
    assert error(late) == (409, "wrong_state", None)
    assert (again.status_code, again.json()["state"]) == (202, "queued")


def test_an_expired_export_is_gone(api: Client, ada: User) -> None:
    assert error(api.post(f"{LIST}{in_state(ada, State.EXPIRED).uuid}/retry/")) == (410, "expired", None)


@pytest.mark.parametrize(
    ("sent", "refused"),
    [
        ('{"dataset": ', (400, "bad_json", None)),
        ("[1]", (400, "bad_json", None)),
        ("\ud800", (400, "bad_json", None)),
        (GOOD | {"colour": "red"}, (400, "unknown_key", "colour")),
        (GOOD | {"dataset": 7}, (400, "bad_value", "dataset")),
        (GOOD | {"fields": "number"}, (422, "bad_request", "fields")),
        (GOOD | {"fields": [1]}, (422, "bad_request", "fields")),
        (GOOD | {"datasets": "orders"}, (422, "bad_request", "datasets")),
        (GOOD | {"datasets": ["invoices"]}, (422, "unknown_dataset", "dataset")),
        (GOOD | {"inside": ["csv"]}, (422, "nothing_inside", "inside")),
        (BUNDLE | {"dataset": "orders", "inside": []}, (422, "nothing_inside", "inside")),
        (BUNDLE | {"dataset": "orders", "inside": ["zip"]}, (422, "nothing_inside", "inside")),
        (BUNDLE | {"datasets": ["orders", "invoices"], "fields": ["number"]}, (422, "unknown_field", "fields")),
        (GOOD | {"options": ["semicolon"]}, (422, "bad_request", "options")),
        (GOOD | {"options": {"delimiter": 7}}, (422, "bad_request", "options")),
        (GOOD | {"options": {"delimiter": "dash"}}, (422, "bad_option", "options")),
        (GOOD | {"options": {"colour": "red"}}, (422, "bad_option", "options")),
        ({"format": "csv"}, (422, "bad_request", "dataset")),
        (GOOD | {"dataset": "secrets"}, (422, "unknown_dataset", "dataset")),
        (GOOD | {"format": "doc"}, (422, "unknown_format", "format")),
        (GOOD | {"fields": ["shoe size"]}, (422, "unknown_field", "fields")),
        (GOOD | {"period": "fortnight"}, (422, "bad_period", "period")),
        (GOOD | {"period": "ytd", "date_from": "2026-01-01"}, (422, "bad_period", "period")),
        (GOOD | {"period": "custom", "date_from": "1 May"}, (422, "bad_request", "date_from")),
        (GOOD | {"period": "custom", "date_from": "2026-02-02", "date_to": "2026-02-01"}, BAD_PERIOD),
    ],
)
def test_bad_input_is_refused_and_not_recorded(api: Client, sent: Any, refused: tuple[int, str, str]) -> None:
    body = sent.encode("utf-8", "surrogatepass") if isinstance(sent, str) else json.dumps(sent)
    assert error(api.post(LIST, body, content_type="application/json")) == refused
    assert Export.objects.count() == 0


def test_another_content_type_is_refused(api: Client) -> None:
    assert error(api.post(LIST, "dataset: orders", content_type="text/yaml")) == (400, "bad_content_type", None)


def test_temporary_errors_and_their_status(api: Client, settings: Any) -> None:
    with patch.object(Export, "save", side_effect=OperationalError("locked")):
        unrecorded = send(api, GOOD)
    assert (error(unrecorded), unrecorded["Retry-After"]) == ((503, "not_recorded", None), "60")
    settings.CARRYALL = settings.CARRYALL | {"MAX_OPEN_PER_USER": 0}
    assert error(send(api, GOOD)) == (429, "too_many", None)


def test_anonymous_users_and_wrong_methods_are_refused(client: Client, api: Client, ada: User) -> None:
    assert error(Client().get(LIST)) == (401, "not_signed_in", None)
    answer = api.delete(LIST)
    assert (error(answer), answer["Allow"]) == ((405, "wrong_method", None), "GET, HEAD, POST")


def test_other_users_exports_and_unknown_ids_are_not_found(api: Client, bob: User) -> None:
    other = in_state(bob, State.QUEUED)
    for path in (f"{other.uuid}/", "nonsense/", "00000000-0000-0000-0000-000000000000/"):
        assert error(api.get(LIST + path)) == (404, "not_found", None)
    assert error(api.post(f"{LIST}{other.uuid}/cancel/")) == (404, "not_found", None)


def test_csrf_is_enforced_with_a_json_error(ada: User) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(ada)
    assert error(send(strict, GOOD)) == (403, "csrf", None)
    strict.get("/exports/")
    token = strict.cookies["csrftoken"].value
    answer = strict.post(LIST, json.dumps(GOOD), content_type="application/json", headers={"X-CSRFToken": token})
    assert answer.status_code == 202
