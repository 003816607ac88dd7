"""Browser tests of the export form, the export page and the list of exports."""

from __future__ import annotations

import csv
import hashlib
import re
import time
from pathlib import Path
from zipfile import ZipFile

import pytest
from playwright.sync_api import Page, Route, expect

pytestmark = pytest.mark.slow
SECONDS = 60
MS = SECONDS * 1000


def seen_until_ready(page: Page) -> list[tuple[str, str]]:
    """Return every (state, progress) that the page shows, in order, until a final state."""
    seen: list[tuple[str, str]] = []
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        now = page.evaluate(
            """() => [document.querySelector("#carryall-export").dataset.state,
                      document.querySelector("#carryall-bar")?.getAttribute("value") ?? ""]"""
        )
        state, value = now
        if not seen or seen[-1] != (state, value):
            seen.append((state, value))
        if state in ("ready", "failed", "cancelled", "expired"):
            break
        page.wait_for_timeout(50)
    return seen


def choose(page: Page, format_label: str, period: str = "Year to date") -> None:
    page.get_by_label("Data", exact=True).select_option("orders")
    page.get_by_role("radio", name=format_label).check()
    page.get_by_role("radio", name=period).check()


def test_button_progress_and_download(page: Page, tmp_path: Path) -> None:
    choose(page, "JSON Lines")
    page.get_by_role("button", name="Export my data").click()
    page.wait_for_url("**/exports/*-*/")
    page.evaluate("window.notReloaded = true")
    seen = seen_until_ready(page)
    assert seen[-1][0] == "ready", seen
    assert len(seen) > 1, "the page never showed any progress"
    assert page.evaluate("window.notReloaded") is True
    expect(page.get_by_role("status").first).to_have_text("Your file is ready.")

    with page.expect_download() as started:
        page.get_by_role("link", name="Download").click()
    path = tmp_path / started.value.suggested_filename
    started.value.save_as(path)
    assert path.suffix == ".jsonl"
    assert hashlib.sha256(path.read_bytes()).hexdigest() == page.locator("#carryall-sha256").inner_text()


def test_everything_of_mine_is_one_press_and_described(page: Page) -> None:
    button = page.get_by_role("button", name="Export everything of mine")
    expect(button).to_have_accessible_description(re.compile("One ZIP file with all of your data"))
    first = page.locator("main").get_by_role("button").first
    expect(first).to_have_text("Export everything of mine")
    button.press("Enter")
    page.wait_for_url("**/exports/*-*/")
    expect(page.get_by_text("everything", exact=False).first).to_be_visible()
    expect(page.locator("h1")).to_contain_text("Orders, Invoices")
    page.get_by_role("button", name="Cancel").click()


def test_the_list_updates_without_reloading(page: Page) -> None:
    choose(page, "Excel")
    page.get_by_role("button", name="Export my data").click()
    page.wait_for_url("**/exports/*-*/")
    uuid = page.url.rstrip("/").rsplit("/", 1)[-1]
    page.goto("/exports/")
    page.evaluate("window.notReloaded = true")
    row = page.locator(f"#export-{uuid}")
    expect(row.get_by_role("link", name="Download")).to_be_visible(timeout=MS)
    assert page.evaluate("window.notReloaded") is True


def test_an_error_is_shown_at_its_field_and_the_choices_are_kept(page: Page) -> None:
    choose(page, "JSON Lines", "From … to …")
    page.get_by_label("From", exact=True).fill("2026-05-01")
    page.get_by_label("To", exact=True).fill("2026-04-01")
    page.get_by_role("button", name="Export my data").click()
    expect(page.get_by_role("alert").filter(has_text="The last day is before the first day.")).to_be_visible()
    expect(page.get_by_role("radio", name="JSON Lines")).to_be_checked()
    expect(page.get_by_label("From", exact=True)).to_have_value("2026-05-01")


def fields(page: Page) -> list[str]:
    """Return the checked fields, in the order of the page."""
    ticked = page.locator('#carryall-columns [name="fields"]:checked')
    return [str(box.get_attribute("value")) for box in ticked.all()]


def open_fields(page: Page) -> None:
    page.locator("#carryall-chooser summary").click()
    expect(page.locator("#carryall-columns ol")).to_be_visible()


def header(page: Page) -> str:
    """Submit the form, download the file and return its first line."""
    page.get_by_role("button", name="Export my data").click()
    page.wait_for_url("**/exports/*-*/")
    expect(page.get_by_role("link", name="Download")).to_be_visible(timeout=MS)
    with page.expect_download() as started:
        page.get_by_role("link", name="Download").click()
    return Path(started.value.path()).read_text().splitlines()[0].lstrip("\ufeff")


