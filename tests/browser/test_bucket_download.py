"""Browser test of a site with files in S3: the browser downloads from the bucket, which is full at first."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import sign_in
from tests.support.s3 import Bucket, serving
from tests.support.stack import Stack, running
from tests.support.storage_faults import arm, happened

pytestmark = pytest.mark.slow
MS = 60_000


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    with serving(tmp_path_factory.mktemp("s3")) as server:
        yield Bucket(server, "site")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, bucket: Bucket) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("site")
    faults = {"FAULTY_STORAGE": str(folder / "faults.json"), "BACKOFF_FIRST": "0.5"}
    with running(folder, database_url="", seed=True, **faults, **bucket.environment) as stack:
        yield stack


def test_the_file_is_downloaded_from_the_bucket(chromium: Browser, site: Stack, bucket: Bucket, tmp_path: Path) -> None:
    arm(site.folder / "faults.json", full=True, times=3)
    context = chromium.new_context(base_url=site.url, accept_downloads=True)
    page = context.new_page()
    sign_in(page)
    page.get_by_role("radio", name="Last month").check()
    page.get_by_role("button", name="Export my data").click()
    page.wait_for_url("**/exports/*-*/")
    expect(page.get_by_role("link", name="Download")).to_be_visible(timeout=MS)
    assert happened(site.folder / "faults.json") == 3
    with page.expect_download() as started:
        page.get_by_role("link", name="Download").click()
    assert urlsplit(started.value.url).netloc == f"127.0.0.1:{bucket.server.port}"
    path = tmp_path / started.value.suggested_filename
    started.value.save_as(path)
    digest = page.locator("#carryall-sha256").inner_text()
    assert (path.suffix, hashlib.sha256(path.read_bytes()).hexdigest()) == (".csv", digest)
    page.reload()
    expect(page.get_by_text("You downloaded it on")).to_be_visible()
    context.close()

    listing = bucket.server.client().list_objects_v2(Bucket="artifacts")["Contents"]
    assert [found["Key"].count("/") for found in listing] == [2]
    assert not (site.var_dir / "artifacts").exists()
    person = site.signed_in()
    export = page.url.rstrip("/").rsplit("/", 1)[-1]
    assert hashlib.sha256(person.download(export)).hexdigest() == digest
