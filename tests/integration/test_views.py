"""Tests of the pages of exports, through their URLs."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

from exports.datasets import datasets
from exports.models import Export, Part, Volume
from exports.states import PartState, State
from exports.web.forms import again_url
from tests.support.shop import in_state, orders

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}
GOOD = {"dataset": "orders", "format": "csv", "period": "all"}


@pytest.fixture
def page(client: Client, ada: User) -> Client:
    client.force_login(ada)
    return client


def text(response: Any) -> str:
    """Return the text of the page without tags, as one line."""
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


# --- the form -------------------------------------------------------------------------------------------------------


def test_the_form_redirects_to_the_new_export(page: Client, ada: User) -> None:
    answer = page.post("/exports/", GOOD)
    export = Export.objects.get(owner=ada)
    assert (answer.status_code, answer["Location"]) == (303, f"/exports/{export.uuid}/")
    assert (export.state, export.period_choice) == (State.QUEUED, "all")


def test_the_form_sent_by_htmx_is_redirected_by_a_header(page: Client, ada: User) -> None:
    answer = page.post("/exports/", GOOD, headers=HTMX)
    url = f"/exports/{Export.objects.get(owner=ada).uuid}/"
    assert (answer.status_code, answer["Location"], answer["HX-Redirect"]) == (202, url, url)


def test_a_repeated_request_shows_the_existing_export(page: Client) -> None:
    first = page.post("/exports/", GOOD)
    again = page.post("/exports/", GOOD, follow=True)
    assert again.redirect_chain == [(first["Location"], 303)]
    assert "This export was already under way." in text(again)
    assert Export.objects.count() == 1


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"dataset": "secrets"}, "There is no dataset &#x27;secrets&#x27;. Choose one of:"),
        ({"dataset": ""}, "Choose what to export."),
        ({"format": "doc"}, "There is no format &#x27;doc&#x27;. Choose one of:"),
        ({"fields": ["number", "shoe size"]}, "has no field shoe size"),
        ({"period": "fortnight"}, "There is no period &#x27;fortnight&#x27;"),
        ({"period": "custom"}, "Give both the first and the last day of the period."),
        ({"period": "custom", "date_from": "2026-02-01", "date_to": "2026-01-01"}, "The last day is before the first"),
        ({"period": "custom", "date_from": "1.2.2026", "date_to": "2026-03-01"}, "Give the day as year-month-day"),
    ],
)
@pytest.mark.parametrize("headers", [{}, HTMX], ids=["form", "htmx"])
def test_bad_input_shows_an_error_and_keeps_the_other_choices(
    page: Client, changed: dict[str, Any], sentence: str, headers: dict[str, str]
) -> None:
    sent = GOOD | {"format": "jsonl"} | changed
    answer = page.post("/exports/", sent, headers=headers)
    assert answer.status_code == 422
    assert sentence in text(answer)
    assert 'role="alert"' in answer.content.decode()
    assert Export.objects.count() == 0
    if sent["format"] == "jsonl":
        assert 'value="jsonl" checked' in answer.content.decode()


# --- fields, options, bundle ----------------------------------------------------------------------------------------

PAGE = GOOD | {"fields_of": "orders"}
"""Data of the page's form. It has `fields_of`, so that missing checkboxes mean that none is checked."""


def checked(html: str, name: str) -> list[str]:
    """Return the values of the checked boxes of this name, in the order of the page."""
    return re.findall(rf'name="{name}" value="([^"]+)" checked', html)


def test_fields_keep_the_order_of_the_page(page: Client) -> None:
    page.post("/exports/", PAGE | {"fields": ["total", "number"]})
    assert Export.objects.get().fields == ["total", "number"]


def test_all_fields_in_default_order_are_stored_as_an_empty_list(page: Client) -> None:
    every = checked(page.get("/exports/").content.decode(), "fields")
    page.post("/exports/", PAGE | {"fields": every})
    assert Export.objects.get().fields == []


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["form", "htmx"])
def test_an_error_is_shown_at_the_fields_if_none_is_selected(page: Client, headers: dict[str, str]) -> None:
    answer = page.post("/exports/", PAGE, headers=headers)
    html = answer.content.decode()
    assert answer.status_code == 422
    assert "Choose at least one field." in text(answer)
    assert checked(html, "fields") == []
    assert re.search(r'id="carryall-chooser" open', html)


