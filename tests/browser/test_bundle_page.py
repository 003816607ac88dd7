"""Browser tests of a bundle's index.html, opened offline from a folder: hostile data is shown and never executed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Browser, Page

from exports.formats.zip.manifest import Bound, Bundle, Listing
from exports.formats.zip.pages import Extras, Preview
from exports.models import Export
from tests.support.exports import Errands, registered

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
EVIL = (
    "</script><script>alert(1)</script><img src=http://127.0.0.1:9/a onerror=alert(2)><svg onload=alert(3)>"
    "<style>@import 'http://127.0.0.1:9/b'</style>\" onmouseover=alert(4) javascript:alert(5)"
)


class Hostile(Errands):
    key = f"../{EVIL}"
    label = EVIL
    description = EVIL


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    owner = User(username="ada", first_name=EVIL)
    export = Export(owner=owner, dataset=Hostile.key, format="zip", inside=["csv"], period_end=NOON, requested_at=NOON)
    listing = Listing(0, "evil/evil-to-2026-03-01.csv", "csv", 5_000, None, 123_456, "ab" * 32, 1)
    volumes = [Bound(1, f"{EVIL}.zip"), Bound(2, "two.zip", 7, "cd" * 32, oversize=True)]
    wide = [(EVIL, number % 2 == 0) for number in range(12)]
    with registered(Hostile):
        shown = {Hostile.key: Preview(wide, [wide] * 20, cut=True)}
        extras = Extras(shown).of_first(Bundle(export, NOON, [listing], volumes, 50 * 10**6))
    (tmp_path / "evil").mkdir()
    (tmp_path / listing.path).write_text("Number\r\n1\r\n")
    for name, text in extras.items():
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.fixture(
    params=[(390, "light"), (390, "dark"), (1280, "light"), (1280, "dark")], ids=lambda way: f"{way[0]} {way[1]}"
)
def offline(chromium: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """An offline page with this width and color scheme. Requests, dialogs, console output and errors fail the test."""
    width, scheme = request.param
    context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
    page = context.new_page()
    faults: list[str] = []
    page.on("dialog", lambda dialog: faults.append(dialog.message))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text))
    page.on("request", lambda sent: None if sent.url.startswith("file:") else faults.append(sent.url))
    yield page
    context.close()
    assert not faults


def test_hostile_data_is_shown_and_not_executed(offline: Page, folder: Path) -> None:
    offline.goto((folder / "index.html").as_uri())
    offline.hover("h2")
    for cell in offline.locator("td").all()[:12]:
        cell.hover()
        assert cell.inner_text().startswith("</script><script>alert(1)")
    assert offline.evaluate("document.querySelectorAll('script, img, svg, link, iframe').length") == 0
    assert offline.locator("tbody tr").count() == 20


def test_nothing_is_wider_than_the_screen(offline: Page, folder: Path) -> None:
    offline.goto((folder / "index.html").as_uri())
    assert offline.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_links_lead_to_the_files(offline: Page, folder: Path) -> None:
    offline.goto((folder / "index.html").as_uri())
    for link in offline.locator("a").all():
        address = link.evaluate("link => link.href")
        assert Path(address.removeprefix("file://")).is_file(), address