def test_fields_are_chosen_and_reordered(page: Page) -> None:
    choose(page, "CSV", "Last month")
    expect(page.locator("[data-count]")).to_have_text("11 of 11 fields")
    open_fields(page)
    page.get_by_role("button", name="Select none", exact=True).click()
    for name in ("Order", "Buyer", "Item"):
        page.get_by_role("checkbox", name=name, exact=True).check()
    expect(page.locator("[data-count]")).to_have_text("3 of 11 fields")
    up = page.get_by_role("button", name="Move Item up")
    up.focus()
    for _ in range(2):
        page.keyboard.press("Enter")  # the focus stays on the button
    expect(up).to_be_focused()
    expect(page.locator("[data-announcer]")).to_have_text("Item: position 3 of 11")
    assert fields(page) == ["number", "item", "buyer"]
    page.get_by_label("Separator").select_option("semicolon")
    assert header(page) == "Order;Item;Buyer"


def test_a_field_is_dragged_and_the_order_is_reset(page: Page) -> None:
    page.get_by_label("Data", exact=True).select_option("orders")
    open_fields(page)
    before = fields(page)
    page.locator("#carryall-columns").scroll_into_view_if_needed()
    handles = page.locator("#carryall-columns li .ca-handle")
    handle, target = (handles.nth(place).bounding_box() for place in (3, 0))
    assert handle
    assert target
    page.mouse.move(handle["x"] + 8, handle["y"] + 8)
    page.mouse.down()
    page.mouse.move(handle["x"] + 8, target["y"] + 4, steps=12)
    page.mouse.up()
    assert fields(page) == [before[3], *before[:3], *before[4:]]
    page.get_by_role("button", name="Reset").click()
    assert fields(page) == before


def test_fields_and_options_depend_on_the_dataset_and_format(page: Page) -> None:
    page.get_by_label("Data", exact=True).select_option("invoices")
    expect(page.locator("[data-count]")).to_have_text("8 of 8 fields")
    open_fields(page)
    expect(page.get_by_role("checkbox", name="Company")).to_be_visible()
    expect(page.get_by_label("Separator")).to_be_visible()
    page.get_by_role("radio", name="JSON Lines").check()
    expect(page.get_by_label("Separator")).to_be_hidden()


def test_a_choice_made_before_htmx_has_arrived_is_followed(page: Page) -> None:
    held: list[Route] = []
    page.route("**/htmx*.js", lambda route: held.append(route))
    page.goto("/exports/", wait_until="commit")
    page.get_by_label("Data", exact=True).select_option("invoices")
    page.wait_for_timeout(200)
    for route in held:
        route.continue_()
    expect(page.locator("[data-count]")).to_have_text("8 of 8 fields")


def test_an_export_without_fields_shows_an_error_at_the_fields(page: Page) -> None:
    choose(page, "CSV")
    open_fields(page)
    page.get_by_role("button", name="Select none", exact=True).click()
    expect(page.locator("#carryall-estimate")).to_have_text("Choose at least one field.")
    page.get_by_role("button", name="Export my data").click()
    expect(page.get_by_role("alert").filter(has_text="Choose at least one field.")).to_be_visible()
    expect(page.locator("#carryall-columns ol")).to_be_visible()
    expect(page.locator("[data-count]")).to_have_text("0 of 11 fields")


def test_the_estimate_is_updated_with_the_choices(page: Page) -> None:
    choose(page, "CSV", "Everything")
    expect(page.locator("#carryall-estimate")).to_contain_text("About 160,000 rows")
    page.get_by_role("radio", name="Last month").check()
    expect(page.locator("#carryall-estimate")).not_to_contain_text("160,000")
    page.get_by_role("radio", name="From … to …").check()
    expect(page.locator("#carryall-estimate")).to_have_text("Give both the first and the last day of the period.")


def test_a_bundle_of_two_datasets(page: Page) -> None:
    choose(page, "ZIP bundle", "Last month")
    expect(page.get_by_label("Data", exact=True)).to_be_hidden()
    page.get_by_role("checkbox", name="Invoices").check()
    page.get_by_role("checkbox", name="JSON Lines").check()
    page.get_by_role("checkbox", name="PDF").uncheck()
    expect(page.locator("#carryall-columns")).to_contain_text("All fields of each dataset.", use_inner_text=False)
    page.get_by_role("button", name="Export my data").click()
    page.wait_for_url("**/exports/*-*/")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Orders, Invoices")
    expect(page.get_by_role("link", name="Download")).to_be_visible(timeout=MS)
    with page.expect_download() as started:
        page.get_by_role("link", name="Download").click()
    names = ZipFile(started.value.path()).namelist()
    assert len([name for name in names if name.endswith((".csv", ".jsonl"))]) == 4
    page.get_by_role("link", name="Export again").click()
    expect(page.get_by_role("checkbox", name="Invoices")).to_be_checked()
    expect(page.get_by_role("checkbox", name="PDF")).not_to_be_checked()