def test_the_fields_of_another_dataset_are_ignored(page: Client) -> None:
    """Without JavaScript, the page still shows the fields of the dataset that it was rendered for."""
    page.post("/exports/", PAGE | {"dataset": "invoices", "fields": ["buyer"]})
    assert (Export.objects.get().dataset, Export.objects.get().fields) == ("invoices", [])


def test_a_form_with_errors_keeps_order_and_options(page: Client) -> None:
    bad = {"period": "custom", "fields": ["total", "number"], "option-delimiter": "semicolon"}
    html = page.post("/exports/", PAGE | bad).content.decode()
    assert checked(html, "fields") == ["total", "number"]
    assert "2 of 11 fields" in html
    assert '<option value="semicolon" selected>' in html


@pytest.mark.parametrize(
    ("press", "left"),
    [
        ("up:item", ["item", "total", "number"]),
        ("down:total", ["item", "total", "number"]),
        ("up:total", ["total", "item", "number"]),
        ("down:buyer", ["total", "item", "number"]),
        ("none", []),
    ],
)
def test_the_server_moves_fields_without_javascript(page: Client, press: str, left: list[str]) -> None:
    answer = page.post("/exports/", PAGE | {"fields": ["total", "item", "number"], "change": press})
    assert answer.status_code == 200
    assert checked(answer.content.decode(), "fields") == left
    assert Export.objects.count() == 0


@pytest.mark.parametrize("press", ["all", "reset", "dataset"])
def test_the_server_selects_all_fields_without_javascript(page: Client, press: str) -> None:
    answer = page.post("/exports/", PAGE | {"dataset": "invoices", "fields": ["number"], "change": press})
    assert "8 of 8 fields" in text(answer)


def test_a_button_shows_the_estimate_without_javascript(page: Client, ada: User) -> None:
    orders(ada, 3)
    assert "Fewer than 50 rows: ready at once." in text(page.post("/exports/", GOOD | {"change": "estimate"}))


def test_the_fields_depend_on_the_dataset(page: Client) -> None:
    html = page.get("/exports/fields/?dataset=invoices&format=csv&fields_of=orders&fields=number").content.decode()
    assert 'name="fields_of" value="invoices"' in html
    assert len(checked(html, "fields")) == 8
    several = page.get("/exports/fields/?datasets=orders&datasets=invoices&format=zip&fields_of=orders")
    assert "All fields of each dataset." in text(several)


def test_an_export_of_an_earlier_version_is_shown_and_can_be_repeated(page: Client, ada: User) -> None:
    old = in_state(ada, State.CANCELLED, dataset="orders", options={"excel": "yes"})
    assert "Excel: decimal point" in text(page.get(f"/exports/{old.uuid}/"))
    assert '<option value="excel" selected>' in page.get(again_url(old)).content.decode()


def test_options_of_other_formats_are_ignored(page: Client) -> None:
    page.post("/exports/", PAGE | {"format": "jsonl", "fields": ["number"], "option-delimiter": "semicolon"})
    assert Export.objects.get().options == {}


def test_a_bundle_uses_the_checkboxes(page: Client) -> None:
    ticks = {"format": "zip", "datasets": ["orders", "invoices"], "inside": ["csv", "jsonl"], "option-volume": "50mb"}
    page.post("/exports/", PAGE | ticks | {"fields": checked(page.get("/exports/").content.decode(), "fields")})
    export = Export.objects.get()
    assert (export.datasets, export.inside, export.options) == (
        ["orders", "invoices"],
        ["csv", "jsonl"],
        {"volume": "50mb"},
    )


@pytest.mark.parametrize(
    ("ticks", "sentence"),
    [
        ({"datasets": [], "inside": ["csv"]}, "Choose what to export."),
        ({"datasets": ["orders"], "inside": []}, "Choose at least one format for the bundle."),
        ({"datasets": ["orders", "invoices"], "inside": ["csv"], "fields": ["number"]}, "chosen for one dataset"),
    ],
)
def test_a_bundle_without_its_checkboxes_is_refused(page: Client, ticks: dict[str, Any], sentence: str) -> None:
    answer = page.post("/exports/", PAGE | {"format": "zip"} | ticks)
    assert answer.status_code == 422
    assert sentence in text(answer)


