"""Fixtures of the browser tests: pages of a whole site in the system's Chromium."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.support.stack import Stack

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.fail(
            "Chromium not found on the PATH: install it with `apt-get install chromium` and run the tests again."
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser, shared_stack: Stack) -> Iterator[Page]:
    """A page of a new browser context, signed in as the demo's enterprise customer. Script errors fail the test."""
    context = chromium.new_context(base_url=shared_stack.url, accept_downloads=True)
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    sign_in(page)
    yield page
    context.close()
    assert not faults


@pytest.fixture
def plain_page(chromium: Browser, shared_stack: Stack) -> Iterator[Page]:
    """Like `page`, without JavaScript."""
    context: BrowserContext = chromium.new_context(base_url=shared_stack.url, java_script_enabled=False)
    page = context.new_page()
    sign_in(page)
    yield page
    context.close()


def sign_in(page: Page) -> None:
    page.goto("/accounts/login/")
    page.get_by_label("E-mail").fill("enterprise@example.com")
    page.get_by_label("Password").fill("demo")
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url("**/exports/")