def test_rows_without_dates_have_no_period(page: Page) -> None:
    """No period is sent, and the server exports all rows."""
    page.evaluate("""document.querySelector('[name="dataset"] [value="invoices"]').dataset.undated = "" """)
    periods, words = page.locator(".ca-periods"), page.get_by_text("This data has no dates")
    for dataset, dated in (("orders", True), ("invoices", False), ("orders", True)):
        page.get_by_label("Data", exact=True).select_option(dataset)
        expect(periods).to_be_visible(visible=dated)
        expect(words).to_be_visible(visible=not dated)
        sent = page.evaluate("new FormData(document.querySelector('#carryall-form')).has('period')")
        assert sent is dated


def test_the_dates_are_shown_only_for_a_custom_period(page: Page) -> None:
    expect(page.get_by_label("From", exact=True)).to_be_hidden()
    page.get_by_role("radio", name="From … to …").check()
    expect(page.get_by_label("From", exact=True)).to_be_visible()


def test_fields_are_reordered_without_javascript(plain_page: Page) -> None:
    choose(plain_page, "CSV", "Last month")
    plain_page.get_by_label("Data", exact=True).select_option("invoices")
    open_fields(plain_page)
    plain_page.get_by_role("button", name="Show the fields").click()
    plain_page.get_by_role("button", name="Select none", exact=True).click()
    for name in ("Invoice", "Month"):
        plain_page.get_by_role("checkbox", name=name, exact=True).check()
    plain_page.get_by_role("button", name="Move Month up").click()
    assert fields(plain_page) == ["month", "number"]
    plain_page.get_by_role("button", name="Estimate").click()
    expect(plain_page.locator("#carryall-estimate")).to_have_text("Fewer than 50 rows: ready at once.")
    assert header(plain_page) == "Month,Invoice"


def test_everything_works_without_javascript(plain_page: Page) -> None:
    choose(plain_page, "CSV", "Last 12 months")
    plain_page.get_by_role("button", name="Export my data").click()
    plain_page.wait_for_url("**/exports/*-*/")
    expect(plain_page.get_by_role("link", name="Download")).to_be_visible(timeout=MS)  # the page reloads itself
    with plain_page.expect_download() as started:
        plain_page.get_by_role("link", name="Download").click()
    digest = hashlib.sha256(Path(started.value.path()).read_bytes()).hexdigest()
    assert digest == plain_page.locator("#carryall-sha256").inner_text()


def test_the_filters_are_those_of_the_chosen_data(page: Page) -> None:
    choose(page, "CSV", "Everything")
    page.get_by_role("combobox", name="Status", exact=True).select_option("returned")
    expect(page.locator("#carryall-estimate")).not_to_contain_text("160,000")
    page.get_by_label("Data", exact=True).select_option("invoices")
    expect(page.get_by_role("combobox", name="Status", exact=True)).to_have_count(0)
    page.get_by_role("combobox", name="Paid", exact=True).select_option("false")
    page.get_by_label("Data", exact=True).select_option("orders")
    expect(page.get_by_role("combobox", name="Status", exact=True)).to_have_value("")
    page.get_by_role("combobox", name="Status", exact=True).select_option("returned")
    page.get_by_role("radio", name="ZIP bundle").check()
    page.get_by_role("checkbox", name="Invoices").check()
    expect(page.get_by_role("combobox", name="Orders: Status", exact=True)).to_have_value("returned")
    page.get_by_role("combobox", name="Invoices: Paid", exact=True).select_option("false")
    page.get_by_role("button", name="Export my data").click()
    page.wait_for_url("**/exports/*-*/")
    expect(page.locator("#carryall-export")).to_contain_text("Orders: Status")
    expect(page.locator("#carryall-export")).to_contain_text("Returned")
    expect(page.get_by_role("link", name="Download")).to_be_visible(timeout=MS)
    page.get_by_role("link", name="Export again").click()
    expect(page.get_by_role("combobox", name="Orders: Status", exact=True)).to_have_value("returned")
    expect(page.get_by_role("combobox", name="Invoices: Paid", exact=True)).to_have_value("false")


def test_a_link_with_filters_leads_to_their_rows_without_javascript(plain_page: Page) -> None:
    plain_page.goto("/exports/?dataset=orders&format=csv&period=all&param-status=returned&param-search=nobody")
    expect(plain_page.get_by_role("combobox", name="Status", exact=True)).to_have_value("returned")
    plain_page.get_by_role("textbox", name="Search", exact=True).fill("0")
    plain_page.get_by_role("button", name="Export my data").click()
    plain_page.wait_for_url("**/exports/*-*/")
    expect(plain_page.get_by_role("link", name="Download")).to_be_visible(timeout=MS)
    with plain_page.expect_download() as started:
        plain_page.get_by_role("link", name="Download").click()
    with Path(started.value.path()).open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert {row["Status"] for row in rows} == {"Returned"}