def test_export_again_fills_in_the_same_choices(page: Client, ada: User) -> None:
    choices = {"format": "zip", "datasets": ["invoices"], "inside": ["csv"], "fields": ["paid", "number"]}
    page.post("/exports/", PAGE | choices | {"fields_of": "invoices", "option-delimiter": "semicolon"})
    export = Export.objects.get()
    form = page.get(again_url(export)).content.decode()
    again = {name: checked(form, name) for name in ("datasets", "inside", "fields", "format")}
    assert again == {"datasets": ["invoices"], "inside": ["csv"], "fields": ["paid", "number"], "format": ["zip"]}
    assert '<option value="semicolon" selected>' in form


# --- the estimate ---------------------------------------------------------------------------------------------------


def estimate(page: Client, query: str = "dataset=orders&format=csv&period=all") -> str:
    return text(page.get(f"/exports/estimate/?{query}", headers=HTMX))


def test_the_texts_of_estimates(page: Client, ada: User) -> None:
    assert estimate(page) == "No rows in this period: the file will be empty."
    orders(ada, 3)
    assert estimate(page) == "Fewer than 50 rows: ready at once."
    orders(ada, 200)
    assert estimate(page).startswith("203 rows , about")
    assert "This is a guess: no similar export has been measured yet." in estimate(page)


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("dataset=orders&format=csv&period=custom", "Give both the first and the last day of the period."),
        ("dataset=orders&format=csv&fields_of=orders", "Choose at least one field."),
        ("dataset=nonsense&format=csv", "There is no dataset"),
    ],
)
def test_the_reason_is_shown_if_there_is_no_estimate(page: Client, query: str, sentence: str) -> None:
    assert sentence in estimate(page, query)


def test_a_dataset_that_fails_does_not_break_the_form(page: Client) -> None:
    with patch.object(type(datasets.get("orders")), "estimate", side_effect=ZeroDivisionError):
        assert estimate(page) == "No estimate is available right now."
    with patch.object(type(datasets.get("orders")), "permitted", side_effect=ZeroDivisionError):
        assert estimate(page) == "No estimate is available right now."


def test_dates_are_ignored_if_the_period_has_none(page: Client) -> None:
    assert page.post("/exports/", GOOD | {"date_from": "nonsense"}).status_code == 303


def test_too_many_open_exports_are_429(page: Client, settings: Any) -> None:
    settings.CARRYALL = settings.CARRYALL | {"MAX_OPEN_PER_USER": 1}
    page.post("/exports/", GOOD)
    answer = page.post("/exports/", GOOD | {"format": "jsonl"})
    assert answer.status_code == 429
    assert "You have 1 exports under way" in text(answer)


def test_a_database_error_is_503(page: Client) -> None:
    with patch.object(Export, "save", side_effect=OperationalError("locked")):
        answer = page.post("/exports/", GOOD, headers=HTMX)
    assert answer.status_code == 503
    assert answer["HX-Retarget"] == "#carryall-form"
    assert "could not be recorded" in text(answer)


def test_a_form_without_its_csrf_token_gets_the_sites_error_page(ada: User) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(ada)
    answer = strict.post("/exports/", GOOD)
    assert answer.status_code == 403
    assert "The form has expired" in text(answer)


# --- the list -------------------------------------------------------------------------------------------------------


def test_an_empty_list_shows_an_explanation(page: Client) -> None:
    answer = page.get("/exports/")
    assert "No exports yet" in text(answer)
    assert "Its file is kept for 7 days" in text(answer)


def test_the_form_lists_datasets_formats_and_periods(page: Client) -> None:
    words = text(page.get("/exports/"))
    for known in ("All orders of your shops, one per row.", "JSON Lines", "ZIP bundle", "Last 12 months"):
        assert known in words


def test_the_list_shows_only_the_users_exports_in_all_states(page: Client, ada: User, bob: User) -> None:
    own = [in_state(ada, state) for state in State]
    other = in_state(bob, State.QUEUED)
    html = page.get("/exports/").content.decode()
    assert all(f'id="export-{export.uuid}"' in html for export in own)
    assert all(f"chip-{state}" in html for state in State)
    assert str(other.uuid) not in html


def test_the_list_has_pages_of_twenty(page: Client, ada: User) -> None:
    for _ in range(21):
        in_state(ada, State.CANCELLED)
    first, second = (page.get(f"/exports/?page={number}").content.decode() for number in (1, 2))
    assert (first.count("ca-export-row"), second.count("ca-export-row")) == (20, 1)
    assert page.get("/exports/?page=nonsense").status_code == 200


