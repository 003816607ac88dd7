"""Browser tests of a bundle's index.html, opened offline from a folder: hostile data is shown and never executed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote

import pytest
from django.contrib.auth.models import User
from django.core.files.storage import default_storage
from playwright.sync_api import Browser, Page
from pytest_django import Settings

from exports.datasets import Files
from exports.datasets.files import Upload, safe_name
from exports.formats.zip.manifest import Bound, Bundle, Listing, Missing
from exports.formats.zip.pages import Extras, Preview
from exports.models import Export
from tests.support.exports import Errands, registered

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
EVIL = (
    "</script><script>alert(1)</script><img src=http://127.0.0.1:9/a onerror=alert(2)><svg onload=alert(3)>"
    "<style>@import 'http://127.0.0.1:9/b'</style>\" onmouseover=alert(4) javascript:alert(5)"
)


HEBREW = "\u05e9\u05dc\u05d5\u05dd.pdf"
UPLOADS = list(map(safe_name, (EVIL, "photo.jpg", "100% #1.pdf", "x" * 300 + ".txt", HEBREW, "gone.txt")))


class Hostile(Errands):
    key = f"../{EVIL}"
    label = EVIL
    description = EVIL
    purpose, retention, recipients, source_of_data = EVIL, "10 years", "Nobody else", "You"


@pytest.fixture
def folder(tmp_path: Path, settings: Settings) -> Path:
    settings.CARRYALL = settings.CARRYALL | {"CONTROLLER": f"Shop Ltd, Street 1, privacy@shop.example {EVIL}"}
    owner = User(username="ada", first_name=EVIL)
    export = Export(owner=owner, dataset=Hostile.key, format="zip", inside=["csv"], period_end=NOON, requested_at=NOON)
    listing = Listing(0, "evil/evil-to-2026-03-01.csv", "csv", 5_000, None, 123_456, "ab" * 32, 1)
    volumes = [Bound(1, f"{EVIL}.zip"), Bound(2, "two.zip", 7, "cd" * 32, oversize=True)]
    uploads = [Upload(Files("scan"), "Scan", "1", f"evil/files/1-{name}", name, default_storage) for name in UPLOADS]
    files = [Listing(0, upload.path, "", None, None, 5_000_000, "ef" * 32, 2, upload=upload) for upload in uploads[:-1]]
    missing = [Missing(Hostile.key, uploads[-1], "It no longer exists where it was stored.")]
    wide = [(EVIL, number % 2 == 0) for number in range(12)]
    with registered(Hostile):
        shown = {Hostile.key: Preview(wide, [wide] * 20, cut=True)}
        extras = Extras(shown).of_first(Bundle(export, NOON, [listing, *files], volumes, 50 * 10**6, missing))
    (tmp_path / "evil" / "files").mkdir(parents=True)
    for file in (listing, *files):
        (tmp_path / file.path).write_text("Number\r\n1\r\n")
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


def test_uploads_missing_files_and_declarations_are_shown(offline: Page, folder: Path) -> None:
    offline.goto((folder / "index.html").as_uri())
    text = offline.inner_text("main")
    for words in (
        "Your files 5 files", "photo.jpg", "evil/files/1-gone.txt", "It no longer exists", "How long it is kept",
        "10 years", "Who is responsible for the data", "privacy@shop.example", "Your rights",
    ):  # fmt: skip
        assert words in text


def test_nothing_is_wider_than_the_screen(offline: Page, folder: Path) -> None:
    offline.goto((folder / "index.html").as_uri())
    assert offline.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_links_lead_to_the_files(offline: Page, folder: Path) -> None:
    offline.goto((folder / "index.html").as_uri())
    for link in offline.locator("a").all():
        address = link.evaluate("link => link.href")
        assert Path(unquote(address.removeprefix("file://"))).is_file(), address
