"""Tests of the purge, reminders and the clean-up of results: only due rows and files are affected, once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files import File
from django.test import TestCase
from django.utils import timezone
from django_celery_results.models import GroupResult, TaskResult
from pytest_django import DjangoAssertNumQueries, Settings

from exports.conf import export_settings
from exports.intake.requests import retry_export
from exports.models import Download, Export, Part, Slot
from exports.states import State
from exports.storage import artifacts
from exports.upkeep import purge, reminders
from tests.support.exports import (
    Errands,
    committed,
    errands,
    export_in,
    files,
    part_in,
    registered,
    run,
    told,
    work,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifact_dir")]
DAY = timedelta(days=1)
NOTHING = {"expired": 0, "abandoned": 0, "orphans": 0, "unfinished": 0, "scratch": 0, "forgotten": 0, "ownerless": 0}


@pytest.fixture(autouse=True)
def _errands(settings: Settings) -> Iterator[None]:
    settings.CARRYALL = settings.CARRYALL | {"ROWS_PER_PART": 2}
    errands(3)
    with registered(Errands):
        yield


def store_file(key: str, age: timedelta = timedelta()) -> str:
    """Store a file of the given age. Return its key."""
    key = artifacts.storage().save(key, File(BytesIO(b"x")))
    then = (timezone.now() - age).timestamp()
    os.utime(artifacts.storage().path(key), (then, then))
    return key


def purge_now() -> dict[str, Any]:
    with committed():
        return purge.purge()


def ago(age: timedelta) -> Any:
    return timezone.now() - age


# --- purge ----------------------------------------------------------------------------------------------------------


def test_the_purge_keeps_what_is_not_due(ada: User) -> None:
    export = run(ada)
    assert purge_now() == NOTHING
    assert files() == {export.artifact}


def test_an_export_expires_with_its_file(ada: User) -> None:
    past, fresh = run(ada), run(ada, "jsonl")
    Export.objects.filter(pk=past.pk).update(expires_at=ago(timedelta(seconds=1)))
    assert purge_now() == NOTHING | {"expired": 1}
    past.refresh_from_db()
    assert (past.state, past.artifact, past.sha256 != "", past.size) == (State.EXPIRED, "", True, past.size)
    assert files() == {fresh.artifact}
    assert purge_now() == NOTHING


def test_more_than_one_batch_expires(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purge, "BATCH", 2)
    for _ in range(5):
        export_in("ready", ada, expires_at=ago(DAY))
    assert purge_now()["expired"] == 5


def abandoned(ada: User, state: str, age: timedelta) -> tuple[Export, str]:
    """Create an export that ended `age` ago, with one finished part and one cancelled. Return it and the part's key."""
    export = export_in(state, ada, finished_at=ago(age))
    key = store_file(f"{export.uuid}/part-0-1.csv")
    part_in("done", export, 0, artifact=key, rows_done=2)
    part_in("cancelled", export, 1)
    return export, key


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_old_parts_of_failed_and_cancelled_exports_are_removed(ada: User, state: str) -> None:
    abandoned(ada, state, export_settings().keep_days * DAY + DAY)
    _, kept = abandoned(ada, state, export_settings().keep_days * DAY - DAY)
    assert purge_now() == NOTHING | {"abandoned": 1}
    assert files() == {kept}
    assert purge_now() == NOTHING


def test_a_retry_renders_removed_parts_again(ada: User) -> None:
    export = run(ada)
    Export.objects.all().delete()
    export, _ = abandoned(ada, "failed", 30 * DAY)
    Part.objects.update(first_key="1", last_key="999999")
    purge_now()
    with committed():
        retry_export(export)
    work(export)
    assert export.state == State.READY