def test_the_list_polls_only_open_exports(page: Client, ada: User) -> None:
    queued, done = in_state(ada, State.QUEUED), in_state(ada, State.CANCELLED)
    html = page.get("/exports/").content.decode()
    assert f"/exports/rows/?open={queued.uuid}" in html
    assert f"open={done.uuid}" not in html


def test_polled_rows_are_current_and_polling_stops(page: Client, ada: User, bob: User) -> None:
    export, other = in_state(ada, State.CANCELLED), in_state(bob, State.QUEUED)
    html = page.get(f"/exports/rows/?open={export.uuid}&open={other.uuid}&open=nonsense").content.decode()
    assert f'id="export-{export.uuid}" hx-swap-oob="true"' in html
    assert str(other.uuid) not in html
    assert "hx-trigger" not in html


def test_a_link_fills_in_the_form(page: Client) -> None:
    query = "dataset=invoices&format=jsonl&period=custom&date_from=2026-01-01&date_to=2026-02-01"
    html = page.get(f"/exports/?{query}").content.decode()
    for part in ('value="invoices" selected', 'value="jsonl" checked', 'value="custom" checked', 'value="2026-02-01"'):
        assert part in html
    assert 'value="ytd" checked' in page.get("/exports/?period=%3Cb%3E&dataset=x").content.decode()


def test_a_dataset_whose_code_fails_is_left_out(page: Client) -> None:
    with patch.object(type(datasets.get("invoices")), "permitted", side_effect=ZeroDivisionError):
        answer = page.get("/exports/")
    assert 'value="orders"' in answer.content.decode()
    assert 'value="invoices"' not in answer.content.decode()


# --- one export -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (State.QUEUED, "Waiting for a free worker."),
        (State.RENDERING, "Your data is being read"),
        (State.ASSEMBLING, "The file is being assembled"),
        (State.READY, "Your file is ready."),
        (State.FAILED, "There was no room left."),
        (State.CANCELLED, "This export was cancelled."),
        (State.EXPIRED, "The file has expired and was deleted."),
    ],
)
def test_every_state_has_its_text(page: Client, ada: User, state: State, words: str) -> None:
    assert words in text(page.get(in_state(ada, state).get_absolute_url()))


def test_an_export_without_rows_has_a_note(page: Client, ada: User) -> None:
    assert "it is valid but empty" in text(page.get(in_state(ada, State.READY, rows=0).get_absolute_url()))


def test_the_page_shows_the_request_and_the_file(page: Client, ada: User) -> None:
    fields = {"fields": ["number", "total"], "time_zone": "Asia/Tokyo", "pages": 12, "rows": 12_345}
    words = text(page.get(in_state(ada, State.READY, **fields).get_absolute_url()))
    for fact in ("Order, Total", "Asia/Tokyo", "12,345", "12 pages", "ab" * 32, "orders.csv"):
        assert fact in words


def rendering(owner: User) -> Export:
    export = in_state(owner, State.RENDERING, rows=40_000)
    done: dict[str, Any] = {"state": PartState.DONE, "sha256": "a", "size": 1, "next_attempt_at": None}
    Part.objects.create(export=export, owner=owner, index=0, rows=20_000, rows_done=20_000, **done)
    Part.objects.create(export=export, owner=owner, index=1, rows=20_000, rows_done=5_000)
    return export


def test_progress_is_the_sum_over_the_parts(page: Client, ada: User) -> None:
    export = rendering(ada)
    html = page.get(f"/exports/{export.uuid}/progress/?seen=rendering").content.decode()
    assert "25,000 of 40,000 rows" in html
    assert 'value="62"' in html
    assert 'hx-trigger="every 1s"' in html
    assert 'id="carryall-export"' not in html


def test_the_time_left_is_shown(page: Client, ada: User) -> None:
    export = rendering(ada)
    Export.objects.update(started_at=timezone.now() - timedelta(seconds=60))
    Part.objects.filter(state=PartState.DONE).update(seconds=60)
    for path in (f"/exports/{export.uuid}/progress/?seen=rendering", f"/exports/rows/?open={export.uuid}"):
        assert re.search(r"about (\d+ seconds|\d minutes?) left", text(page.get(path)))


