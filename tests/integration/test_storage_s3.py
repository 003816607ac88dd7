"""Artifacts in S3: exports against a server of the same protocol, and download links for browsers."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.message import Message
from pathlib import Path
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError, ResponseStreamingError
from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from django.test import Client
from pypdf import PdfReader
from pytest_django import Settings

from config.artifacts import store
from exports.errors import DiskFull, Mismatch, StorageFailed
from exports.formats.zip import format as zips
from exports.intake.requests import expire_export
from exports.models import Download, Export
from exports.states import State
from exports.storage import artifacts
from exports.storage import bucket as buckets
from exports.storage.bucket import ArtifactBucket
from exports.storage.bucket_file import Streamed
from exports.upkeep import probes, purge
from exports.web.downloads import Unreachable, download
from tests.support.bundles import Noise, unpacked
from tests.support.exports import Errands, committed, content_of, errands, files, registered, run
from tests.support.s3 import BUCKET, Bucket
from tests.support.shop import ready

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _errands(settings: Settings) -> Iterator[None]:
    settings.CARRYALL = settings.CARRYALL | {"ROWS_PER_PART": 10}
    errands(25)
    with registered(Errands), registered(Noise):
        yield


@pytest.fixture
def page(client: Client, ada: User) -> Client:
    client.force_login(ada)
    return client


def own() -> ArtifactBucket:
    return cast("ArtifactBucket", artifacts.storage())


def put(key: str, content: bytes = b"x") -> artifacts.Stored:
    with artifacts.scratch(".csv") as file:
        file.write(content)
        return artifacts.store(file, key)


def fetch(url: str, method: str = "GET") -> tuple[int, bytes, Message]:
    """Return the status, body and headers that an anonymous browser receives."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method=method)) as answer:
            return answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), error.headers


# --- exports ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["csv", "pdf", "xlsx"])
def test_an_export_is_stored_only_in_the_bucket(ada: User, bucket: Bucket, tmp_path: Path, kind: str) -> None:
    export = run(ada, kind)
    assert (export.state, files()) == (State.READY, {export.artifact})
    there = bucket.server.client().get_object(**bucket.where(export.artifact))["Body"].read()
    assert (len(there), hashlib.sha256(there).hexdigest()) == (export.size, export.sha256)
    assert there == content_of(export)
    if kind == "pdf":
        with artifacts.open_artifact(export.artifact) as file:
            assert "worker 24" in PdfReader(file).pages[-1].extract_text()
    assert list((tmp_path / "scratch").iterdir()) == []
    assert not (tmp_path / "artifacts").exists()