def test_a_retry_during_a_purge_keeps_its_parts(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    export, key = abandoned(ada, "failed", 30 * DAY)
    drop = purge._drop_parts

    def retried_first(chosen: Any) -> int:
        retry_export(export)
        return drop(chosen)

    monkeypatch.setattr(purge, "_drop_parts", retried_first)
    assert purge_now()["abandoned"] == 0
    assert files() == {key}
    assert set(export.parts.values_list("state", flat=True)) == {"done", "waiting"}


def test_old_orphans_are_removed(ada: User) -> None:
    old = export_settings().orphan_age + timedelta(minutes=1)
    referenced, part = run(ada), part_in("done", export_in("rendering", ada), artifact=store_file("mine/part.csv", old))
    os.utime(artifacts.storage().path(referenced.artifact), (0, 0))
    young = store_file("other/part-0-2.csv", export_settings().orphan_age - timedelta(minutes=1))
    store_file("other/part-0-1.csv", old)
    store_file("doctor/probe", old)
    assert purge_now() == NOTHING | {"orphans": 2}
    assert files() == {referenced.artifact, part.artifact, young}


def test_old_scratch_files_are_removed() -> None:
    folder = export_settings().scratch_dir
    folder.mkdir()
    for name, age in (("old.csv", DAY), ("young.csv", timedelta())):
        (folder / name).write_bytes(b"x")
        os.utime(folder / name, ((timezone.now() - age).timestamp(),) * 2)
    assert purge_now() == NOTHING | {"scratch": 1}
    assert [path.name for path in folder.iterdir()] == ["young.csv"]


def test_very_old_rows_are_deleted(ada: User) -> None:
    old = export_settings().history_days * DAY + DAY
    for state in State:
        finished = {} if state in ("queued", "rendering", "assembling") else {"finished_at": ago(old)}
        export = export_in(state, ada, **finished)
        part_in("cancelled", export)
        export_in(state, ada)
    assert purge_now()["forgotten"] == 3
    left = set(Export.objects.values_list("state", flat=True).filter(finished_at__lt=ago(DAY)))
    assert left == {State.READY}


def test_deleting_an_export_deletes_its_files(ada: User) -> None:
    export = run(ada)
    part_in("done", export_in("rendering", ada), artifact=store_file("part.csv"))
    with committed():
        Export.objects.all().delete()
        assert files() == {export.artifact, "part.csv"}, "not before the deletion has committed"
    assert files() == set()


def test_deleting_a_user_deletes_exports_and_files(ada: User) -> None:
    run(ada)
    with committed(), TestCase.captureOnCommitCallbacks(execute=True):
        ada.delete()
    assert (files(), Export.objects.count()) == (set(), 0)


# --- reminders ------------------------------------------------------------------------------------------------------


@pytest.fixture
def soon(ada: User) -> Export:
    """A ready export that expires soon enough for a reminder, and was never downloaded."""
    export = export_in("ready", ada, expires_at=timezone.now() + export_settings().remind_before - timedelta(minutes=1))
    return export


def remind() -> int:
    with committed():
        return int(reminders.remind()["reminded"])


def test_an_owner_is_reminded_once_of_a_file_never_downloaded(ada: User, soon: Export) -> None:
    assert [remind(), remind()] == [1, 0]
    assert told(ada) == ["export_expiring"]


@pytest.mark.parametrize("whole", [True, False])
def test_only_a_complete_download_counts(ada: User, soon: Export, whole: bool) -> None:
    Download.objects.create(export=soon, user=ada, finished_at=timezone.now() if whole else None)
    assert remind() == (0 if whole else 1)


@pytest.mark.parametrize(
    "facts",
    [
        lambda: {"expires_at": timezone.now() + export_settings().remind_before + timedelta(minutes=1)},
        lambda: {"expires_at": timezone.now() - timedelta(seconds=1)},
        lambda: {"state": "expired", "artifact": ""},
    ],
    ids=["too early", "too late", "gone"],
)
def test_no_reminder_before_or_after_it_is_due(soon: Export, facts: Callable[[], dict[str, Any]]) -> None:
    Export.objects.update(**facts())
    assert remind() == 0


# --- results --------------------------------------------------------------------------------------------------------


def results(count: int, age: timedelta) -> None:
    for kind, name in ((TaskResult, "task_id"), (GroupResult, "group_id")):
        for _ in range(count):
            made = kind.objects.create(**{name: os.urandom(8).hex()})
            kind.objects.filter(pk=made.pk).update(date_done=ago(age))


def test_old_results_and_slots_are_deleted(ada: User) -> None:
    old = export_settings().result_keep_days * DAY + DAY
    Slot.objects.all().delete()
    results(3, old)
    results(2, DAY)
    closed = {"state": "done", "next_attempt_at": None, "finished_at": timezone.now()}
    Slot.objects.create(schedule="x", slot=ago(old), **closed)
    Slot.objects.create(schedule="x", slot=ago(DAY), **closed)
    Slot.objects.create(schedule="y", slot=ago(old))
    assert purge.clean_up_results() == {"results": 3, "groups": 3, "slots": 1}
    assert (TaskResult.objects.count(), GroupResult.objects.count(), Slot.objects.count()) == (2, 2, 2)
    assert purge.clean_up_results() == {"results": 0, "groups": 0, "slots": 0}


def test_results_are_deleted_in_batches(
    monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    monkeypatch.setattr(purge, "BATCH", 4)
    results(10, 99 * DAY)
    Slot.objects.all().delete()
    with django_assert_num_queries(2 * (3 + 1 + 3) + 1):  # each: 3 queries with rows, 1 without, 3 deletes
        assert purge.clean_up_results() == {"results": 10, "groups": 10, "slots": 0}


def test_the_storage_is_the_folder_of_the_test(artifact_dir: Path) -> None:
    store_file("a")
    assert (artifact_dir / "a").exists()
