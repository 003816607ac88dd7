"""The button, as a person sees it in a real browser over the real site."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.slow
SECONDS = 60
MS = SECONDS * 1000


def seen_until_ready(page: Page) -> list[tuple[str, str]]:
    """Every (state, progress) that the page has shown, in order, up to the last one."""
    seen: list[tuple[str, str]] = []
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        now = page.evaluate(
            """() => [document.querySelector("#export").dataset.state,
                      document.querySelector("#bar")?.getAttribute("value") ?? ""]"""
        )
        state, value = now
        if not seen or seen[-1] != (state, value):
            seen.append((state, value))
        if state in ("ready", "failed", "cancelled", "expired"):
            break
        page.wait_for_timeout(50)
    return seen


def choose(page: Page, format_label: str, period: str = "Year to date") -> None:
    page.get_by_label("What").select_option("orders")
    page.get_by_role("radio", name=format_label).check()
    page.get_by_role("radio", name=period).check()


def test_the_button_the_progress_and_the_file(page: Page, tmp_path: Path) -> None:
    choose(page, "JSON Lines")
    page.get_by_role("button", name="Export my data").click()
    page.wait_for_url("**/exports/*-*/")
    page.evaluate("window.notReloaded = true")
    seen = seen_until_ready(page)
    assert seen[-1][0] == "ready", seen
    assert len(seen) > 1, "the page never moved"
    assert page.evaluate("window.notReloaded") is True
    expect(page.get_by_role("status").first).to_have_text("Your file is ready.")

    with page.expect_download() as started:
        page.get_by_role("link", name="Download").click()
    path = tmp_path / started.value.suggested_filename
    started.value.save_as(path)
    assert path.suffix == ".jsonl"
    assert hashlib.sha256(path.read_bytes()).hexdigest() == page.locator("#sha256").inner_text()


def test_the_list_follows_without_reloading(page: Page) -> None:
    choose(page, "Excel")
    page.get_by_role("button", name="Export my data").click()
    page.wait_for_url("**/exports/*-*/")
    uuid = page.url.rstrip("/").rsplit("/", 1)[-1]
    page.goto("/exports/")
    page.evaluate("window.notReloaded = true")
    row = page.locator(f"#export-{uuid}")
    expect(row.get_by_role("link", name="Download")).to_be_visible(timeout=MS)
    assert page.evaluate("window.notReloaded") is True


def test_a_mistake_is_said_beside_its_field_and_the_choice_stays(page: Page) -> None:
    choose(page, "JSON Lines", "From … to …")
    page.get_by_label("From", exact=True).fill("2026-05-01")
    page.get_by_label("To", exact=True).fill("2026-04-01")
    page.get_by_role("button", name="Export my data").click()
    expect(page.get_by_role("alert").filter(has_text="The last day is before the first one.")).to_be_visible()
    expect(page.get_by_role("radio", name="JSON Lines")).to_be_checked()
    expect(page.get_by_label("From", exact=True)).to_have_value("2026-05-01")


def test_the_dates_show_for_their_period_alone(page: Page) -> None:
    expect(page.get_by_label("From", exact=True)).to_be_hidden()
    page.get_by_role("radio", name="From … to …").check()
    expect(page.get_by_label("From", exact=True)).to_be_visible()


def test_everything_works_without_javascript(plain_page: Page) -> None:
    choose(plain_page, "CSV", "Last 12 months")
    plain_page.get_by_role("button", name="Export my data").click()
    plain_page.wait_for_url("**/exports/*-*/")
    expect(plain_page.get_by_role("link", name="Download")).to_be_visible(timeout=MS)  # the page reloads itself
    with plain_page.expect_download() as started:
        plain_page.get_by_role("link", name="Download").click()
    digest = hashlib.sha256(Path(started.value.path()).read_bytes()).hexdigest()
    assert digest == plain_page.locator("#sha256").inner_text()