def test_a_bundle_in_volumes(ada: User, bucket: Bucket, page: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(zips.SIZES, "50mb", 20_000)
    export = run(ada, "zip", dataset=["errands", "noise"], inside=["csv", "xlsx"], options={"volume": "50mb"})
    found = unpacked(export)
    found.check()
    assert len(found.volumes) > 1
    assert files() == {file.artifact for file in export.files}
    for number, file in enumerate(export.files, start=1):
        extra = "" if number == 1 else f"{number}/"
        status, content, _ = fetch(page.get(f"/exports/{export.uuid}/download/{extra}")["Location"])
        assert (status, hashlib.sha256(content).hexdigest()) == (200, file.sha256)
    with committed():
        expire_export(export)
    assert files() == set()


def test_the_purge_lists_and_cleans_the_bucket(
    ada: User, bucket: Bucket, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.CARRYALL = settings.CARRYALL | {"ORPHAN_AGE": timedelta(seconds=-2)}
    export = run(ada)
    for number in range(1, 4):
        put(f"gone/part-{number}")
    own().save("elsewhere/deep/down", ContentFile(b"x"))
    bucket.server.client().put_object(Bucket=BUCKET, Key=f"{bucket.folder}-of-another-site", Body=b"x")
    assert purge.purge()["orphans"] == 4
    assert files() == {export.artifact}
    bucket.server.client().head_object(Bucket=BUCKET, Key=f"{bucket.folder}-of-another-site")


# --- download links ---------------------------------------------------------------------------------------------------


@pytest.fixture
def export(ada: User, bucket: Bucket) -> Export:
    return run(ada)


def test_a_download_is_a_signed_link_that_is_not_stored(page: Client, ada: User, export: Export) -> None:
    Export.objects.update(filename='Aufträge "2026".csv')
    answer = page.get(f"/exports/{export.uuid}/download/")
    assert answer.status_code == 302
    assert {"private", "no-store"} <= set(answer["Cache-Control"].split(", "))
    sent = urllib.parse.parse_qs(urllib.parse.urlsplit(answer["Location"]).query)
    assert (sent["X-Amz-Expires"], sent["X-Amz-SignedHeaders"]) == (["60"], ["host"])
    status, content, headers = fetch(answer["Location"])
    assert (status, hashlib.sha256(content).hexdigest()) == (200, export.sha256)
    assert headers["Content-Disposition"] == "attachment; filename*=utf-8''Auftr%C3%A4ge%20%222026%22.csv"
    assert (headers["Content-Type"], headers["Cache-Control"]) == ("text/csv; charset=utf-8", "private, no-store")
    record = Download.objects.get()
    assert (record.user, record.finished_at is not None) == (ada, True)
    rows = str(list(Export.objects.values())) + str(list(Download.objects.values()))
    assert "X-Amz" not in rows


def test_a_link_opens_only_its_file_and_expires(page: Client, export: Export, settings: Settings) -> None:
    settings.CARRYALL = settings.CARRYALL | {"LINK_SECONDS": 1}
    link = page.get(f"/exports/{export.uuid}/download/")["Location"]
    bare = link.partition("?")[0]
    assert fetch(link)[0] == 200
    assert fetch(bare)[0] == 403
    assert fetch(link.replace(bare, f"{bare}x"))[0] == 403
    assert fetch(link.replace("X-Amz-Expires=1", "X-Amz-Expires=999"))[0] == 403
    assert fetch(link, "DELETE")[0] == 403
    time.sleep(2.1)
    assert fetch(link)[0] == 403


def test_only_the_owner_of_a_ready_export_gets_a_link(page: Client, bob: User, export: Export) -> None:
    assert page.head(f"/exports/{export.uuid}/download/").status_code == 200
    assert not Download.objects.exists()
    with committed():
        expire_export(export)
    assert page.get(f"/exports/{export.uuid}/download/").status_code == 410
    page.force_login(bob)
    assert page.get(f"/exports/{export.uuid}/download/").status_code == 404


def test_links_use_the_public_address(bucket: Bucket, tmp_path: Path) -> None:
    url = bucket.environment["STORAGE_URL"] + "&public=https://files.example.com"
    options = store(url, tmp_path)["OPTIONS"]
    link = ArtifactBucket(**options).link("a/b", "b.csv", "text/csv", 60)
    assert str(link).startswith(f"https://files.example.com/{BUCKET}/{bucket.folder}/a/b?")


@pytest.mark.parametrize("damage", ["gone", "shortened"])
def test_a_missing_or_changed_file_is_reported(page: Client, export: Export, bucket: Bucket, damage: str) -> None:
    client, where = bucket.server.client(), bucket.where(export.artifact)
    client.delete_object(**where) if damage == "gone" else client.put_object(**where, Body=b"x")
    answer = page.get(f"/exports/{export.uuid}/download/")
    assert answer.status_code == 410
    assert "was lost" in answer.content.decode()
    assert "Export again" in answer.content.decode()
    assert not Download.objects.exists()


def make_unreachable(monkeypatch: pytest.MonkeyPatch, bucket: Bucket, name: str) -> None:
    """Make the server or the bucket unreachable."""
    url = bucket.environment["STORAGE_URL"]
    wrong = {"server": (str(bucket.server.port), "9"), "bucket": (f"s3://{BUCKET}/", "s3://another/")}[name]
    options = store(url.replace(*wrong), Path())["OPTIONS"]
    monkeypatch.setattr(artifacts, "storage", lambda: ArtifactBucket(**options))


@pytest.mark.parametrize("name", ["server", "bucket"])
def test_an_unreachable_store_loses_nothing(
    page: Client, ada: User, export: Export, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with monkeypatch.context() as patched:
        make_unreachable(patched, bucket, name)
        begun = time.monotonic()
        answer = page.get(f"/exports/{export.uuid}/download/")
        assert time.monotonic() - begun < 15
        assert (answer.status_code, "It is not lost" in answer.content.decode()) == (503, True)
        with pytest.raises(Unreachable):
            download(export, ada)
        with pytest.raises(StorageFailed):
            put("a/b")
        assert artifacts.drop_unfinished(datetime.now(UTC)) == 0
        artifacts.delete([export.artifact])
        artifacts.clear(str(export.uuid), keep=[])
    assert page.get(f"/exports/{export.uuid}/download/").status_code == 302


def test_a_store_that_does_not_answer_times_out(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the three attempts times out, so that a lease can be renewed and a click gets an answer."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(buckets, "READ_SECONDS", 0.1)
        url = f"s3://files/a?endpoint=http://127.0.0.1:{silent.getsockname()[1]}&region=eu-central-1"
        mute = ArtifactBucket(**store(url, Path())["OPTIONS"])
        with pytest.raises(OSError, match="timeout"):
            mute.open("a/b")
        silent.settimeout(5)
        calls = [silent.accept()[0] for _ in range(buckets.ATTEMPTS)]
        silent.settimeout(0.1)
        with pytest.raises(TimeoutError):
            silent.accept()
        for call in calls:
            call.close()


# --- the store --------------------------------------------------------------------------------------------------------


def test_files_are_private(bucket: Bucket) -> None:
    kept = put("a/b", b"secret")
    client = bucket.server.client()
    grants = client.get_object_acl(**bucket.where(kept.key))["Grants"]
    assert [grant["Grantee"]["Type"] for grant in grants] == ["CanonicalUser"]
    assert fetch(f"{bucket.server.endpoint}/{BUCKET}/{bucket.folder}/{kept.key}")[0] == 403
    assert not own().is_public(kept.key)


def test_the_doctor_finds_a_public_bucket(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    assert probes.PROBES["storage"]() == ""
    assert probes.PROBES["room on disk"]() == ""
    monkeypatch.setattr(type(own()), "unsigned_connection", own().connection)
    assert "serves files to anyone" in probes.PROBES["storage"]()
    assert files() == set()


def test_a_large_file_is_uploaded_in_pieces(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    small, large = put("a/small", b"x" * 100), put("a/large", os.urandom(buckets.PIECE + 1))
    client = bucket.server.client()
    assert "-" not in client.head_object(**bucket.where(small.key))["ETag"]
    assert client.head_object(**bucket.where(large.key))["ETag"].strip('"').endswith("-2")
    assert bucket.unfinished() == []


def test_saving_a_key_twice_keeps_both_files(bucket: Bucket) -> None:
    first, second = put("a/b", b"1"), put("a/b", b"2")
    assert first.key != second.key
    artifacts.verify(first)
    artifacts.verify(second)


def test_listing_reads_all_pages(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {put(f"{folder}/{number}").key for folder in ("a", "b/c") for number in range(3)}
    client = own().client
    pages = client.get_paginator

    class Small:
        def __init__(self, name: str) -> None:
            self.all = pages(name)

        def paginate(self, **where: Any) -> Any:
            return self.all.paginate(**where, PaginationConfig={"PageSize": 2})

    monkeypatch.setattr(client, "get_paginator", Small)
    found = dict(artifacts.stored_keys())
    assert set(found) == keys
    assert all(abs(changed - datetime.now(UTC)) < timedelta(minutes=1) for changed in found.values())
    assert {key for key, _ in artifacts.stored_keys("a")} == {"a/0", "a/1", "a/2"}
    assert list(artifacts.stored_keys("none")) == []


def test_only_old_uploads_are_aborted(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    where = bucket.where("gone/part-0-1.csv")
    bucket.server.client().create_multipart_upload(**where)
    begun = bucket.server.client().list_multipart_uploads(Bucket=BUCKET, Prefix=bucket.folder)["Uploads"][0][
        "Initiated"
    ]
    assert artifacts.drop_unfinished(begun) == 0
    assert artifacts.drop_unfinished(begun + timedelta(seconds=1)) == 1
    assert bucket.unfinished() == []


def test_a_changed_part_is_detected(bucket: Bucket) -> None:
    kept = put("a/b", b"12345")
    with artifacts.checked(kept) as file:
        assert (file.read(), file.seek(1), file.read(2)) == (b"12345", 1, b"23")
    bucket.server.client().put_object(**bucket.where(kept.key), Body=b"12355")
    with pytest.raises(Mismatch), artifacts.checked(kept):
        pass


class Torn:
    """A body that breaks off after `after` bytes."""

    def __init__(self, body: Any, after: int) -> None:
        self.body, self.left = body, after

    def read(self, size: int) -> bytes:
        if not self.left:
            raise ResponseStreamingError(error="Connection broken")
        data: bytes = self.body.read(min(size, self.left))
        self.left -= len(data)
        return data

    def close(self) -> None:
        self.body.close()


def test_reading_resumes_after_a_broken_connection(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    content = os.urandom(1_000)
    kept = put("a/b", content)
    get, offsets = Streamed._get, []

    def torn(self: Streamed) -> Any:
        offsets.append(self.tell())
        return Torn(get(self), 300)

    monkeypatch.setattr(Streamed, "_get", torn)
    with artifacts.open_artifact(kept.key) as file:
        assert file.read() == content
    assert offsets == [0, 300, 600, 900]

    monkeypatch.setattr(Streamed, "_get", lambda self: Torn(get(self), 0))
    with artifacts.open_artifact(kept.key) as file, pytest.raises(OSError, match="Connection broken"):
        file.read()


def test_an_object_that_changes_while_it_is_read_is_refused(bucket: Bucket) -> None:
    kept = put("a/b", b"1" * 3_000_000)
    with artifacts.open_artifact(kept.key) as file:
        assert file.read(10) == b"1" * 10
        bucket.server.client().put_object(**bucket.where(kept.key), Body=b"2" * 3_000_000)
        file.seek(2_500_000)
        with pytest.raises(OSError, match="PreconditionFailed"):
            file.read(10)


def test_a_full_server_is_a_full_disk(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise ClientError({"Error": {"Code": "QuotaExceeded"}}, "PutObject")

    monkeypatch.setattr(own().client, "upload_file", refuse)
    with pytest.raises(DiskFull):
        put("a/b")


def test_every_process_has_its_own_connections(bucket: Bucket) -> None:
    """Processes that share a socket after a fork read each other's responses."""
    mine = own()
    before = mine.client
    assert mine.client is before
    mine._pid = -1
    assert mine.client is not before


def test_a_file_cannot_be_opened_for_writing(bucket: Bucket) -> None:
    with pytest.raises(ValueError, match="saved whole"):
        own().open("a/b", "wb")


def test_a_report_is_mailed_from_the_bucket(bucket: Bucket) -> None:
    kept = put("reports/a.pdf", b"%PDF-1.7")
    with own().open(kept.key, "rb") as file:
        assert (file.size, file.read()) == (8, b"%PDF-1.7")


def test_the_demo_shop_works_with_the_bucket(page: Client, ada: User, bucket: Bucket) -> None:
    export = ready(ada)
    assert fetch(page.get(f"/exports/{export.uuid}/download/")["Location"])[0] == 200


MEMORY = """
import os, resource, django
django.setup()
from exports.storage import artifacts

def carry(size):
    with artifacts.scratch(".bin") as file:
        for _ in range(size):
            file.write(os.urandom(1 << 20))
        kept = artifacts.store(file, "a/b")
    with artifacts.checked(kept) as file:
        assert len(file.read(10)) == 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10

print(carry(1), carry(100))
"""


def test_memory_does_not_grow_with_the_file(bucket: Bucket) -> None:
    """Upload, verify and download a hundred megabytes, in a separate process."""
    done = subprocess.run([sys.executable, "-c", MEMORY], check=True, capture_output=True, text=True, timeout=120)
    small, large = map(int, done.stdout.split())
    assert large - small < 40