def test_a_waiting_export_shows_when_it_starts(page: Client, ada: User, bob: User) -> None:
    other = rendering(bob)
    Part.objects.filter(state=PartState.WAITING).update(published_at=timezone.now())
    mine = in_state(ada, State.RENDERING, rows=10, started_at=timezone.now())
    Part.objects.create(export=mine, owner=ada, index=0, rows=10)
    assert other.pk < mine.pk
    assert "One export is ahead of you; yours starts in about" in text(page.get(mine.get_absolute_url()))


def test_a_bundle_shows_its_contents_and_files(page: Client, ada: User) -> None:
    choices = {"dataset": "orders,invoices", "format": "zip", "inside": ["csv", "pdf"], "options": {"volume": "50mb"}}
    export = in_state(ada, State.READY, **choices)
    Volume.objects.create(export=export, index=2, artifact="a", filename="orders-2.zip", size=7, sha256="cd" * 32)
    answer = page.get(export.get_absolute_url())
    words = text(answer)
    for shown in (
        "Orders, Invoices",
        "ZIP bundle (with CSV, PDF)",
        "Of up to 50 MB",
        "Download 1 of 2",
        "orders-2.zip",
        "cd" * 32,
    ):
        assert shown in words
    assert f'href="/exports/{export.uuid}/download/2/"' in answer.content.decode()


def test_a_changed_state_replaces_the_section_and_is_announced(page: Client, ada: User) -> None:
    export = in_state(ada, State.READY)
    answer = page.get(f"/exports/{export.uuid}/progress/?seen=rendering")
    html = answer.content.decode()
    assert (answer["HX-Retarget"], answer["HX-Reswap"]) == ("#carryall-export", "outerHTML")
    assert f"/exports/{export.uuid}/download/" in html
    assert '<p id="carryall-announcer" hx-swap-oob="innerHTML">Your file is ready.' in html
    assert "hx-trigger" not in html


def test_the_page_of_an_open_export_reloads_without_javascript(page: Client, ada: User) -> None:
    refresh = '<noscript><meta http-equiv="refresh"'
    assert refresh in page.get(in_state(ada, State.QUEUED).get_absolute_url()).content.decode()
    assert refresh not in page.get(in_state(ada, State.READY).get_absolute_url()).content.decode()


def test_exports_ahead_of_a_waiting_one_are_counted(page: Client, ada: User, bob: User) -> None:
    in_state(bob, State.RENDERING)
    in_state(bob, State.CANCELLED)
    Export.objects.update(requested_at=timezone.now() - timedelta(hours=1))
    mine = in_state(ada, State.QUEUED)
    assert "One export is ahead of you" in text(page.get(mine.get_absolute_url()))


def test_cancel_and_try_again(page: Client, ada: User) -> None:
    export = in_state(ada, State.QUEUED)
    answer = page.post(f"/exports/{export.uuid}/cancel/", follow=True)
    assert answer.redirect_chain == [(export.get_absolute_url(), 303)]
    assert "The export was cancelled." in text(answer)
    assert "The export will be retried." in text(page.post(f"/exports/{export.uuid}/retry/", follow=True))
    export.refresh_from_db()
    assert export.state == State.QUEUED


def test_cancelling_too_late_shows_a_warning(page: Client, ada: User) -> None:
    export = in_state(ada, State.READY)
    answer = page.post(f"/exports/{export.uuid}/cancel/", follow=True)
    assert "The export has changed in the meantime" in text(answer)


def test_times_are_in_the_users_time_zone(page: Client, ada: User, settings: Any) -> None:
    settings.CARRYALL = settings.CARRYALL | {"USER_TIME_ZONE": f"{__name__}.tokyo"}
    export = in_state(ada, State.QUEUED)
    Export.objects.update(requested_at="2026-03-01T20:00:00Z")
    assert "2 March 2026, 05:00:00" in text(page.get(export.get_absolute_url()))


def tokyo(user: User) -> str:
    return "Asia/Tokyo"


def test_a_row_shows_the_size_of_all_files(page: Client, ada: User) -> None:
    export = in_state(ada, State.READY, format="zip", inside=["csv"], size=1_048_576)
    Volume.objects.create(export=export, index=2, filename="2.zip", size=2 * 1_048_576, sha256="ab" * 32)
    for path in ("/exports/", f"/exports/rows/?open={export.uuid}"):
        assert "3.0 MB" in text(page.get(path)).replace("\xa0", " ")
