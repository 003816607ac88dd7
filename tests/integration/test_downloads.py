"""Tests of downloads: permissions, checks, content and records."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

import pytest
from django.contrib.auth.models import User
from django.http import StreamingHttpResponse
from django.test import Client

from durable.clock import Now
from exports.datasets import datasets
from exports.intake.requests import expire_export
from exports.models import Download, Export
from exports.states import State
from exports.web.downloads import FileMissing, Transfer
from tests.support.shop import in_state, orders, ready

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifact_dir")]


@pytest.fixture
def page(client: Client, ada: User) -> Client:
    client.force_login(ada)
    return client


@pytest.fixture
def export(ada: User) -> Export:
    orders(ada, 5)
    return ready(ada)


def url(export: Export) -> str:
    return f"/exports/{export.uuid}/download/"


def text(response: Any) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def test_the_file_is_sent_completely_with_its_name_and_checksum(page: Client, export: Export) -> None:
    answer = page.get(url(export))
    body = answer.getvalue()
    digest = hashlib.sha256(body)
    assert (answer.status_code, len(body), digest.hexdigest()) == (200, export.size, export.sha256)
    assert {name: answer[name] for name in ("Content-Length", "Content-Disposition", "ETag", "Repr-Digest")} == {
        "Content-Length": str(export.size),
        "Content-Disposition": f'attachment; filename="{export.filename}"',
        "ETag": f'"{export.sha256}"',
        "Repr-Digest": f"sha-256=:{base64.b64encode(digest.digest()).decode()}:",
    }
    assert answer["Content-Type"].startswith("text/csv")
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert {"private", "no-store"} <= set(answer["Cache-Control"].split(", "))


def test_a_file_of_many_blocks_is_sent_completely(page: Client, export: Export) -> None:
    with patch("exports.web.downloads.BLOCK", 64):
        blocks = list(cast("StreamingHttpResponse", page.get(url(export))))
    assert hashlib.sha256(b"".join(blocks)).hexdigest() == export.sha256
    assert max(map(len, blocks)) == 64


def test_non_ascii_names_are_encoded(page: Client, export: Export) -> None:
    Export.objects.update(filename='Aufträge "2026".csv')
    answer = page.get(url(export))
    assert answer["Content-Disposition"] == "attachment; filename*=utf-8''Auftr%C3%A4ge%20%222026%22.csv"
    answer.getvalue()


def test_an_empty_export_can_be_downloaded(page: Client, ada: User) -> None:
    export = ready(ada, format="jsonl")
    answer = page.get(url(export))
    assert (answer.status_code, answer.getvalue(), answer["Content-Length"]) == (200, b"", "0")
    assert Download.objects.get().finished_at is not None


def test_a_complete_download_is_recorded_and_shown(page: Client, ada: User, export: Export) -> None:
    page.get(url(export)).getvalue()
    record = Download.objects.get()
    assert (record.export, record.user) == (export, ada)
    assert record.finished_at is not None
    assert record.finished_at >= record.started_at
    assert "You downloaded it on" in text(page.get(export.get_absolute_url()))


def test_an_aborted_download_is_not_counted(ada: User, export: Export, artifact_dir: Path) -> None:
    record = Download.objects.create(export=export, user=ada)
    with patch("exports.web.downloads.BLOCK", 64), (artifact_dir / export.artifact).open("rb") as file:
        transfer = Transfer(export, file, record)
        assert len(next(iter(transfer))) == 64  # there are more blocks, which are not requested
        transfer.close()
        assert file.closed
    record.refresh_from_db()
    assert record.finished_at is None


def test_head_returns_the_headers_and_is_not_counted(page: Client, export: Export) -> None:
    answer = page.head(url(export))
    assert (answer.status_code, answer.content, answer["Content-Length"]) == (200, b"", str(export.size))
    assert Download.objects.count() == 0


def test_an_expired_export_is_410_with_a_link_to_export_again(page: Client, export: Export) -> None:
    expire_export(export)
    answer = page.get(url(export))
    assert answer.status_code == 410
    assert "This file has expired" in text(answer)
    assert "/exports/?dataset=orders&amp;format=csv&amp;period=all" in answer.content.decode()


def test_a_file_expires_by_the_database_clock_before_the_purge(page: Client, export: Export) -> None:
    Export.objects.update(expires_at=Now())
    assert page.get(url(export)).status_code == 410


@pytest.mark.parametrize("state", [State.QUEUED, State.RENDERING, State.FAILED, State.CANCELLED])
def test_an_export_without_a_file_is_409(page: Client, ada: User, state: State) -> None:
    answer = page.get(url(in_state(ada, state)))
    assert answer.status_code == 409
    assert "This export has no file to download." in text(answer)


def test_a_user_without_permission_cannot_download(page: Client, export: Export) -> None:
    with patch.object(type(datasets.get("orders")), "permitted", return_value=False):
        answer = page.get(url(export))
    assert answer.status_code == 403
    assert "You no longer have access to this data" in text(answer)


def test_files_of_an_unregistered_dataset_cannot_be_downloaded(page: Client, export: Export) -> None:
    Export.objects.update(dataset="gone")
    assert page.get(url(export)).status_code == 403


def test_a_missing_file_is_410_and_logged(
    page: Client, export: Export, artifact_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (artifact_dir / export.artifact).unlink()
    answer = page.get(url(export))
    assert answer.status_code == 410
    assert "The file of this export was lost" in text(answer)
    assert "Export again" in text(answer)
    assert str(export.uuid) in caplog.text


def test_a_file_of_the_wrong_length_is_never_sent(page: Client, export: Export, artifact_dir: Path) -> None:
    with (artifact_dir / export.artifact).open("ab") as file:
        file.write(b"more")
    assert page.get(url(export)).status_code == 410


def test_a_damaged_file_is_never_sent_completely(ada: User, export: Export, artifact_dir: Path) -> None:
    path = artifact_dir / export.artifact
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    record = Download.objects.create(export=export, user=ada)
    sent: list[bytes] = []
    with patch("exports.web.downloads.BLOCK", 64), path.open("rb") as file, pytest.raises(FileMissing):
        sent.extend(Transfer(export, file, record))
    assert sum(map(len, sent)) < (export.size or 0)
    assert Download.objects.get().finished_at is None


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"x")], ids=["gone", "cut"])
def test_a_missing_file_is_reported_in_the_api_and_the_admin(
    page: Client, export: Export, artifact_dir: Path, damage: Any
) -> None:
    address, admin = f"/api/exports/{export.uuid}/download/", f"/admin/exports/export/{export.pk}/change/"
    assert hashlib.sha256(cast("StreamingHttpResponse", page.get(address)).getvalue()).hexdigest() == export.sha256
    page.force_login(User.objects.create_superuser("root"))
    assert "as recorded" in text(page.get(admin))
    damage(artifact_dir / export.artifact)
    assert "The file of this export was lost" in text(page.get(admin))
    page.force_login(export.owner)
    answer = page.get(address)
    assert (answer.status_code, answer.json()["error"]["code"]) == (410, "file_missing")
    assert "export it again" in answer.json()["error"]["message"]


def test_an_unavailable_storage_is_not_a_missing_file(
    page: Client, export: Export, artifact_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    artifact_dir.rename(artifact_dir.with_name("not-mounted"))
    answer = page.get(url(export))
    assert (answer.status_code, "It is not lost" in text(answer)) == (503, True)
    assert "Export again" not in text(answer)
    refused = page.get(f"/api/exports/{export.uuid}/download/")
    assert (refused.status_code, refused.json()["error"]["code"], refused["Retry-After"]) == (503, "unreachable", "60")
    assert not Download.objects.exists()
    artifact_dir.with_name("not-mounted").rename(artifact_dir)
    assert len(page.get(url(export)).getvalue()) == export.size


def test_the_api_returns_409_before_the_file_is_ready(page: Client, ada: User) -> None:
    answer = page.get(f"/api/exports/{in_state(ada, State.RENDERING).uuid}/download/")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "not_ready")
