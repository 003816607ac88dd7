"""Browser tests of our pages, the button and the bell in somebody else's site: tests/hosts/german."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from deploy.redis_server import free_port
from deploy.steps import ROOT, TETHERED
from tests.support.stack import wait_until

pytestmark = pytest.mark.slow
EVERY_STYLE = """() => Object.fromEntries(
    ["html", "body", "header", "main", "footer", "#link", "#heading", "#title", "#button", "#words", "#table", "td",
     "#progress"]
    .map((name) => [name, Object.fromEntries([...getComputedStyle(document.querySelector(name))]
    .filter((key) => !/size|width|height|origin|inset|top|bottom|left|right/.test(key))
    .map((key) => [key, getComputedStyle(document.querySelector(name))[key]]))]))"""
"""Every computed style of the host's elements, but for lengths: those of a container follow from its content."""

Visit = Callable[..., Page]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a running host."""
    folder, port = tmp_path_factory.mktemp("host"), free_port()
    environment = os.environ | {"HOST_DIR": str(folder), "DJANGO_SETTINGS_MODULE": "tests.hosts.german.settings"}
    subprocess.run([sys.executable, "-m", "tests.hosts.german.prepare"], cwd=ROOT, env=environment, check=True)
    serve = ["-m", "django", "runserver", "--noreload", "--skip-checks", f"127.0.0.1:{port}"]
    with (folder / "log").open("wb") as log:
        command = [*TETHERED, sys.executable, *serve]
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=log, stdout=log)
        try:
            wait_until(lambda: "Quit the server" in Path(log.name).read_text(), 60, what="the host")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(10)


@pytest.fixture
def visit(chromium: Browser, host: str) -> Iterator[Visit]:
    """`visit(path, **choices)` opens a page of the host. Errors and violations of its policy fail the test."""
    contexts: list[BrowserContext] = []
    faults: list[str] = []

    def opened(path: str = "/", *, scripts: bool = True, size: int = 1280, **choices: str) -> Page:
        viewport: Any = {"width": size, "height": 900}
        context = chromium.new_context(base_url=host, java_script_enabled=scripts, viewport=viewport)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda line: faults.append(line.text) if "Security Policy" in line.text else None)
        page.goto("/anmelden/")
        page.locator("#id_username").fill("ada")
        page.locator("#id_password").fill("password")
        page.get_by_role("button", name="Anmelden").click()
        page.wait_for_url(host + "/")
        context.add_cookies([{"name": f"host-{name}", "value": value, "url": host} for name, value in choices.items()])
        page.goto(path)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert faults == []


def requests_of(page: Page) -> list[str]:
    """Return a list to which the path of each request is added from now on."""
    seen: list[str] = []
    page.on("request", lambda request: seen.append(f"{request.method} {request.url.split('/', 3)[3]}"))
    return seen


@pytest.mark.parametrize("size", [390, 1280])
def test_the_styles_of_the_host_are_the_same_with_and_without_ours(visit: Visit, size: int) -> None:
    with_ours, without = visit(size=size), visit(size=size, without="1")
    assert with_ours.locator(".carryall").count() == 3
    assert without.locator(".carryall").count() == 0
    assert with_ours.evaluate(EVERY_STYLE) == without.evaluate(EVERY_STYLE)


def test_the_styles_of_the_host_are_the_same_on_our_pages(visit: Visit) -> None:
    ours, without = visit("/me/exports/"), visit(without="1")
    for page in (ours, without):
        page.evaluate("document.querySelector('h1').id = 'heading'")
    assert {**ours.evaluate(EVERY_STYLE), "#heading": 0} == {**without.evaluate(EVERY_STYLE), "#heading": 0}


@pytest.mark.parametrize("size", [390, 1280])
@pytest.mark.parametrize("path", ["/me/exports/", "/me/notifications/", "/me/notifications/preferences/"])
def test_the_rules_of_the_host_leave_our_pages_usable(visit: Visit, path: str, size: int) -> None:
    page = visit(path, size=size)
    assert page.evaluate("document.documentElement.scrollWidth") <= size
    for button in page.locator(".ca-page .ca-button:visible").all():
        styles = button.evaluate("(it) => [getComputedStyle(it).color, getComputedStyle(it).backgroundColor]")
        assert styles in (["rgb(255, 255, 255)", "rgb(15, 118, 110)"], ["rgb(22, 32, 31)", "rgb(255, 255, 255)"])
    for tick in page.locator(".ca-page input[type=checkbox]:visible").all():
        box = tick.bounding_box()
        assert box
        assert (box["width"], box["height"]) == (18, 18) or tick.evaluate("(it) => !!it.closest('.ca-pill')")


def test_a_site_can_change_our_colours_and_rules(visit: Visit) -> None:
    page = visit("/me/exports/")
    own = ".carryall { --accent: rgb(1, 2, 3) } .carryall .ca-card { border-radius: 0 }"
    page.evaluate("(css) => { globalThis.own = new CSSStyleSheet(); own.replaceSync(css) }", own)
    page.evaluate("document.adoptedStyleSheets = [own]")
    button = page.get_by_role("button", name="Export my data")
    expect(button).to_have_css("background-color", "rgb(1, 2, 3)")
    expect(page.locator("#carryall-form")).to_have_css("border-radius", "0px")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_our_pages_are_dark_only_where_the_site_is(visit: Visit, scheme: Any) -> None:
    page = visit("/me/exports/")
    page.emulate_media(color_scheme=scheme)
    card = page.locator("#carryall-form")
    expect(card).to_have_css("background-color", "rgb(255, 255, 255)")
    page.evaluate("document.documentElement.style.setProperty('color-scheme', 'light dark')")
    expect(card).to_have_css("background-color", "rgb(22, 29, 28)" if scheme == "dark" else "rgb(255, 255, 255)")


def test_the_site_keeps_its_own_variables_and_title(visit: Visit) -> None:
    page = visit("/me/exports/")
    expect(page.locator("#title")).to_have_text("Page of the shop, Options of the shop")
    expect(page).to_have_title("Exports | Laden")


# --- htmx -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("htmx", ["", "head", "end", "async", "bundled"])
def test_htmx_is_loaded_once_and_each_request_is_sent_once(visit: Visit, htmx: str) -> None:
    page = visit(htmx=htmx)
    page.wait_for_load_state("networkidle")
    seen = requests_of(page)
    page.goto("/me/exports/")
    expect(page.locator("#carryall-estimate")).to_contain_text("1.234 rows")
    page.get_by_label("Data", exact=True).select_option("invoices")
    expect(page.locator("[data-count]")).to_have_text("8 of 8 fields")
    page.wait_for_timeout(2200)
    assert len([request for request in seen if "htmx-2" in request]) == 1
    assert len([request for request in seen if "exports/fields/" in request]) == 1
    assert len([request for request in seen if "exports/estimate/" in request]) == 2
    assert 1 <= len([request for request in seen if "exports/rows/" in request]) <= 2  # every 2 s


@pytest.mark.parametrize("boost", ["", "1"])
def test_our_pages_inherit_nothing_from_the_htmx_of_the_site(visit: Visit, boost: str) -> None:
    page = visit("/me/exports/", htmx="head", boost=boost)
    page.get_by_role("radio", name="JSON Lines").check()
    page.get_by_role("radio", name="Everything").check()
    expect(page.locator("#carryall-estimate")).to_contain_text("1.234 rows")
    page.get_by_role("button", name="Export my data").click()
    page.wait_for_url("**/exports/*-*/")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Orders")
    page.wait_for_timeout(1500)  # one poll
    expect(page.locator("#carryall-progress")).to_contain_text("Waiting for a free worker.")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#carryall-progress")).to_contain_text("This export was cancelled.")


def test_the_page_of_an_export_follows_it(visit: Visit) -> None:
    """Its title changes with its state, and keeps the words of the site."""
    page = visit("/me/exports/?dataset=orders&format=json&period=all")
    page.get_by_role("button", name="Export my data").click()
    expect(page).to_have_title("Queued: Orders | Laden")
    before = page.url
    other = visit(before)
    other.get_by_role("button", name="Cancel").click()
    expect(page).to_have_title("Cancelled: Orders | Laden")
    expect(page.locator("#carryall-announcer")).to_contain_text("This export was cancelled.")


# --- the button and the bell ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scripts", [True, False])
def test_the_button_leads_to_the_form(visit: Visit, scripts: bool) -> None:
    page = visit(scripts=scripts)
    page.get_by_role("link", name="Export: Orders").click()
    expect(page.get_by_label("Data", exact=True)).to_have_value("orders")
    expect(page.get_by_role("radio", name="Everything")).to_be_checked()
    expect(page.get_by_role("combobox", name="Status", exact=True)).to_have_value("returned")


@pytest.mark.parametrize("scripts", [True, False])
def test_a_button_with_a_format_exports_at_once(visit: Visit, scripts: bool) -> None:
    page = visit(scripts=scripts)
    page.get_by_role("button", name="Als CSV: Orders").click()
    page.wait_for_url("**/me/exports/*-*/")
    expect(page.locator("#carryall-progress")).to_contain_text("Waiting for a free worker.")


@pytest.mark.parametrize("size", [390, 1280])
def test_the_bell_opens_and_closes(visit: Visit, size: int) -> None:
    page = visit(size=size)
    panel, summary = page.locator(".ca-bell-panel"), page.locator("#carryall-bell summary")
    expect(page.locator(".ca-badge")).to_contain_text("1")
    summary.click()
    expect(panel).to_be_visible()
    box = panel.bounding_box()
    assert box
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= size
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    expect(summary).to_be_focused()
    summary.click()
    page.mouse.click(200, 800)
    expect(panel).to_be_hidden()


def test_the_bell_is_polled_on_a_page_of_the_host(visit: Visit) -> None:
    page = visit()
    page.clock.install()
    page.goto("/")
    page.wait_for_function("window.htmx")
    with page.expect_response("**/me/notifications/bell/") as polled:
        page.clock.run_for(21_000)
    assert polled.value.status == 200
    expect(page.locator("#carryall-bell")).to_have_count(1)
    expect(page.locator(".carryall .ca-badge")).to_contain_text("1")
